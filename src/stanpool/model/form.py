"""The form of a program: its parameterization and rows, and the structure of both."""

from __future__ import annotations

from dataclasses import replace

from stanpool.base.errors import SpecError, quote_list
from stanpool.base.options import Parameterization
from stanpool.data.compression.cells import (
    AggregatedRows,
    aggregate,
    why_not_aggregated,
)
from stanpool.data.compression.crossproducts import (
    Crossproducts,
    crossproducts,
    why_not_crossproducts,
)
from stanpool.data.compression.gaussian_rows import (
    CompressedRows,
    compressed_rows,
    why_not_compressed,
)
from stanpool.data.compression.integrated_rows import (
    MarginalRows,
    integrated_factors,
    marginal_rows,
    why_marginal_is_slow,
    why_not_marginal,
)
from stanpool.data.design.design import Design
from stanpool.data.statistics.design import StreamedDesign
from stanpool.language.model_spec import ModelSpec
from stanpool.model.pilot.decoupling import are_alike, pays_to_decouple
from stanpool.model.priors.in_force import PriorTable
from stanpool.model.program.structure import Structure, structure_of
from stanpool.model.program.units import Scaling

Rows = AggregatedRows | CompressedRows | Crossproducts | MarginalRows

AS_REQUESTED = "as requested"

# What takes the place of rows of gaussian outcomes.
_REDUCED, _PRODUCTS = "reduced rows", "crossproducts"
_FEW_ROWS = 1000  # are fitted quickly in any way


def choose_form(
    spec: ModelSpec, design: Design, is_read: bool
) -> tuple[Parameterization | None, str, tuple[int, ...]]:
    """Return the parameterization that is fitted, the reason, and integrated factors.

    The last are the factors that the marginal form would integrate out; there are none
    where it is not exact.
    """
    if spec.pooling != "partial":
        return None, "", ()
    chosen, against = spec.parameterization, ""
    integrated: tuple[int, ...] = ()
    if chosen in ("marginal", "auto"):
        against = why_not_marginal(spec, design)
        if is_read and design.factors and design.factors[0].root is not None:
            against = against or "rows that are read in chunks are not kept"
        integrated = () if against else integrated_factors(design)
    if chosen == "marginal" and against:
        raise SpecError(
            f"parameterization='marginal' is not available, because {against}. Pass "
            "'auto', which chooses among the others."
        )
    known = [each.factor for each in design.factors if not each.has_forms]
    if known and chosen == "centered":
        raise SpecError(
            "parameterization='centered' is not available, because coefficients with "
            "a known covariance, or a population that is not normal, of "
            f"{quote_list(known)}, are noncentered in programs of any form. Pass "
            "'auto'."
        )
    if chosen != "auto":
        return chosen, AS_REQUESTED, integrated
    if len(known) == len(design.factors) and against:
        reason = (
            "chosen by auto: coefficients with a known covariance between groups are "
            "computed from independent coefficients of its eigenvectors"
        )
        if design.factors[0].root is None:
            reason = (
                "chosen by auto: coefficients whose population is not normal cannot be "
                "integrated out, and are computed from standardized ones"
            )
        return "noncentered", reason, ()
    if against:
        against = f"the marginal form is not available, because {against}"
    elif not is_read:  # there is no pilot estimate for data read in chunks
        slow = why_marginal_is_slow(design, integrated)
        against = f"the marginal form would be slower, because {slow}" if slow else ""
    if against:
        reason = (
            "chosen by auto: the more the data say about a group, the more its "
            f"coefficients are centered; {against}"
        )
        return "adaptive", reason, integrated
    left = [x.factor for n, x in enumerate(design.factors) if n not in integrated]
    reason = (
        "chosen by auto: with gaussian outcomes the groups' coefficients can be "
        "integrated out exactly, and then they form no funnel with their scale"
    )
    if left:
        reason = (
            "chosen by auto: with gaussian outcomes groups' coefficients can be "
            f"integrated out exactly, and only those of {quote_list(left)} are sampled"
        )
    return "marginal", reason, integrated


