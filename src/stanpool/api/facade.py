"""``Model`` and ``Fit``, the classes that users work with.

Their methods are functions of the other modules, with their names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from stanpool.api.drawings import Drawings
from stanpool.api.notebook_display import fit_html, model_html
from stanpool.base.arguments import public
from stanpool.base.options import (
    EngineChoice,
    Link,
    Method,
    Parameterization,
    Pooling,
    Threads,
)
from stanpool.base.progress import verbose_logging
from stanpool.data.design.covariance.known import as_covariances
from stanpool.inference.arviz_export import to_arviz
from stanpool.inference.diagnostics import diagnose
from stanpool.inference.diagnostics.outcomes import check_outcomes
from stanpool.inference.effects.comparisons import comparisons
from stanpool.inference.effects.predictions import poststratify, predictions
from stanpool.inference.effects.rows.grid import datagrid
from stanpool.inference.effects.slopes import slopes
from stanpool.inference.effects.survival import survival
from stanpool.inference.estimates.coefficients import coef, fixef, ranef, varcorr
from stanpool.inference.estimates.contrasts import contrasts, rank_groups
from stanpool.inference.estimates.hypothesis import hypothesis
from stanpool.inference.estimates.quick import quick
from stanpool.inference.estimates.summary import draws, summary
from stanpool.inference.estimates.variance import bayes_R2, icc, pooling_factors
from stanpool.inference.evaluation.influence import influence
from stanpool.inference.evaluation.kfold import kfold
from stanpool.inference.evaluation.loo import loo
from stanpool.inference.evaluation.prior_sensitivity import prior_sensitivity
from stanpool.inference.prediction.predict import (
    epred,
    linpred,
    log_lik,
    predict,
)
from stanpool.inference.prediction.prior_predictive import prior_predictive
from stanpool.inference.prediction.summaries import predict_table
from stanpool.language.formulas.formula_text import spec_of
from stanpool.language.model_spec import as_names
from stanpool.language.prior import Prior, as_fixed, as_priors
from stanpool.model.description.equations import equations
from stanpool.model.fit_result import FitResult
from stanpool.model.prepared_model import PreparedModel, prepare
from stanpool.plots.graph.model_graph import graph
from stanpool.report import write_report
from stanpool.sampling.choose_engine import compile_model
from stanpool.sampling.explain import explain
from stanpool.sampling.refit import more, update
from stanpool.sampling.sample import sample_model
from stanpool.sampling.saving import storage
from stanpool.sampling.saving.export import write_stan
from stanpool.sampling.saving.storage import load_or_sample, save
from stanpool.sampling.settings import settings_of


@public
@dataclass(frozen=True, init=False, repr=False, eq=False)
class Model(PreparedModel):
    """A hierarchical model of a data frame, which is checked and ready to fit.

    Parameters
    ----------
    formula
        Such as ``"y ~ x1 + x2 + (1 + x1 | g)"``, with ``||`` for uncorrelated
        coefficients, and ``|id|`` for those that are correlated with the coefficients
        of other formulas. ``offset(z)`` is added as it is. Parts of the outcome follow
        a bar and are joined by ``+``: ``y | trials(n)`` for successes of trials;
        ``se(s)`` for known standard errors, ``se(s, sigma=True)`` if there is a
        residual scale as well; ``exposure(e)``; ``weights(w)``, which multiply the log
        likelihood; ``cens(c)`` and ``cens(c, upper)``, where ``c`` is ``none``,
        ``left``, ``right`` or ``interval`` (0, -1, 1, 2), and ``y`` and ``upper`` are
        the ends of an interval; for times to an event it is ``time | cens(1 - event)``;
        ``trunc(lower, upper)``, if outcomes beyond the bounds are never observed, and
        outcomes equal to a bound are: ``count | trunc(1)`` has no zeros; ``y |
        quantile(0.9)`` of asymmetric_laplace outcomes; ``residual(ar1(time |
        subject))`` and ``residual(cs(subject))``, if residuals are correlated within
        subjects. The outcome, offsets and the
        arguments of the parts can be arithmetic expressions of columns, as in ``post -
        pre`` and ``trials(n + m)``. Among predictors, where ``+ - * / : **`` combine
        terms, arithmetic is written ``I(x**2)``. Formulas can use comparisons, NumPy's
        elementwise functions, ``mean(x)``, ``std(x)``, ``min(x)`` and similar ones,
        ``center``, ``scale``, ``poly``, ``bs``, ``cr`` and ``C``; statistics of all
        rows are those of the data of the fit. No other Python code is evaluated. A list
        of formulas states the family's own parameters, too, after the outcome: ``["y ~
        x + (1 | g)", "sigma ~ z + (1 | g)"]``, or as a mapping ``{"y": "x + (1 | g)",
        "sigma": "z + (1 | g)"}``. What they add up to is the logarithm of ``sigma``,
        ``phi``, ``shape`` and ``nu``, the logit of the probabilities ``zi`` and ``hu``,
        and ``slant`` itself. ``"sigma ~ (1 | g)"`` is the same as ``residual="g"``.
        ``me(x, sd)`` is a predictor with errors of known standard deviations, and
        ``mi(x)`` one with missing values, which may have a formula, ``"mi(x) ~ z"``.
    data
        A data frame, or a mapping of columns. It is copied, so that later changes of it
        do not affect the model. Data that are not in memory are read once, in chunks,
        and only what the likelihood needs is kept. They are given by the path or
        address of a CSV or Parquet file or of a folder of them (Parquet needs
        ``stanpool[parquet]``), by a table of polars, pyarrow, DuckDB, dask, Spark or
        Ray that is not in memory, by an iterator of data frames, by a function that
        returns one, or by the ``Statistics`` that ``sp.reduce`` returns. This is for
        gaussian outcomes, and for bernoulli, binomial and poisson outcomes with few
        combinations of predictors, and terms must be functions of single rows. Methods
        that need the rows afterwards (``loo``, predictive checks, predictions of the
        data) raise an error.
    family
        ``"gaussian"``, ``"student_t"``, ``"skew_normal"``,
        ``"asymmetric_laplace"`` (quantile regression), ``"von_mises"`` (angles in
        radians), ``"lognormal"``, ``"gamma"``, ``"exponential"``, ``"weibull"``,
        ``"inverse_gaussian"``, ``"bernoulli"``, ``"binomial"``, ``"beta_binomial"``,
        ``"beta"``,
        ``"zero_one_inflated_beta"``, ``"poisson"``, ``"negative_binomial"``,
        ``"zero_inflated_poisson"``, ``"zero_inflated_negative_binomial"``,
        ``"zero_inflated_binomial"``,
        ``"hurdle_poisson"``, ``"hurdle_negative_binomial"``, ``"hurdle_gamma"``,
        ``"hurdle_lognormal"``, ``"ordinal"`` (cumulative: an ordered categorical or
        whole numbers, with cutpoints instead of an intercept), ``"sratio"``
        (categories that are reached one after another), ``"acat"`` (adjacent
        categories) or
        ``"categorical"`` (the first category is the reference; the others have linear
        predictors of their own, and with ``|`` a group's coefficients are correlated
        over categories as well).
    link
        ``"identity"`` or ``"log"`` for gaussian; ``"logit"``, ``"probit"`` or
        ``"cloglog"`` for bernoulli, binomial, beta_binomial, beta, ordinal and
        sratio. The first is the default. The other families have one
        link.
    pooling
        ``"partial"``, ``"none"`` or ``"complete"``. The default is partial pooling,
        and complete pooling for a formula without groups.
    parameterization
        ``"centered"``; ``"noncentered"``; ``"adaptive"``, in which the coefficients of
        each group are centered as far as its data are informative about them;
        ``"marginal"``, for gaussian outcomes, in which the coefficients of the factor
        with most groups, and of a second factor if that is cheap, are integrated out
        exactly and drawn after sampling; or ``"auto"``, which is marginal if that is
        possible and fast, and otherwise adaptive.
    residual
        A column whose groups have residual scales of their own, which are independent
        with no pooling, and pooled on the log scale with partial pooling.
    group_predictors
        Predictors that are checked to be constant within groups. Such predictors are
        recognised in any case, and predict the mean of the groups' coefficients.
    priors
        Priors by the names of the posterior: ``{"Intercept": "normal(0, 10)",
        "beta[floor]": "normal(0, 1)", "tau_county": "exponential(1)", "Omega":
        "lkj(2)"}``, as text or ``Prior``. The distribution of a positive parameter is
        truncated at 0; ``"sigma^2"`` and ``"tau_county^2"`` are variances, whose prior
        is ``inv_gamma``. With ``pooling="none"``, ``Intercept`` and ``beta[x]`` are the
        priors of the coefficients of each group. ``model.priors`` is the table of all
        priors. Priors on the scales of correlated intercepts refer to centered
        predictors (``center_predictors``).
    fixed
        Known values of hyperparameters for ``pooling="none"``, such as
        ``{"Intercept": 1.3, "tau_county": 0.3}``. The groups' coefficients have that
        population distribution as their prior, and are independent given it;
        ``pooling="partial"`` estimates it.
    center_predictors
        Whether the prior on the intercept is for centered predictors, and whether a
        constant, a round number among their values, is subtracted from predictors that
        are far from 0 (``explain()`` and ``model.priors`` name it). The
        priors on ``tau`` and ``Omega`` of correlated coefficients refer to the centered
        predictors, so that the model does not depend on where 0 is. Uncorrelated
        coefficients are uncorrelated, and have their priors, where predictors are 0.
        In any case, draws are reported for the predictors as they are in the data.
    compress
        Whether the rows are reduced to fewer with exactly the same likelihood: gaussian
        rows by a QR decomposition; binary outcomes and counts are aggregated over rows
        with the same predictors and groups. By default, they are where that saves
        time. ``False`` also excludes the marginal form.
    functions
        Functions of your own that the formula calls by these names, such as
        ``{"f": f}``. They take arrays, and return a number for each row that depends on
        that row only.
    covariances
        Known covariances between groups, by the names by which the formula calls them:
        ``{"A": A}`` for ``(1 | gr(species, cov=A))``. Each is a data frame whose rows
        and columns are labelled by the groups, in any order; a tree as a string in
        Newick's format; or a pedigree, a data frame with the columns ``id``, ``sire``
        and ``dam``. For ``icar(region, W)``, ``bym2(region, W)`` and ``car(region,
        W)`` it is a data frame of two columns with a pair of neighbours in each row, an
        adjacency matrix with labels, or a GeoDataFrame whose index has the labels, and
        for ``rw1(year, T)`` a list of times.
        Groups that have no rows are predicted from those that have.

    Raises
    ------
    SpecError
        If the formula, an option or a prior is wrong.
    DataError
        If the data are not suitable for the model.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> model
    Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, \
