"""The facade: ``Model`` states, builds and fits; ``Fit`` holds what came out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.annotation import annotate
from stanpool.cells import Cells, collect, why_no_cells
from stanpool.centering import Centering, centering_of
from stanpool.chunks import Streamed
from stanpool.columns import as_frame, used_columns
from stanpool.design import Design, build_design
from stanpool.errors import SpecError, listed, shorten
from stanpool.formula import formula_of, outcome_name, parse_formulas, quote_name
from stanpool.gram import (
    CompressedRows,
    compressed_rows,
    why_not_compressed,
)
from stanpool.linear_pilot import estimate_from_rows
from stanpool.marginal import (
    MarginalRows,
    integrated_factors,
    marginal_rows,
    why_marginal_is_slow,
    why_not_marginal,
)
from stanpool.nesting import check_nesting, check_single_rows, warn_if_crossed
from stanpool.outcome import check_other_outcome, labelled_outcome
from stanpool.pilot import Pilot, estimate
from stanpool.posterior import check_names
from stanpool.priors import (
    PriorTable,
    correlated_factors,
    listed_origins,
    resolve_priors,
)
from stanpool.program import StanProgram, Structure, render, structure_of
from stanpool.progress import detailed
from stanpool.scaling import Scaling, scaling_of
from stanpool.spec import ModelSpec, Prior, as_fixed, as_names, as_priors
from stanpool.stan_data import stan_data
from stanpool.stream import StreamedDesign, is_chunked, streamed, streamed_design

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    import pandas as pd
    import xarray as xr

    from stanpool.crossval import CrossValidation
    from stanpool.diagnostics import Diagnosis
    from stanpool.engine.run import SampleSettings
    from stanpool.predict import GroupTerms


_LONGEST = 300  # characters of a formula where a model describes itself


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Model:
    """A hierarchical model of a data frame: stated, checked and ready to fit.

    Parameters
    ----------
    formula
        ``"y ~ x1 + x2 + (1 + x1 | g)"``; ``||`` for uncorrelated coefficients;
        ``offset(z)`` is added as it is. Parts of the outcome stand behind a bar and
        are joined by ``+``: ``y | trials(n)`` for binomial outcomes; ``se(s)`` for
        known standard errors, ``se(s, sigma=True)`` if there is a residual besides;
        ``exposure(e)``; ``weights(w)``, which multiply the log likelihood;
        ``cens(c)`` and ``cens(c, upper)``, where ``c`` is ``none``, ``left``,
        ``right`` or ``interval`` (0, -1, 1, 2), and ``y`` and ``upper`` are the ends
        of an interval; ``trunc(lower, upper)``, columns or numbers. Predictors are
        formulaic's notation. A list of two formulas, the second ``"sigma ~ (1 | g)"``,
        is the same as ``residual="g"``.
    data
        A data frame, or a mapping of columns. It is copied: later changes of it
        have no effect on the model. Data that do not fit in memory are read once, in
        chunks, and kept as what the likelihood needs: the path of a CSV or Parquet
        file or of a folder of them (Parquet needs ``stanpool[parquet]``), an
        iterator of data frames, or a function that returns one. For gaussian outcomes
        around a linear predictor, and for bernoulli, binomial and poisson ones with
        few combinations of predictors; terms are computed row by row. What needs the
        rows afterwards (``loo``, checks, predictions of the data) says so.
    family
        ``"gaussian"``, ``"student_t"``, ``"lognormal"``, ``"gamma"``,
        ``"bernoulli"``, ``"binomial"``, ``"beta"``, ``"poisson"``,
        ``"negative_binomial"``, ``"ordinal"`` (cumulative: an ordered categorical or
        whole numbers, with cutpoints in the place of an intercept) or
        ``"categorical"`` (the first category is the reference; the others have linear
        predictors of their own, and with ``|`` a group's coefficients are correlated
        over the categories, too).
    link
        ``"identity"`` or ``"log"`` for gaussian; ``"logit"``, ``"probit"`` or
        ``"cloglog"`` for bernoulli, binomial and beta; ``"logit"`` or ``"probit"``
        for ordinal. By default the first; the others have one link.
    pooling
        ``"partial"``, ``"none"`` or ``"complete"``.
    parameterization
        ``"centered"``; ``"noncentered"``; ``"adaptive"``, where each group's
        coefficients are centered as far as its own data say what they are;
        ``"marginal"``, for gaussian outcomes, where the coefficients of the factor with
        most groups, and of a second one where that is cheap, are integrated out,
        exactly, and drawn back after sampling; or
        ``"auto"``, which is marginal where that is exact and fast, else adaptive.
    residual
        A column whose groups have residual scales of their own: free under no
        pooling, pooled on the log scale under partial pooling.
    group_predictors
        Predictors that must be constant within groups: a check. Predictors that are
        constant within groups are recognised anyway, and move the mean of the
        groups' coefficients.
    priors
        By the names of the posterior: ``{"Intercept": "normal(0, 10)", "beta[floor]":
        "normal(0, 1)", "tau_county": "exponential(1)", "Omega": "lkj(2)"}``, as text
        or ``Prior``. On a positive parameter a distribution is its half form;
        ``"sigma^2"`` and ``"tau_county^2"`` are variances, whose prior is
        ``inv_gamma``. With ``pooling="none"``, ``Intercept`` and ``beta[x]`` are the
        priors of each group's own coefficients. ``model.priors`` is the table of what
        is in force.
    fixed
        With ``pooling="none"``: hyperparameters that are known numbers, such as
        ``{"Intercept": 1.3, "tau_county": 0.3}``. The groups' coefficients have that
        population as their prior, and share nothing; ``pooling="partial"`` learns it.
    center_predictors
        Whether the prior on the intercept refers to the predictors' means, and
        predictors that are far from 0 are counted from an origin, a round number among
        their values (``explain()`` and ``model.priors`` say where): there ``tau`` and
        ``Omega`` have their priors, and coefficients that are uncorrelated are so
        there. Draws are those where predictors are 0, in any case.
    compress
        Whether the program sees fewer rows, of exactly the same likelihood: gaussian
        rows are turned, binary outcomes and counts with the same predictors and groups
        are collected. By default where that saves time. ``False`` rules the marginal
        form out, too.

    Raises
    ------
    SpecError
        If the formula, an option or a prior is wrong.
    DataError
        If the data cannot serve the model.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> model
    Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, \
