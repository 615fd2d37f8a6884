"""A model with its data: specification, design, priors and program."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import (
    ArgumentError,
    RankWarning,
    SpecError,
    quote,
    quote_list,
    suggestion,
    warn_user,
)
from stanpool.base.options import POOLING_IN_WORDS, Parameterization
from stanpool.data.columns import (
    as_frame,
    levels_without_rows,
    refuse_level_per_row,
    used_columns,
)
from stanpool.data.compression.cells import (
    AggregatedRows,
)
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.build_design import build_design
from stanpool.data.design.covariance.known import as_covariances
from stanpool.data.design.design import Design
from stanpool.data.design.nesting import (
    check_nesting,
    check_single_rows,
    warn_if_crossed,
)
from stanpool.data.design.outcome import check_other_outcome, labelled_outcome
from stanpool.data.design.predictors.subpopulations import with_subpopulations
from stanpool.data.statistics.design import (
    StreamedDesign,
    is_chunked,
    streamed,
    streamed_design,
)
from stanpool.data.statistics.statistics import Statistics
from stanpool.engine.values.program import StanProgram
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name, quote_name
from stanpool.language.formulas.formula_text import stated
from stanpool.language.model_spec import ModelSpec
from stanpool.language.prior import as_priors
from stanpool.model.form import Rows, choose_form, fewer_rows, structure_with
from stanpool.model.pilot.centering import Centering, centering_of
from stanpool.model.pilot.decoupling import (
    Decoupling,
    apart_from_each_other,
    decoupling_of,
)
from stanpool.model.pilot.estimate import PilotEstimate, normal_priors
from stanpool.model.pilot.gaussian import estimate_from_rows
from stanpool.model.pilot.quasi_likelihood import estimate
from stanpool.model.pilot.smooths import (
    SmoothEstimate,
    estimate_smooths,
    on_predictor_scale,
)
from stanpool.model.priors.defaults import correlated_factors
from stanpool.model.priors.in_force import PriorTable, resolve_priors
from stanpool.model.program.annotation import annotate
from stanpool.model.program.render import render
from stanpool.model.program.stan_data import elsewhere_of, stan_data
from stanpool.model.program.structure import Structure
from stanpool.model.program.units import Scaling, scaling_of
from stanpool.model.terms.of_design import check_names

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 300  # characters of a formula where a model describes itself


@public
@dataclass(frozen=True, repr=False, eq=False)
class PreparedModel:
    """A model of data: stated, checked and ready to fit.

    Attributes
    ----------
    spec
        The model as it was stated, without data.
    data
        The columns that the model uses; of data in chunks, a few rows of them.
    chunks
        What was kept of data that were read in chunks, or None.
    design
        The data as the model sees them.
    priors
        The priors in force, and where they come from.
    structure
        What of the model decides the text of its program.
    scaling
        The units in which the program counts.
    rows
        The fewer rows that the program sees in the place of all, if any.
    parameterization_reason
        Why the parameterization is what it is.
    kept_centering
        How far groups are centered, where another model decides it: that of all rows
        for a model of some of them.
    unused_levels
        Levels that columns of the data declare, and no row has.
    """

    spec: ModelSpec
    data: pd.DataFrame
    chunks: Statistics | None
    design: Design
    priors: PriorTable
    structure: Structure
    scaling: Scaling
    rows: Rows | None
    parameterization_reason: str
    kept_centering: tuple[Centering, ...] | None = None
    unused_levels: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, prepared: PreparedModel) -> Self:
        """Return a prepared model as one of this class."""
        if isinstance(prepared, cls):
            return prepared
        model = cls.__new__(cls)
        values = {each.name: getattr(prepared, each.name) for each in fields(prepared)}
        PreparedModel.__init__(model, **values)
        return model

    @classmethod
    def from_spec(
        cls,
        spec: ModelSpec,
        data: Any,
        *,
        strict: bool = True,
        priors: PriorTable | None = None,
        parameterization: Parameterization | None = None,
    ) -> Self:
        """Build a model from a specification.

        Parameters
        ----------
        spec, data
            The model without data, and the data.
        strict
            Whether a prior that nothing uses is an error.
        priors
            The priors in force, where they are known already: those of a saved fit.
        parameterization
            The form that was chosen, if the specification leaves the choice open.
        """
        return cls.of(
            prepare(spec, data, strict=strict, priors=priors, form=parameterization)
        )

    def with_(self, **changes: Any) -> Self:
        """Return the model with fields of its specification changed, on the same data.

        Priors that the changed model does not need are ignored, so that one set of
        priors serves every pooling.

        Parameters
        ----------
        changes
            By the names of ``ModelSpec``, such as ``pooling="none"``; ``priors`` as for
            ``Model``.

        Raises
        ------
        ArgumentError
            If there is no such field.
        SpecError
            If the changed specification is not possible.

        Examples
        --------
        >>> import stanpool as sp
        >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
        ...                  sp.load_dataset("eight_schools"))
        >>> model.with_(pooling="complete").design.factor is None
        True
        """
        own = vars(self.spec)
        for name in changes:
            if name not in own:
                raise ArgumentError(
                    f"with_() changes fields of the specification, and {quote(name)} "
                    f"is not one of them: {quote_list(own, 30)}.{suggestion(name, own)}"
                )
        if isinstance(changes.get("priors", ()), Mapping):
            changes["priors"] = as_priors(changes["priors"])
        if isinstance(changes.get("covariances", ()), Mapping):
            changes["covariances"] = as_covariances(changes["covariances"])
        found = prepare(replace(self.spec, **changes), self.source, strict=False)
        # Stored data contain only levels that occur.
        unused = tuple(each for each in self.unused_levels if each[0] in found.data)
        return self.of(replace(found, unused_levels=unused))

    def with_design(self, design: Design) -> PreparedModel:
        """Return the model with another design of the same rows."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return PreparedModel(**values | {"design": design})

    @property
    def source(self) -> Any:
        """What to build another model of the same data from.

        The columns that the model uses, or what was kept of data in chunks.
        """
        return self.data if self.chunks is None else self.chunks

    def take(self, rows: Any) -> Self:
        """Return the same model of some rows: its priors, levels, groups and program.

        Groups that are left without rows stay: under partial pooling their coefficients
        are drawn from the population. Nothing is compiled again.

        Parameters
        ----------
        rows
            Which rows, as positions counted from 0 or as a mask.

        Examples
        --------
        >>> import stanpool as sp
        >>> model = sp.Model("log_radon ~ floor + (1 | county)",
        ...                  sp.load_dataset("radon"))
        >>> model.take(range(100))
        Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, \
marginal, 100 rows, 85 groups)
        """
        chosen = _chosen_rows(rows, self.design.rows)
        design = self.design.take(chosen)
        prepared = prepare(
            # Automatic choices are kept, not made anew.
            replace(
                self.spec,
                parameterization=self.parameterization or "auto",
                compress=None
                if isinstance(self.rows, MarginalRows)
                else self.rows is not None,
            ),
            self.data.iloc[chosen],
            priors=self.priors,
            design=design,
            kept=self.structure,
        )
        return self.of(replace(prepared, kept_centering=self.centering))

    def with_outcome(self, y: Any) -> Self:
        """Return the same model of other outcomes: its priors, rows and program.

        Parameters
        ----------
        y
            An outcome for each row, shape ``(N,)``, as ``predict`` and
            ``prior_predictive`` draw them: categories by their names.

        Raises
        ------
        DataError
            If the family does not have such outcomes, or rows are censored.

        Examples
        --------
        >>> import stanpool as sp
        >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
        ...                  sp.load_dataset("eight_schools"))
        >>> drawn = model.prior_predictive(1, seed=1)["prior_predictive"]["y"]
        >>> model.with_outcome(drawn[0, 0]).priors == model.priors
        True
        """
        design = replace(self.design, y=check_other_outcome(self.spec, self.design, y))
        name = outcome_name(self.spec)
        prepared = prepare(
            replace(
                self.spec,
                outcome=quote_name(name),
                parameterization=self.parameterization or "auto",
            ),
            self.data.assign(**{name: labelled_outcome(design)}),
            priors=self.priors,
            design=design,
        )
        return self.of(prepared)

    @property
    def parameterization(self) -> Parameterization | None:
        """``"adaptive"``, ``"marginal"`` or what was set; None unless partial."""
        return self.structure.parameterization

    @cached_property
    def pilot(self) -> PilotEstimate | None:
        """A quick estimate, in the units of the program; None if there is none.

        It says how far groups are centered and where chains start, and nothing else.
        """
        is_kept = self.chunks is None or isinstance(
            self.rows, AggregatedRows | MarginalRows
        )
        if self.spec.pooling != "partial" or not is_kept:
            return None
        spec, design = self.spec, self.scaling.design(self.design)
        design = replace(design, residual_correlation=None)
        priors = self.scaling.priors(self.priors)
        correlated = correlated_factors(spec, design)
        if isinstance(self.rows, MarginalRows):
            found = estimate_from_rows(self.rows, design, priors, correlated)
            if found is not None or self.chunks is not None:
                return found
        if isinstance(self.rows, AggregatedRows):
            design = self.rows.design
            counted = spec.trials or spec.outcome
            has_trials = "trials" in FAMILIES[self.rows.family].parts
            trials = counted if has_trials else None
            spec = replace(spec, family=self.rows.family, trials=trials)
        return estimate(spec, design, priors, correlated)

    @cached_property
    def centering(self) -> tuple[Centering, ...]:
        """How far the coefficients of each factor are centered, if adaptive."""
        if self.kept_centering is not None:
            return self.kept_centering
        if self.parameterization != "adaptive":
            return ()
        factors, pilot = self.scaling.design(self.design).factors, self.pilot
        if pilot is None:
            return tuple(centering_of(factor, None) for factor in factors)
        return tuple(map(centering_of, factors, pilot.factors))

    @cached_property
    def smooths(self) -> SmoothEstimate | None:
        """A rough estimate of the smooths, in the units of the program, if any."""
        if not self.design.mean.scaled:
            return None
        design = self.scaling.design(self.design)
        return estimate_smooths(design, *on_predictor_scale(self.spec, design))

    @cached_property
    def decoupling(self) -> Decoupling | None:
        """How the population's coefficients are sampled apart, if so."""
        if not self.structure.decoupled:
            return None
        design, centering = self.scaling.design(self.design), self.centering
        first = int(design.intercept)
        size = first + design.X.shape[1]
        if not isinstance(self.rows, Crossproducts):
            return apart_from_each_other(self.pilot, size)
        priors = self.scaling.priors(self.priors)
        _, precision = normal_priors(priors, size, first, design.mean)
        elsewhere = elsewhere_of(design, self.structure, centering)
        return decoupling_of(
            design,
            self.structure,
            self.rows,
            self.pilot,
            precision,
            centering,
            elsewhere,
        )

    @property
    def program(self) -> StanProgram:
        """The Stan program; its likelihood may be compiled from C++ (``header``)."""
        return render(self.structure)

    @property
    def stan_code(self) -> str:
        """The Stan program to read, under a comment that names columns and groups."""
        return annotate(
            self.program, self.design, self.rows, self.scaling, self.parameterization
        )

    def stan_data(self, *, prior_only: bool = False) -> dict[str, Any]:
        """Return the data dictionary that goes with ``stan_code``.

        Parameters
        ----------
        prior_only
            Ignore the outcome, so that draws are from the prior.
        """
        design, rows = self.scaling.design(self.design), self.rows
        if isinstance(rows, AggregatedRows):
            design, rows = rows.design, None
        return self.spec.known_numbers | stan_data(
            design,
            self.scaling.priors(self.priors),
            self.structure,
            prior_only=prior_only,
            rows=rows,
            centering=self.centering,
            decoupling=self.decoupling,
            smooths=self.smooths,
        )

    def __repr__(self) -> str:
        """Describe the model in one line."""
        parts = [quote(stated(self.spec), _LONGEST), self.spec.family]
        if self.spec.link is not None:
            parts.append(self.spec.link)
        parts.append(POOLING_IN_WORDS[self.spec.pooling])
        if self.parameterization:
            parts.append(self.parameterization)
        parts.append(f"{self.design.rows} rows")
        if self.design.factor is not None:
            sizes = [str(len(factor.labels)) for factor in self.design.factors]
            parts.append(f"{' and '.join(sizes)} groups")
        return f"Model({', '.join(parts)})"


