"""Choose the form in which a model is fitted, and whether its rows are reduced."""

from __future__ import annotations

from stanpool.base.errors import SpecError, quote_list
from stanpool.base.options import Parameterization
from stanpool.data.compression.gaussian_rows import why_not_compressed
from stanpool.data.compression.integrated_rows import (
    integrated_factors,
    why_marginal_is_slow,
    why_not_marginal,
)
from stanpool.data.design.design import Design
from stanpool.language.model_spec import ModelSpec

AS_REQUESTED = "as requested"


def can_be_compressed(spec: ModelSpec, design: Design, is_read: bool) -> bool:
    """Say whether rows may be reduced in a form that samples the groups' coefficients.

    Rows that were read in chunks must be reduced, since they are not kept.
    """
    if spec.compress is False:
        return False
    against = why_not_compressed(spec, design)
    if is_read and against:
        raise SpecError(
            f"data in chunks must be compressed, and {against}. Pass a data frame of "
            "all rows or of a sample of them."
        )
    if spec.compress and against:
        raise SpecError(f"compress=True cannot be exact here: {against}. Leave it out.")
    return not against


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
        integrated = () if against else integrated_factors(design)
    if chosen == "marginal" and against:
        raise SpecError(
            f"parameterization='marginal' is not available, because {against}. Pass "
            "'auto', which chooses among the others."
        )
    if chosen != "auto":
        return chosen, AS_REQUESTED, integrated
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