marginal, 919 rows, 85 groups)
    """

    spec: ModelSpec
    data: pd.DataFrame
    chunks: Streamed | None
    design: Design
    priors: PriorTable
    structure: Structure
    scaling: Scaling
    rows: Cells | CompressedRows | MarginalRows | None
    parameterization_reason: str

    def __init__(
        self,
        formula: str | Sequence[str],
        data: Any,
        *,
        family: str = "gaussian",
        link: str | None = None,
        pooling: str = "partial",
        parameterization: str = "auto",
        residual: str | None = None,
        group_predictors: Sequence[str] = (),
        priors: Mapping[str, str | Prior] | None = None,
        fixed: Mapping[str, float] | None = None,
        center_predictors: bool = True,
        compress: bool | None = None,
    ) -> None:
        parsed, group = parse_formulas(formula)
        if residual is not None and group not in (None, residual):
            raise SpecError(
                f"residual={shorten(residual)} and 'sigma ~ (1 | {group})' contradict "
                "each other; state one."
            )
        spec = ModelSpec(
            **vars(parsed),
            family=family,
            link=link,
            pooling=pooling,
            parameterization=parameterization,
            residual=residual if group is None else group,
            group_predictors=as_names("group_predictors", group_predictors),
            priors=as_priors(priors),
            fixed=as_fixed(fixed),
            center_predictors=center_predictors,
            compress=compress,
        )
        self._build(spec, data)

    def _build(
        self,
        spec: ModelSpec,
        data: Any,
        *,
        strict: bool = True,
        priors: PriorTable | None = None,
        design: Design | None = None,
        form: str | None = None,
        like: Structure | None = None,
    ) -> None:
        """Fill the fields; the one place that does.

        ``like`` is the structure of a model of more rows, whose program is kept.
        """
        chunks = streamed(spec, data) if is_chunked(data) else None
        if chunks is None:
            frame = shown = used_columns(spec, data)
            is_new = design is None
            if design is None:
                design = build_design(spec, frame)
            read = StreamedDesign(design, design, design)
        else:
            frame, shown, is_new = chunks.frame, chunks.specimen, True
            read = streamed_design(spec, chunks)
            design = read.design
        if is_new:
            check_names(design)
            check_nesting(spec, shown, rows=design.rows)
            check_single_rows(spec, design)
            if strict and priors is None:
                warn_if_crossed(spec, shown)
        if priors is None:
            named = spec.priors and chunks is None
            priors = resolve_priors(
                spec,
                read.moments,
                strict=strict,
                columns=(as_frame(data) if named else shown).columns,
            )
        is_read = chunks is not None
        parameterization, reason, integrated = _choose_form(spec, read.rows, is_read)
        if form is not None and form != parameterization:
            parameterization, reason = form, "auto, when it was fitted"
        scaling = scaling_of(spec, read.moments, priors)
        rows: Cells | CompressedRows | MarginalRows | None = None
        always = spec.compress is True or is_read
        if parameterization == "marginal":
            rows = marginal_rows(
                scaling.design(read.rows), like.integrated if like else integrated
            )
        elif not why_no_cells(spec):
            if spec.compress is not False:
                rows = collect(
                    spec,
                    scaling.design(read.rows),
                    always=always,
                    counts=read.counts,
                )
        elif _can_be_compressed(spec, read.rows, is_read):
            rows = compressed_rows(scaling.design(read.rows), always=always)
        if isinstance(rows, CompressedRows | MarginalRows):
            y_bar = rows.y_bar + read.y_origin / scaling.outcome
            rows = replace(rows, y_bar=y_bar)
        structure = structure_of(
            spec,
            design,
            priors,
            parameterization,
            integrated=rows.integrated if isinstance(rows, MarginalRows) else (),
            compressed=isinstance(rows, CompressedRows),
            many_rows=like.piloted
            if like
            else isinstance(rows, MarginalRows) and rows.are_many,
        )
        if isinstance(rows, Cells):
            offset = rows.design.offset is not None
            structure = replace(structure, family=rows.family, offset=offset)
        for name, value in (
            ("spec", spec),
            ("data", frame),
            ("chunks", chunks),
            ("design", design),
            ("priors", priors),
            ("structure", structure),
            ("scaling", scaling),
            ("rows", rows),
            ("parameterization_reason", reason),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def from_spec(
        cls,
        spec: ModelSpec,
        data: Any,
        *,
        strict: bool = True,
        priors: PriorTable | None = None,
        parameterization: str | None = None,
    ) -> Model:
        """Build a model from a specification.

        Parameters
        ----------
        spec, data
            The model without data, and the data.
        strict
            Whether a prior that nothing uses is an error.
        priors
            The priors in force, where they are known already: those of a kept fit.
        parameterization
            And what was chosen, where the specification leaves the choice.
        """
        model = cls.__new__(cls)
        model._build(spec, data, strict=strict, priors=priors, form=parameterization)
        return model

    def with_(self, **changes: Any) -> Model:
        """Return the model with fields of its specification changed, on the same data.

        Priors that the changed model has no use for are left aside, so that one set
        of priors serves every pooling.

        Examples
        --------
        >>> import stanpool as sp
        >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
        ...                  sp.load_dataset("eight_schools"))
        >>> model.with_(pooling="complete").design.factor is None
        True
        """
        return Model.from_spec(replace(self.spec, **changes), self.source, strict=False)

    @property
    def source(self) -> Any:
        """What to build another model of the same data from.

        The columns that the model uses, or what was kept of data in chunks.
        """
        return self.data if self.chunks is None else self.chunks

    def take(self, rows: Any) -> Model:
        """Return the same model of some rows: its priors, levels, groups and program.

        Groups that are left without rows stay: under partial pooling their
        coefficients are drawn from the population. Nothing is compiled anew.

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
        chosen = np.arange(self.design.rows)[np.asarray(rows)]
        design = self.design.take(chosen)
        model = Model.__new__(Model)
        model._build(
            # What was chosen automatically is not chosen anew.
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
            like=self.structure,
        )
        model.__dict__["centering"] = self.centering
        return model

    def with_outcome(self, y: Any) -> Model:
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
        model = Model.__new__(Model)
        model._build(
            replace(
                self.spec,
                outcome=quote_name(name),
                parameterization=self.parameterization or "auto",
            ),
            self.data.assign(**{name: labelled_outcome(design)}),
            priors=self.priors,
            design=design,
        )
        return model

    @property
    def parameterization(self) -> str | None:
        """``"adaptive"``, ``"marginal"`` or what was set; None unless partial."""
        return self.structure.parameterization

    @cached_property
    def pilot(self) -> Pilot | None:
        """A quick estimate, in the units of the program; None if there is none.

        It says how far groups are centered and where chains start, and nothing else.
        """
        is_kept = self.chunks is None or isinstance(self.rows, Cells | MarginalRows)
        if self.spec.pooling != "partial" or not is_kept:
            return None
        spec, design = self.spec, self.scaling.design(self.design)
        priors = self.scaling.priors(self.priors)
        correlated = correlated_factors(spec, design)
        if isinstance(self.rows, MarginalRows):
            found = estimate_from_rows(self.rows, design, priors, correlated)
            if found is not None or self.chunks is not None:
                return found
        if isinstance(self.rows, Cells):
            design = self.rows.design
            counted = spec.trials or spec.outcome
            trials = counted if self.rows.family == "binomial" else None
            spec = replace(spec, family=self.rows.family, trials=trials)
        return estimate(spec, design, priors, correlated)

    @cached_property
    def centering(self) -> tuple[Centering, ...]:
        """How far the coefficients of each factor are centered, if adaptive."""
        if self.parameterization != "adaptive":
            return ()
        factors, pilot = self.design.factors, self.pilot
        if pilot is None:
            return tuple(centering_of(factor, None) for factor in factors)
        return tuple(map(centering_of, factors, pilot.factors))

    def explain(self) -> str:
        """Say what was chosen for the model, and why; to be printed.

        Examples
        --------
        >>> import stanpool as sp
        >>> model = sp.Model("log_radon ~ floor + (1 | county)",
        ...                  sp.load_dataset("radon"), parameterization="marginal")
        >>> print(model.explain())
        Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, \
marginal, 919 rows, 85 groups)
        parameterization: marginal (set)
        integrated out: the coefficients of 85 groups of 'county', drawn back exactly
        rows: 919, turned into 49 of the same likelihood
        warm-up: 500 iterations, from around a pilot estimate and with its metric
        """
        from stanpool.sampling import default_warmup

        lines = [repr(self)]
        if self.parameterization:
            reason = self.parameterization_reason
            lines.append(f"parameterization: {self.parameterization} ({reason})")
        if self.design.origins:
            lines.append(
                f"origins: {listed_origins(dict(self.design.origins))}, from where the "
                "program counts; model.priors says what has its prior there"
            )
        if isinstance(self.rows, MarginalRows):
            factors = [self.design.factors[number] for number in self.rows.integrated]
            groups = " and ".join(
                f"{len(factor.labels)} groups of {shorten(factor.factor)}"
                for factor in factors
            )
            lines.append(
                f"integrated out: the coefficients of {groups}, drawn back exactly"
            )
        if self.spec.pooling != "complete":
            lines += [
                f"memberships: a row gets {each.of_a_row}"
                for each in self.spec.groups
                if each.membership
            ]
        for factor, centering in zip(self.design.factors, self.centering, strict=False):
            lines.append(centering.describe(factor))
        if self.chunks is not None:
            lines.append(f"data: read in chunks from {self.chunks.named}, and not kept")
        if isinstance(self.rows, Cells):
            lines.append(
                f"rows: {self.design.rows}, collected into {self.rows.kept} cells of "
                "the same predictors and groups"
            )
        elif self.rows is not None:
            lines.append(
                f"rows: {self.design.rows}, turned into {self.rows.kept} of the same "
                "likelihood"
            )
        warmup = default_warmup(self)
        if warmup < default_warmup(self, inits="random"):
            lines.append(
                f"warm-up: {warmup} iterations, from around a pilot estimate and with "
                "its metric"
            )
        return "\n".join(lines)

    @property
    def program(self) -> StanProgram:
        """The Stan program; its likelihood may be compiled from C++ (``header``)."""
        return render(self.structure)

    @property
    def stan_code(self) -> str:
        """The Stan program to read, under a comment that names columns and groups."""
        if isinstance(self.rows, Cells):
            return annotate(self.program, self.rows.design, scaling=self.scaling)
        return annotate(self.program, self.design, self.rows, self.scaling)

    def stan_data(self, *, prior_only: bool = False) -> dict[str, Any]:
        """Return the data dictionary that goes with ``stan_code``.

        Parameters
        ----------
        prior_only
            Leave the outcome out.
        """
        design, rows = self.scaling.design(self.design), self.rows
        if isinstance(rows, Cells):
            design, rows = rows.design, None
        return stan_data(
            design,
            self.scaling.priors(self.priors),
            self.structure,
            prior_only=prior_only,
            rows=rows,
            centering=self.centering,
        )

    def prior_predictive(
        self, draws: int = 1000, seed: int | None = None
    ) -> xr.DataTree:
        """Draw parameters and outcomes from the prior, without compiling anything.

        See ``stanpool.prior_predictive``.
        """
        from stanpool.simulate import prior_predictive

        return prior_predictive(self, draws=draws, seed=seed)

    def fit(
        self,
        *,
        chains: int = 4,
        draws: int = 1000,
        warmup: int | None = None,
        seed: int | None = None,
        adapt_delta: float = 0.8,
        max_treedepth: int = 10,
        parallel_chains: int | None = None,
        threads_per_chain: int | str = "auto",
        inits: Any = None,
        prior_only: bool = False,
        progress: bool = True,
        verbose: int | None = None,
        sample_options: Mapping[str, Any] | None = None,
        file: str | os.PathLike[str] | None = None,
    ) -> Fit:
        """Compile the program, or take it from the cache, and sample with NUTS.

        Parameters
        ----------
        chains, draws, warmup
            How many chains, and how many draws and warm-up iterations of each: by
            default 500 of warm-up in the marginal form, where chains start around a
            pilot estimate (``explain()`` says so), else 1000.
        seed
            0 to 2**32 - 1; drawn at random, and kept in the fit, if None.
        adapt_delta
            Target acceptance rate, between 0 and 1; higher means smaller steps.
        max_treedepth
            Trajectories double at most this often.
        parallel_chains
            Chains at a time; by default as many as there are cores.
        threads_per_chain
            Threads that share the rows of a chain, where their likelihood is C++
            (``model.program.header``); ``"auto"`` for the cores that the chains leave
            free, if there are many rows and ``parallel_chains`` is not set. No draw
            depends on it.
        inits
            Where chains start: by default, in the adaptive and the marginal form,
            around a pilot estimate, from a distribution that is wider than the
            posterior, else at random; ``"random"`` for random in (-2, 2) on the
            unconstrained scale; or initial values as cmdstanpy takes them, in the
            units of ``stan_data()``.
        prior_only
            Draw from the prior: the outcome is left out.
        progress
            Whether to show progress, on standard error: bars in a terminal, one line
            for each stage elsewhere.
        verbose
            0: nothing, as ``progress=False``; 1: progress; 2: how each stage came out
            and what Stan said, too. The logger ``stanpool`` has all of it, whatever is
            shown.
        sample_options
            More arguments for ``cmdstanpy.CmdStanModel.sample``, unchanged.
        file
            A folder to keep the fit in. A fit that is there already is returned if
            the model, its program, priors and data, and these settings are the same
            (any seed if ``seed`` is None); otherwise it is replaced. The logger
            ``stanpool`` and ``progress`` say which, and what has changed.

        Raises
        ------
        SpecError
            If an argument is out of its range.
        FileExistsError
            If there is something at ``file`` that is not a fit.
        CompileError, SamplingError, EngineError
            If Stan could not be set up, the program not compiled, or a chain failed.
        """
        from stanpool.sampling import sampled, settings_of

        settings = settings_of(
            self,
            chains=chains,
            draws=draws,
            warmup=warmup,
            seed=seed,
            adapt_delta=adapt_delta,
            max_treedepth=max_treedepth,
            parallel_chains=parallel_chains,
            threads_per_chain=threads_per_chain,
            inits=inits,
            prior_only=prior_only,
            sample_options=sample_options,
        )
        shown = progress if verbose is None else verbose > 0
        with detailed(None if verbose is None else verbose > 1):
            if file is None:
                return sampled(self, settings, prior_only=prior_only, progress=shown)
            from stanpool.keeping import kept_or_new

            return kept_or_new(
                self,
                settings,
                file,
                any_seed=seed is None,
                prior_only=prior_only,
                progress=shown,
            )

    def __repr__(self) -> str:
        """Describe the model in one line."""
        parts = [shorten(formula_of(self.spec), _LONGEST), self.spec.family]
        if self.spec.link is not None:
            parts.append(self.spec.link)
        parts.append(f"{self.spec.pooling} pooling")
        if self.parameterization:
            parts.append(self.parameterization)
        parts.append(f"{self.design.rows} rows")
        if self.design.factor is not None:
            parts.append(f"{len(self.design.group_labels)} groups")
        return f"Model({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Show the model in a notebook, with its priors and its program."""
        from stanpool.display import model_html

        return model_html(self)