def prepare(
    spec: ModelSpec,
    data: Any,
    *,
    strict: bool = True,
    priors: PriorTable | None = None,
    design: Design | None = None,
    form: Parameterization | None = None,
    kept: Structure | None = None,
) -> PreparedModel:
    """Bring a specification and data together.

    Parameters
    ----------
    spec, data
        The model without data, and the data.
    strict
        Whether a prior that nothing uses is an error.
    priors, design, form
        What is known already: priors in force, the design, the parameterization.
    kept
        The structure of a model of more rows, whose program is kept.

    Raises
    ------
    SpecError
        If the formula, an option or a prior is wrong.
    DataError
        If the data cannot serve the model.
    """
    chunks = streamed(spec, data) if is_chunked(data) else None
    if chunks is None:
        frame = used_columns(spec, data)
        spec = with_subpopulations(spec, frame)
        refuse_level_per_row(spec, frame)
        is_checked = design is not None
        design = build_design(spec, frame) if design is None else design
        read = StreamedDesign(design, design, design)
    else:
        frame, is_checked = chunks.frame, False
        read = streamed_design(spec, chunks)
        design = read.design
    shown = frame if chunks is None else chunks.specimen
    if not is_checked:
        _check_design(spec, design, shown)
        if strict and priors is None:
            _warn_about_design(spec, design, shown)
    if priors is None:
        named = spec.priors and chunks is None
        columns = (as_frame(data) if named else shown).columns
        priors = resolve_priors(spec, read.moments, strict=strict, columns=columns)
    is_read = chunks is not None
    chosen, reason, integrated = choose_form(spec, read.rows, is_read)
    if form is not None and form != chosen:
        chosen, reason = form, "auto, when it was fitted"
    scaling = scaling_of(spec, read.moments, priors)
    if kept is not None:
        integrated = kept.integrated
    rows = fewer_rows(spec, read, scaling, chosen, integrated, is_read, kept)
    return PreparedModel(
        spec=spec,
        data=frame,
        chunks=chunks,
        design=design,
        priors=priors,
        structure=structure_with(spec, design, priors, chosen, rows, kept),
        scaling=scaling,
        rows=rows,
        parameterization_reason=reason,
        unused_levels=()
        if chunks is not None or is_checked
        else levels_without_rows(spec, frame, data),
    )


def _check_design(spec: ModelSpec, design: Design, shown: pd.DataFrame) -> None:
    """Refuse a design whose names or groups do not suit the model."""
    check_names(design)
    check_nesting(spec, shown, rows=design.rows)
    check_single_rows(spec, design)


def _warn_about_design(spec: ModelSpec, design: Design, shown: pd.DataFrame) -> None:
    """Warn of labels that look crossed, and of predictors that are left out."""
    warn_if_crossed(spec, shown)
    for said in design.said_of_left_out():
        warn_user(
            f"predictors are left out, {said}. New rows with it are refused; a model "
            "in which combinations are groups, as in (1 | a:b), predicts new ones.",
            RankWarning,
        )


def _chosen_rows(rows: Any, count: int) -> np.ndarray:
    """Return positions of rows, of positions or of a mask."""
    chosen = np.zeros((0, 0), dtype=np.intp)
    with suppress(IndexError, ValueError, TypeError, OverflowError):
        places = np.asarray(rows)
        places = places if places.size else places.astype(np.intp)
        chosen = np.arange(count)[places]
    if chosen.ndim != 1:
        raise SpecError(
            f"rows={quote(rows)} must be positions below {count}, or a mask of as "
            "many True and False."
        )
    return chosen