marginal, 919 rows, 85 groups)
    """

    def __init__(
        self,
        formula: str | Sequence[str] | Mapping[str, str],
        data: Any,
        *,
        family: str = "gaussian",
        link: Link | None = None,
        pooling: Pooling | None = None,
        parameterization: Parameterization = "auto",
        residual: str | None = None,
        group_predictors: Sequence[str] = (),
        priors: Mapping[str, str | Prior] | None = None,
        fixed: Mapping[str, float] | None = None,
        center_predictors: bool = True,
        compress: bool | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        covariances: Mapping[str, Any] | None = None,
    ) -> None:
        spec = spec_of(
            formula,
            family=family,
            link=link,
            pooling=pooling,
            parameterization=parameterization,
            residual=residual,
            group_predictors=as_names("group_predictors", group_predictors),
            priors=as_priors(priors),
            fixed=as_fixed(fixed),
            center_predictors=center_predictors,
            compress=compress,
            functions=functions,
            covariances=as_covariances(covariances),
        )
        prepared = prepare(spec, data)
        super().__init__(
            **{each.name: getattr(prepared, each.name) for each in fields(prepared)}
        )

    equations = equations
    graph = graph
    explain = explain
    compile = compile_model
    write_stan = write_stan
    quick = quick
    prior_predictive = prior_predictive
    _repr_html_ = model_html

    def fit(
        self,
        *,
        chains: int = 4,
        draws: int = 1000,
        warmup: int | None = None,
        seed: int | None = None,
        adapt_delta: float | None = None,
        max_treedepth: int = 10,
        parallel_chains: int | None = None,
        threads_per_chain: int | Threads = "auto",
        inits: Any = None,
        prior_only: bool = False,
        progress: bool = True,
        verbose: int | None = None,
        sample_options: Mapping[str, Any] | None = None,
        file: str | os.PathLike[str] | None = None,
        engine: EngineChoice = "auto",
        method: Method = "nuts",
        save_warmup: bool = False,
        output_dir: str | os.PathLike[str] | None = None,
    ) -> Fit:
        """Sample with NUTS, or draw from an approximation.

        Parameters
        ----------
        chains, draws, warmup
            The number of chains, and of draws and warm-up iterations of each. By
            default there are 500 warm-up iterations in the marginal form, and 300 in
            the adaptive form of binary, count and ordinal outcomes where groups are
            informative and neither nested nor correlated, since chains start around a
            pilot estimate (``explain()`` says so), and otherwise 1000.
            There can be at most 10,000 chains and 10 million iterations, and the draws
            must fit into memory.
        seed
            From 0 to 2**32 - 1; drawn at random, and kept in the fit, if None.
        adapt_delta
            The target acceptance rate, between 0 and 1; a higher one makes steps
            smaller. The default is 0.8, 0.9 in the marginal form with ten groups or
            fewer, 0.98 with smooths, and 0.99 with Gaussian processes or a horseshoe
            prior (``explain()`` says so).
        max_treedepth
            The largest number of doublings of a trajectory.
        parallel_chains
            The number of chains at a time; by default the number of cores.
        threads_per_chain
            The number of threads that share the rows of a chain, if their likelihood is
            in C++ (``model.program.header``). ``"auto"`` uses the cores that the chains
            leave free, if there are many rows and ``parallel_chains`` is not set. The
            draws do not depend on it.
        inits
            The initial values. By default, in the adaptive and the marginal form, they
            are drawn around a pilot estimate from a distribution that is wider than the
            posterior, and otherwise at random. ``"random"`` draws them from (-2, 2) on
            the unconstrained scale. Values can be given in any form that cmdstanpy
            accepts, in the units of ``stan_data()``.
        prior_only
            Whether to draw from the prior, without the outcome.
        progress
            Whether to show progress on standard error: bars in a terminal, one line for
            each stage elsewhere.
        verbose
            0 shows nothing, as ``progress=False`` does; 1 shows progress; 2 also shows
            how each stage went, and Stan's messages. The logger ``stanpool`` receives
            all of it in any case.
        sample_options
            More arguments for ``cmdstanpy.CmdStanModel.sample``, unchanged; stanli
            takes ``metric``, ``inv_metric``, ``step_size`` and ``adapt_engaged``.
        file
            A folder to save the fit in. A fit that is saved there is returned if the
            model, its program, priors and data, and these settings are the same (with
            any seed if ``seed`` is None); otherwise it is replaced. The logger
            ``stanpool`` and ``progress`` say what was done, and what has changed.
        engine
            What runs the program: ``"cmdstan"`` compiles it first, once; ``"stanli"``
            interprets it, and starts at once; ``"auto"`` is the one that is expected to
            finish first (``explain()`` says which, and why). The environment variable
            ``STANPOOL_ENGINE`` sets what ``"auto"`` means.
        method
            ``"nuts"``, or an approximation in a small part of the time. All are normal
            distributions of the unconstrained parameters of the Stan program
            (logarithms of scales, and so on), whose log density contains the Jacobian
            of that transformation. ``"pathfinder"`` takes the best ones on four paths
            of an optimizer [1]_. ``"laplace"`` is the one around the posterior mode,
            with the curvature there. The ``chains * draws`` independent draws, as one
            chain, are chosen by Pareto-smoothed importance sampling, so that they are
            draws of the posterior unless its diagnostic, Pareto k-hat, is above 0.7
            [2]_; then they are those of the approximation, and ``diagnose()`` says so.
            ``"optimize"`` is the mode itself, a column of ``summary()``, with the draws
            of ``"laplace"`` before importance sampling, for standard errors.
            Coefficients that were integrated out are drawn as after NUTS, and at the
            mode they are their conditional means. The mode depends on the
            parameterization: in the marginal form it is that of the scales with the
            groups' coefficients integrated out, and in other forms a joint mode, which
            can be far from where the posterior is.
        save_warmup
            Whether to keep the draws of the warm-up, too: ``fit.tree`` then has groups
            ``warmup_posterior`` and ``warmup_sample_stats``.
        output_dir
            A folder for CmdStan's own CSV files, one for each chain, which are removed
            otherwise. The engine ``"cmdstan"`` writes them.

        Raises
        ------
        SpecError
            If an argument is out of its range, or means nothing for the method.
        FileExistsError
            If ``file`` exists and is not a fit.
        CompileError, SamplingError, EngineError
            If Stan cannot be set up, if the program cannot be compiled, or if a chain
            fails.

        References
        ----------
        .. [1] Zhang, Carpenter, Gelman and Vehtari (2022). Pathfinder: parallel
           quasi-Newton variational inference. Journal of Machine Learning Research
           23(306), 1-49.
        .. [2] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed
           importance sampling. Journal of Machine Learning Research 25(72), 1-58.
        """
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
            engine=engine,
            method=method,
            save_warmup=save_warmup,
            output_dir=None if output_dir is None else os.fspath(output_dir),
        )
        shown = progress if verbose is None else verbose > 0
        with verbose_logging(None if verbose is None else verbose > 1):
            if file is None:
                result = sample_model(
                    self, settings, prior_only=prior_only, progress=shown
                )
            else:
                result = load_or_sample(
                    self,
                    settings,
                    file,
                    any_seed=seed is None,
                    prior_only=prior_only,
                    progress=shown,
                )
        return Fit.of(result)


@public
@dataclass(frozen=True, repr=False, eq=False)
class Fit(FitResult):
    """The labelled draws of a model, and how they were made.

    Attributes
    ----------
    model
        The model.
    tree
        The draws: groups ``posterior``, ``sample_stats``, ``observed_data``.
    settings
        The number of chains, draws, the seed and all other settings.
    seconds
        The wall time of sampling and reading the draws, without compilation.
    prior_only
        Whether the draws are from the prior.
    engine
        A mapping that describes the engine: ``engine["name"]`` is ``"cmdstan"`` or
        ``"stanli"``, ``engine["log density"]`` says how its log density was checked,
        and the other keys give its versions.
    program
        The Stan program that was fitted.
    rejections
        The reasons for which Stan could not evaluate the log density at proposals,
        which it then rejected, with their frequencies after warm-up.
    approximation
        The approximation that the draws are from, with its Pareto k-hat; None if they
        were sampled with NUTS.
    """

    model: Model

    @classmethod
    def of(cls, result: FitResult) -> Self:
        """Return a result as a fit, with all methods."""
        values = {each.name: getattr(result, each.name) for each in fields(result)}
        return cls(**values | {"model": Model.of(result.model)})

    to_arviz = to_arviz
    draws = draws
    summary = summary
    diagnose = diagnose
    check_outcomes = check_outcomes
    fixef = fixef
    ranef = ranef
    coef = coef
    varcorr = varcorr
    pooling_factors = pooling_factors
    icc = icc
    bayes_R2 = bayes_R2
    hypothesis = hypothesis
    contrasts = contrasts
    rank_groups = rank_groups
    update = update
    more = more
    prior_sensitivity = prior_sensitivity
    linpred = linpred
    epred = epred
    predict = predict
    predict_table = predict_table
    log_lik = log_lik
    datagrid = datagrid
    predictions = predictions
    comparisons = comparisons
    slopes = slopes
    poststratify = poststratify
    survival = survival
    loo = loo
    kfold = kfold
    influence = influence
    report = write_report
    save = save
    _repr_html_ = fit_html

    @property
    def plot(self) -> Drawings:
        """The figures of the fit: ``fit.plot.forest()``, ``fit.plot.lines()``, ..."""
        return Drawings(self)


@public
def load(
    path: str | os.PathLike[str],
    *,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Fit:
    """Read a fit that ``Fit.save`` wrote, without an engine.

    Parameters
    ----------
    path
        The folder.
    functions
        Functions of your own that the formula of the model calls. A saved fit contains
        only their names.

    Raises
    ------
    FileNotFoundError
        If there is no saved fit at ``path``.
    DataError
        If a file is missing, truncated or changed, if a newer stanpool wrote it, or if
        the model calls functions that are not passed.
    """
    return Fit.of(storage.load(path, functions=functions))