def fewer_rows(
    spec: ModelSpec,
    read: StreamedDesign,
    scaling: Scaling,
    parameterization: Parameterization | None,
    integrated: tuple[int, ...],
    is_read: bool,
    kept: Structure | None = None,
) -> Rows | None:
    """Return what the program sees in the place of the data's rows, if anything.

    It is of the same kind as in the structure that is kept, if any is.
    """
    always = spec.compress is True or is_read
    rows: Rows | None = None
    if parameterization == "marginal":
        rows = marginal_rows(scaling.design(read.rows), integrated)
    elif not why_not_aggregated(spec):
        if spec.compress is not False:
            design = scaling.design(read.rows)
            rows = aggregate(spec, design, always=always, counts=read.counts)
    else:
        ways = _ways_of_compression(spec, read.rows, is_read, kept)
        if ways:
            rows = _gaussian_rows(scaling.design(read.rows), ways, always=always)
    if isinstance(rows, CompressedRows | Crossproducts | MarginalRows):
        y_shift = rows.y_shift + read.y_shift / scaling.outcome
        rows = replace(rows, y_shift=y_shift)
    return rows


def _ways_of_compression(
    spec: ModelSpec, design: Design, is_read: bool, kept: Structure | None
) -> tuple[str, ...]:
    """Say what may take the place of rows in a form that samples groups' coefficients.

    Rows that were read in chunks must be reduced, since they are not kept.
    """
    if spec.compress is False:
        return ()
    against = why_not_compressed(spec, design)
    if is_read and against:
        raise SpecError(
            f"data in chunks must be compressed, and {against}. Pass a data frame of "
            "all rows or of a sample of them."
        )
    ways: tuple[str, ...] = () if against else (_REDUCED,)
    is_sampled = spec.pooling == "partial" and not is_read
    if is_sampled and not why_not_crossproducts(spec, design):
        ways += (_PRODUCTS,)
    if spec.compress and not ways:
        raise SpecError(f"compress=True cannot be exact here: {against}. Leave it out.")
    if kept is not None:
        uses = {_REDUCED: kept.compressed, _PRODUCTS: kept.crossproducts}
        ways = tuple(way for way in ways if uses[way])
    return ways


def _gaussian_rows(
    design: Design, ways: tuple[str, ...], *, always: bool
) -> CompressedRows | Crossproducts | None:
    """Reduce rows, or take crossproducts where too many would be left."""
    rows: CompressedRows | Crossproducts | None = None
    if _REDUCED in ways:
        rows = compressed_rows(design, always=always)
    many = max(design.rows, _FEW_ROWS) / 2
    if _PRODUCTS in ways and (rows is None or rows.kept > many):
        rows = crossproducts(design, always=always) or rows
    return rows


def _is_decoupled(design: Design, rows: Rows | None) -> bool:
    """Whether the population's coefficients are to be sampled apart."""
    if isinstance(rows, Crossproducts):
        return pays_to_decouple(design, rows)
    return are_alike(design, rows)


def structure_with(
    spec: ModelSpec,
    design: Design,
    priors: PriorTable,
    parameterization: Parameterization | None,
    rows: Rows | None,
    kept: Structure | None,
) -> Structure:
    """Return what decides the text of the program.

    What a few of the rows cannot say is as in the structure that is kept, if any is.
    """
    structure = structure_of(
        spec,
        design,
        priors,
        parameterization,
        integrated=rows.integrated if isinstance(rows, MarginalRows) else (),
        compressed=isinstance(rows, CompressedRows),
        crossproducts=isinstance(rows, Crossproducts),
        decoupled=kept.decoupled if kept else _is_decoupled(design, rows),
        many_rows=kept.standardized
        if kept
        else isinstance(rows, MarginalRows) and rows.are_many,
        within=kept.within if kept else None,
    )
    if isinstance(rows, AggregatedRows):
        offset = rows.design.offset is not None
        structure = replace(structure, family=rows.family, offset=offset)
    return structure