@dataclass(frozen=True, repr=False, eq=False)
class Fit:
    """The draws of a model, labelled, with how they were made.

    Attributes
    ----------
    model
        What was fitted.
    tree
        The draws: groups ``posterior``, ``sample_stats``, ``observed_data``.
    settings
        Chains, draws, seed and the rest.
    seconds
        Wall time of sampling and reading the draws; compiling is not in it.
    prior_only
        Whether the draws are from the prior.
    engine
        Versions of Stan, its engine and compiler.
    program
        The Stan program that was fitted.
    rejections
        Why Stan could not evaluate the log density at proposals, which it then
        rejected, and how often after warm-up.
    """

    model: Model
    tree: xr.DataTree
    settings: SampleSettings
    seconds: float
    prior_only: bool
    engine: Mapping[str, str]
    program: StanProgram
    rejections: Mapping[str, int] = field(default_factory=dict)

    @property
    def posterior(self) -> xr.Dataset:
        """The draws of the parameters."""
        return self.tree["posterior"].to_dataset()

    @property
    def sample_stats(self) -> xr.Dataset:
        """What the sampler says of each draw: divergences, energy, tree depth."""
        return self.tree["sample_stats"].to_dataset()

    def to_arviz(self) -> Any:
        """Return the draws as the container of the installed ArviZ."""
        from stanpool.arviz_seam import to_arviz

        return to_arviz(self.tree)

    def summary(self, *, groups: bool = True) -> pd.DataFrame:
        """Summarize each parameter: mean, sd, quantiles, R-hat, effective sizes.

        Parameters
        ----------
        groups
            Whether to list the groups' own coefficients, too.
        """
        from stanpool.summary import summary

        return summary(self, groups=groups)

    def diagnose(self) -> Diagnosis:
        """Say whether the draws can be trusted, what is wrong, where, what to do."""
        from stanpool.diagnostics import diagnose

        return diagnose(self)

    def fixef(self, *, prob: float = 0.9) -> pd.DataFrame:
        """Describe the coefficients of the population, with intervals."""
        from stanpool import effects

        return effects.fixef(self, prob=prob)

    def ranef(self, *, factor: str | None = None, prob: float = 0.9) -> pd.DataFrame:
        """Describe what groups' coefficients deviate from their means."""
        from stanpool import effects

        return effects.ranef(self, factor=factor, prob=prob)

    def coef(self, *, factor: str | None = None, prob: float = 0.9) -> pd.DataFrame:
        """Describe the full coefficients of each group."""
        from stanpool import effects

        return effects.coef(self, factor=factor, prob=prob)

    def varcorr(self, *, prob: float = 0.9, at: str = "zero") -> pd.DataFrame:
        """Describe population scales, correlations and the residual scale."""
        from stanpool import effects

        return effects.varcorr(self, prob=prob, at=at)

    def pooling_factors(self, *, by_group: bool = False) -> pd.DataFrame:
        """Measure how far groups are pooled: 0 not at all, 1 completely."""
        from stanpool import effects

        return effects.pooling_factors(self, by_group=by_group)

    def icc(self, *, prob: float = 0.9) -> pd.DataFrame:
        """Describe the share of each grouping factor in the variance of a row."""
        from stanpool import effects

        return effects.icc(self, prob=prob)

    def bayes_R2(
        self, *, group_terms: GroupTerms | None = None, prob: float = 0.9
    ) -> pd.DataFrame:
        """Describe the share of the variance of outcomes that is explained."""
        from stanpool import effects

        return effects.bayes_R2(self, group_terms=group_terms, prob=prob)

    def hypothesis(
        self, hypotheses: str | Sequence[str], *, prob: float = 0.9
    ) -> pd.DataFrame:
        """Compute posterior probabilities of hypotheses such as ``"floor < 0"``."""
        from stanpool import hypothesis

        return hypothesis.hypothesis(self, hypotheses, prob=prob)

    def contrasts(
        self,
        pairs: Sequence[tuple[Any, Any]] | None = None,
        *,
        factor: str | None = None,
        coefficient: str = "Intercept",
        prob: float = 0.9,
    ) -> pd.DataFrame:
        """Describe differences between groups' full coefficients."""
        from stanpool import effects

        return effects.contrasts(
            self, pairs, factor=factor, coefficient=coefficient, prob=prob
        )

    def rank_groups(
        self,
        *,
        factor: str | None = None,
        coefficient: str = "Intercept",
        largest_first: bool = True,
        draws: int | None = None,
        prob: float = 0.9,
    ) -> pd.DataFrame:
        """Rank groups by their full coefficients, with the uncertainty of ranks."""
        from stanpool import effects

        return effects.rank_groups(
            self,
            factor=factor,
            coefficient=coefficient,
            largest_first=largest_first,
            draws=draws,
            prob=prob,
        )

    def update(
        self,
        data: Any = None,
        *,
        priors: Mapping[str, str | Prior] | None = None,
        chains: int | None = None,
        draws: int | None = None,
        warmup: int | None = None,
        seed: int | None = None,
        adapt_delta: float | None = None,
        max_treedepth: int | None = None,
        parallel_chains: int | None = None,
        progress: bool = True,
    ) -> Fit:
        """Fit the model again, to other data or with other priors.

        See ``stanpool.update.update``.
        """
        from stanpool.update import update

        return update(
            self,
            data,
            priors=priors,
            chains=chains,
            draws=draws,
            warmup=warmup,
            seed=seed,
            adapt_delta=adapt_delta,
            max_treedepth=max_treedepth,
            parallel_chains=parallel_chains,
            progress=progress,
        )

    def prior_sensitivity(self) -> pd.DataFrame:
        """Measure how sensitive each quantity is to the priors, and to the data."""
        from stanpool.sensitivity import prior_sensitivity

        return prior_sensitivity(self)

    def linpred(
        self,
        data: Any = None,
        *,
        draws: int | None = None,
        group_terms: GroupTerms | None = None,
        groups: str = "fitted",
        new_groups: str = "error",
        given: Any = None,
        seed: int | None = None,
    ) -> xr.DataArray:
        """Return linear predictors of the data or of new rows.

        See ``stanpool.predict.linpred`` for the options.
        """
        from stanpool import predict

        return predict.linpred(
            self,
            data,
            draws=draws,
            group_terms=group_terms,
            groups=groups,
            new_groups=new_groups,
            given=given,
            seed=seed,
        )

    def epred(
        self,
        data: Any = None,
        *,
        draws: int | None = None,
        group_terms: GroupTerms | None = None,
        groups: str = "fitted",
        new_groups: str = "error",
        given: Any = None,
        seed: int | None = None,
    ) -> xr.DataArray:
        """Return expected outcomes of the data or of new rows.

        See ``stanpool.predict.epred`` for the options.
        """
        from stanpool import predict

        return predict.epred(
            self,
            data,
            draws=draws,
            group_terms=group_terms,
            groups=groups,
            new_groups=new_groups,
            given=given,
            seed=seed,
        )

    def predict(
        self,
        data: Any = None,
        *,
        draws: int | None = None,
        group_terms: GroupTerms | None = None,
        groups: str = "fitted",
        new_groups: str = "error",
        given: Any = None,
        seed: int | None = None,
    ) -> xr.DataArray:
        """Draw outcomes of the data or of new rows, at each posterior draw.

        See ``stanpool.predict.predict`` for the options.
        """
        from stanpool import predict

        return predict.predict(
            self,
            data,
            draws=draws,
            group_terms=group_terms,
            groups=groups,
            new_groups=new_groups,
            given=given,
            seed=seed,
        )

    def predict_table(
        self,
        data: Any = None,
        *,
        kind: str = "predict",
        prob: float = 0.9,
        draws: int | None = None,
        group_terms: GroupTerms | None = None,
        groups: str = "fitted",
        new_groups: str = "error",
        given: Any = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Summarize predictions in one line for each row, whatever their number.

        See ``stanpool.predict.predict_table`` for the options.
        """
        from stanpool import predict

        return predict.predict_table(
            self,
            data,
            kind=kind,
            prob=prob,
            draws=draws,
            group_terms=group_terms,
            groups=groups,
            new_groups=new_groups,
            given=given,
            seed=seed,
        )

    def log_lik(
        self,
        data: Any = None,
        *,
        draws: int | None = None,
        group_terms: GroupTerms | None = None,
        groups: str = "fitted",
        new_groups: str = "error",
        given: Any = None,
        seed: int | None = None,
    ) -> xr.DataArray:
        """Return the log likelihood of each row at each draw.

        See ``stanpool.predict.log_lik`` for the options.
        """
        from stanpool import predict

        return predict.log_lik(
            self,
            data,
            draws=draws,
            group_terms=group_terms,
            groups=groups,
            new_groups=new_groups,
            given=given,
            seed=seed,
        )

    def loo(
        self,
        *,
        unit: str = "row",
        factor: str | None = None,
        sample: int | None = None,
        reloo: bool = False,
        executor: Executor | None = None,
        progress: bool = True,
    ) -> CrossValidation:
        """Predict each row, or each group, from the others, without refitting.

        See ``stanpool.crossval.loo``.
        """
        from stanpool.crossval import loo

        return loo(
            self,
            unit=unit,
            factor=factor,
            sample=sample,
            reloo=reloo,
            executor=executor,
            progress=progress,
        )

    def influence(
        self, *, unit: str = "group", factor: str | None = None
    ) -> pd.DataFrame:
        """Estimate how far quantities of the population move without each unit.

        See ``stanpool.influence.influence``.
        """
        from stanpool.influence import influence

        return influence(self, unit=unit, factor=factor)

    def kfold(
        self,
        *,
        folds: int = 10,
        unit: str = "row",
        factor: str | None = None,
        seed: int | None = None,
        executor: Executor | None = None,
        progress: bool = True,
    ) -> CrossValidation:
        """Predict rows, or whole groups, from refits that have not seen them.

        See ``stanpool.crossval.kfold``.
        """
        from stanpool.crossval import kfold

        return kfold(
            self,
            folds=folds,
            unit=unit,
            factor=factor,
            seed=seed,
            executor=executor,
            progress=progress,
        )

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        title: str | None = None,
        loo: bool = True,
    ) -> Path:
        """Write the fit up as one HTML file that opens from disk, verdict first.

        See ``stanpool.report.write_report``.
        """
        from stanpool.report import write_report

        return write_report(self, path, title=title, loo=loo)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fit to a folder that ``stanpool.load`` reads without an engine."""
        from stanpool.keeping import save

        save(self, path, overwrite=overwrite)

    def __repr__(self) -> str:
        """Describe the fit in one line."""
        return (
            f"Fit({self.model!r}, {self.settings.chains} chains of "
            f"{self.settings.draws} draws, seed {self.settings.seed})"
        )

    def _repr_html_(self) -> str:
        """Show the fit in a notebook: the population's quantities."""
        from stanpool.display import fit_html

        return fit_html(self)


def _can_be_compressed(spec: ModelSpec, design: Design, is_read: bool) -> bool:
    """Whether the rows may be turned into fewer, outside the marginal form.

    They must be if they were read in chunks.
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


def _choose_form(
    spec: ModelSpec, design: Design, is_read: bool
) -> tuple[str | None, str, tuple[int, ...]]:
    """Return the parameterization that is fitted, and why.

    And which factors the marginal form would integrate out, none if it is not exact.
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
            f"parameterization='marginal' is not available: {against}. Pass 'auto', "
            "which chooses among the others."
        )
    if chosen != "auto":
        return chosen, "set", integrated
    if against:
        against = f"marginal is not available: {against}"
    elif not is_read:  # else there is no pilot for another
        slow = why_marginal_is_slow(design, integrated)
        against = f"marginal would be slower: {slow}" if slow else ""
    if against:
        reason = (
            "auto: each group is centered as far as its own data say what its "
            f"coefficients are; {against}"
        )
        return "adaptive", reason, integrated
    left = [x.factor for n, x in enumerate(design.factors) if n not in integrated]
    reason = (
        "auto: exact for gaussian outcomes, and there is no funnel left to sample from"
    )
    if left:
        reason = (
            "auto: exact for gaussian outcomes, with no coefficients left to sample "
            f"but those of {listed(left)}"
        )
    return "marginal", reason, integrated
