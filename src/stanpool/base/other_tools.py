"""Names of other tools, and the corresponding ones here.

The tools are lme4, rstanarm and brms; bambi, PyMC and statsmodels; and the interfaces
of Stan. The names are used only in messages, to say what to write instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from stanpool.base.errors import quote

# Names of the same argument; the first that a function has is meant.
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "draws": (
        *("iter", "iterations", "samples", "num_samples", "n_samples", "iter_sampling"),
        *("num_draws", "n_draws", "ndraws", "nsamples", "num_pp_samples", "sampling"),
        *("draw", "drawn", "n_iter", "niter", "post_samples"),
    ),
    "warmup": (
        *("tune", "tuning", "iter_warmup", "num_warmup", "burn", "burnin", "burn_in"),
        *("n_tune", "warm_up", "nwarmup"),
    ),
    "seed": ("random_seed", "random_state", "rng_seed", "rng_key", "rng"),
    "adapt_delta": ("target_accept", "target_accept_prob", "delta"),
    "method": ("algorithm", "inference_method"),
    "max_treedepth": ("max_tree_depth", "max_depth"),
    "parallel_chains": ("cores", "n_jobs", "num_cores", "ncores", "mc.cores"),
    "executor": ("cores", "n_jobs", "future", "client"),
    "threads_per_chain": ("threads", "num_threads", "threading"),
    "chains": ("num_chains", "n_chains", "nchains", "chain"),
    "inits": ("init", "initvals", "initial_values", "start"),
    "progress": ("progressbar", "progress_bar", "show_progress", "refresh", "silent"),
    "file": ("save", "cache", "save_to"),
    "prior_only": ("sample_prior", "prior_PD", "draw_from_prior"),
    "priors": ("prior", "set_prior"),
    "data": ("newdata", "new_data", "df", "dataframe", "frame", "X"),
    "formula": ("model_formula", "f", "bf", "fixed_formula"),
    "prob": (
        *("ci_prob", "hdi_prob", "probs", "level", "credible_interval", "ci", "alpha"),
        *("cred_mass", "conf_int", "interval"),
    ),
    "group_terms": ("re_formula", "re_form", "re.form", "include_group_specific"),
    "new_groups": ("allow_new_levels", "sample_new_levels", "sample_new_groups"),
    "folds": ("K", "k", "n_splits", "cv"),
    "group": ("groups", "grouping", "by", "cluster", "group_id"),
    "outcome": ("y", "response", "target", "dependent", "endog"),
    "predictors": ("x", "X", "features", "covariates", "independent", "exog"),
    "quantities": ("var_names", "pars", "parameters", "variables", "variable"),
    "var_names": ("quantities", "pars", "parameters", "variables", "variable"),
    "parameterization": ("noncentered", "centered", "non_centered"),
    "center_predictors": ("center", "centre", "center_x"),
    "path": ("file", "filename", "fname", "folder", "filepath"),
    "models": ("fits",),
    "fits": ("models",),
    "family": ("likelihood", "distribution"),
    "factor": ("group", "groups", "by"),
    "pairs": ("contrast", "comparisons"),
    "trials": ("n", "size"),
    "count": ("n", "max_groups"),
}

_REMARKS = {
    "algorithm": "'nuts', 'pathfinder', 'laplace' or 'optimize'",
    "inference_method": "'nuts', 'pathfinder', 'laplace' or 'optimize'",
    "iter": "of each chain after warm-up; warm-up iterations are set by warmup=",
    "iterations": "of each chain after warm-up; warm-up iterations are set by warmup=",
    "sample_prior": "where True draws from the prior alone",
    "re_formula": "[] leaves all groups out",
    "re_form": "[] leaves all groups out",
    "noncentered": "'noncentered' or 'centered'",
    "allow_new_levels": "'population' draws them from the population",
    "alpha": "the probability inside the interval",
}

# These are not arguments, but parts of the formula.
_IN_THE_FORMULA = {
    "trials": "y | trials(n) ~ x",
    "weights": "y | weights(w) ~ x",
    "exposure": "y | exposure(e) ~ x",
    "offset": "y ~ x + offset(z)",
    "se": "y | se(s) ~ 1 + (1 | g)",
    "cens": "y | cens(c) ~ x",
    "trunc": "y | trunc(0, None) ~ x",
    "quantile": "y | quantile(0.9) ~ x",
    "groups": "y ~ x + (1 | g)",
    "group": "y ~ x + (1 | g)",
    "random": "y ~ x + (1 | g)",
    "random_effects": "y ~ x + (1 | g)",
    "group_specific": "y ~ x + (1 | g)",
    "vc_formula": "y ~ x + (1 | g) + (1 | h)",
    "varying": "y ~ x + (1 + x | g)",
    "predictors": "y ~ x + z",
    "outcome": "y ~ x",
    "correlated": "y ~ x + (1 + x || g)",
    "categorical": "y ~ C(x)",
    "sigma": ["y ~ x + (1 | g)", "sigma ~ z"],
    "dispformula": ["y ~ x + (1 | g)", "sigma ~ z"],
    "ziformula": ["y ~ x + (1 | g)", "zi ~ z"],
}

_OF_FITTING = (
    *("chains", "draws", "warmup", "seed", "adapt_delta", "max_treedepth"),
    *("parallel_chains", "threads_per_chain", "inits", "prior_only", "progress"),
    *("verbose", "sample_options", "file", "engine", "method", "save_warmup"),
    "output_dir",
)
_OF_THE_MODEL = (
    *("formula", "data", "family", "link", "pooling", "parameterization", "residual"),
    *("group_predictors", "priors", "fixed", "center_predictors", "compress"),
    *("functions", "covariances"),
)

_WITHOUT_COUNTERPART = {
    "control": "Its members are arguments: adapt_delta=0.95, max_treedepth=12.",
    "backend": "engine='cmdstan' or engine='stanli' chooses what runs it.",
    "nuts_sampler": "engine='cmdstan' or engine='stanli' chooses what runs it.",
    "thin": "Write sample_options={'thin': 2}.",
    "dropna": "Drop the rows yourself: data.dropna(subset=[...]).",
    "na_action": "Drop the rows yourself: data.dropna(subset=[...]).",
    "auto_scale": "Default priors are scaled from the data; model.priors shows them.",
    "autoscale": "Default priors are scaled from the data; model.priors shows them.",
    "prior_intercept": "Write priors={'Intercept': 'normal(0, 10)'}.",
    "prior_aux": "Write priors={'sigma': 'exponential(1)'}.",
    "prior_covariance": "Write priors={'tau': 'exponential(1)', 'Omega': 'lkj(2)'}.",
    "re_prior": "Write priors={'tau': 'exponential(1)', 'Omega': 'lkj(2)'}.",
    "save_pars": "All parameters are kept.",
    "idata_kwargs": "fit.to_arviz(log_likelihood=True) adds log likelihoods.",
    "REML": "Every fit integrates over the population's coefficients, as REML does.",
    "hdi": "Intervals are central; prob= is their probability.",
}

_NOT_OFFERED = "is not offered"
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "'gaussian'": ("normal", "norm", "gauss", "lm", "lmer", "linear", "identity"),
    "'student_t'": ("t", "studentt", "student", "robust", "scat"),
    "'bernoulli'": ("binary", "bern", "logistic", "logit", "glmer", "bernoullilogit"),
    "'bernoulli' and link='probit'": ("probit",),
    "'binomial', and 'successes | trials(n) ~ ...'": ("binom", "quasibinomial"),
    "'poisson'": ("pois", "count", "counts", "loglinear"),
    "'negative_binomial'": (
        *("negbinomial", "negbinom", "nb", "nb2", "nbinom", "nbinom1", "nbinom2"),
        *("negbin", "negativebinomial2", "negbinomial2", "neg_binomial_2"),
        *("quasipoisson", "overdispersed", "neg_binomial", "gammapoisson"),
    ),
    "'gamma'": ("gammalog",),
    "'lognormal'": ("lnorm", "loggaussian"),
    "'beta'": ("betareg", "betaregression", "proportion"),
    "'ordinal'": (
        *("cumulative", "ordered", "orderedlogistic", "orderedlogit", "polr", "clm"),
        *("clmm", "orderedprobit", "proportionalodds", "cumulativelogit"),
    ),
    "'categorical'": ("multinomial", "multinom", "softmax", "nominal", "mlogit"),
    "'zero_inflated_poisson'": (
        "zeroinflatedpoisson",
        "zip",
        "zeroinflated",
        "zeroinfl",
    ),
    "'zero_inflated_negative_binomial'": (
        *("zeroinflatednegbinomial", "zinb", "zeroinflatednegativebinomial"),
    ),
    "'hurdle_poisson'": ("hurdlepoisson", "hurdle"),
    "'hurdle_negative_binomial'": ("hurdlenegbinomial", "hurdlenegativebinomial"),
    "'beta_binomial', and 'successes | trials(n) ~ ...'": (
        *("betabinomial", "betabinom", "betabinomial2", "overdispersedbinomial"),
    ),
    "'zero_inflated_binomial'": ("zeroinflatedbinomial", "zib"),
    f"'beta_binomial': its extra zeros {_NOT_OFFERED}": (
        *("zeroinflatedbetabinomial", "hurdlebinomial"),
    ),
    "'hurdle_gamma'": ("hurdlegamma", "zigamma", "zeroinflatedgamma"),
    "'hurdle_lognormal'": ("hurdlelognormal", "zeroinflatedlognormal"),
    "'poisson', and 'y | trunc(1) ~ ...'": (
        *("truncatedpoisson", "zerotruncatedpoisson", "ztpoisson", "pospoisson"),
    ),
    "'negative_binomial', and 'y | trunc(1) ~ ...'": (
        *("truncatednbinom2", "truncatednbinom1", "truncatednegativebinomial"),
        *("truncatednegbinomial", "zerotruncatednegativebinomial", "posnegbinomial"),
    ),
    "'zero_one_inflated_beta'": (
        *("zeroinflatedbeta", "zeroonebeta", "oneinflatedbeta", "zoib", "beinf"),
    ),
    "'inverse_gaussian'": ("inversegaussian", "invgaussian", "invgauss", "wald"),
    "'weibull', and 'time | cens(1 - event) ~ ...'": (
        *("survival", "survreg", "aft", "weibullaft", "weibullph"),
    ),
    "'poisson', with the rows that sp.split_times() makes": (
        *("cox", "coxph", "coxme", "piecewiseexponential", "pem"),
    ),
    "'gamma' or 'lognormal'": (*("tweedie", "frechet", "shiftedlognormal"),),
    "'von_mises'": ("vonmises", "circular", "angular", "projectednormal"),
    "'skew_normal'": ("skewnormal", "sn", "exgaussian"),
    "'asymmetric_laplace', and 'y | quantile(0.9) ~ ...'": (
        *("asymlaplace", "asymmetriclaplace", "laplace", "quantile", "quantreg"),
    ),
    "'sratio'": ("stoppingratio", "sequential", "hazard"),
    "'sratio', which is the same with the links logit and probit": (
        *("cratio", "continuationratio"),
    ),
    "'acat'": ("adjacent", "adjacentcategory", "partialcredit"),
}

_DISTRIBUTIONS: Mapping[str, tuple[str, ...]] = {
    "normal(location, scale)": ("gaussian", "norm", "n"),
    "student_t(df, location, scale)": ("t", "studentt", "student"),
    "half_normal(scale)": ("halfnormal", "halfgaussian"),
    "half_student_t(df, scale)": ("halfstudentt", "halft"),
    "half_cauchy(scale)": ("halfcauchy",),
    "exponential(rate)": ("exp", "expon"),
    "inv_gamma(shape, scale)": ("inversegamma", "invgamma", "igamma"),
    "lkj(shape)": (
        *("lkjcorr", "lkjcorrcholesky", "lkjcholesky", "lkjcholeskycov", "cor"),
    ),
    "lognormal(location, scale)": ("lognorm", "lnorm"),
    "flat()": ("halfflat", "improper", "null", "none"),
    "uniform(lower, upper)": ("unif",),
    "student_t(4, 0, 1)": (*("laplace", "doubleexponential", "r2d2", "lasso"),),
    "horseshoe(global_scale, slab_df, slab_scale)": ("hs", "hsplus"),
    "exponential(1) on tau and lkj(2) on Omega": ("decov", "wishart", "invwishart"),
}

_PARAMETERS = {
    "beta": ("b", "Common", "common", "fixed", "slope", "coef", "bsp", "prior"),
    "Intercept": ("(Intercept)", "intercept", "alpha", "a", "const", "b_Intercept"),
    "tau": ("sd", "sds", "group_specific", "sigma_group", "sd_", "decov"),
    "Omega": ("cor", "corr", "L", "lkj", "rho", "covariance", "rescor"),
    "sigma": ("sd_residual", "Residual", "residual", "aux", "error", "sigma_y"),
    "phi": ("alpha", "kappa", "shape", "aux", "dispersion", "reciprocal_dispersion"),
    "shape": ("alpha", "aux"),
    "nu": ("df",),
    "cutpoint": ("Intercept", "threshold", "thresholds", "disc", "cutpoints"),
}


def advice_on_argument(given: str, own: Collection[str]) -> str:
    """Say which argument of a function corresponds to that of another tool.

    Returns
    -------
    str
        To stand after "has no argument 'iter'"; empty if nothing is known of it.

    Examples
    --------
    >>> advice_on_argument("random_seed", ["seed", "draws"])
    '; write seed=.'
    """
    same = [name for name, words in _ARGUMENTS.items() if given in words]
    found = next((name for name in same if name in own), None)
    if found is not None:
        remark = f", {_REMARKS[given]}" if given in _REMARKS else ""
        return f"; write {found}={remark}."
    if "arguments" in own and "distribution" in own:
        return '. Give its numbers in order, as in Prior("normal", (0, 2.5)).'
    if "formula" in own and given in _IN_THE_FORMULA:
        return f". Write it in the formula, as in {_IN_THE_FORMULA[given]!r}."
    if given in _WITHOUT_COUNTERPART:
        return f". {_WITHOUT_COUNTERPART[given]}"
    for name in (given, *same):
        if name in _OF_FITTING and ("formula" in own or "outcome" in own):
            return f": it belongs to fitting; write model.fit({name}=...)."
        if name in _OF_THE_MODEL and "chains" in own:
            return f": it belongs to the model; write sp.Model(..., {name}=...)."
    return ""


def advice_on_family(given: object, known: Collection[str]) -> str:
    """Say which family corresponds to the name of another tool, if that is known.

    Examples
    --------
    >>> advice_on_family("negbinom", ["gaussian", "negative_binomial"])
    " Write family='negative_binomial'."
    """
    text = given if isinstance(given, str) else type(given).__name__
    word = _plain(text.partition("(")[0])
    own = next((name for name in known if _plain(name) == word), None)
    if own is not None:
        return f" Write family={own!r}."
    found = next((name for name, words in _FAMILIES.items() if word in words), None)
    return f" Write family={found}." if found else ""


def advice_on_distribution(given: str, known: Mapping[str, str]) -> str:
    """Say which distribution corresponds to the name of another tool.

    Parameters
    ----------
    given
        As the user wrote it.
    known
        Our names, and how each is written: ``normal(location, scale)``.
    """
    word = _plain(given)
    own = next((usage for name, usage in known.items() if _plain(name) == word), None)
    if own is None:
        words = _DISTRIBUTIONS.items()
        own = next((usage for usage, each in words if word in each), None)
    return f" Write {own}." if own else ""


def advice_on_parameter(given: str, own: Collection[str]) -> str:
    """Say which parameter corresponds to the name of a prior in another tool.

    Parameters
    ----------
    given
        Such as brms's ``b`` or ``sd``, bambi's ``1|county``, a predictor's name.
    own
        The parameters of the model: ``beta[age]``, ``tau_county[Intercept]``.

    Examples
    --------
    >>> advice_on_parameter("1|county", ["Intercept", "tau_county[Intercept]"])
    " Write 'tau_county[Intercept]'."
    """
    for wanted in _candidates(given):
        if wanted in own:
            return f" Write {quote(wanted)}."
    stems = [name.partition("[")[0] for name in own]
    for name, words in _PARAMETERS.items():
        of_class = [
            each
            for each, stem in zip(own, stems, strict=True)
            if stem == name or stem.startswith(f"{name}_")
        ]
        if given in words and of_class:
            one = next((each for each in of_class if each != name), None)
            example = f", or {quote(one)} for one of them" if one else ""
            return f" Write {name!r}{example}."
    return ""


def _candidates(given: str) -> list[str]:
    """Return what a name may be here, if it names one coefficient."""
    name = given.removeprefix("b_")
    found = [f"beta[{given}]", f"beta[{name}]"]
    term, bar, factor = given.removesuffix("_sigma").partition("|")
    if bar:
        label = "Intercept" if term.strip() in ("1", "") else term.strip()
        stem = f"tau_{factor.strip()}"
        found += [f"{stem}[{label}]", stem]
    for start in ("sd_", "sigma_", "cor_"):
        if given.startswith(start):
            factor, _, label = given.removeprefix(start).partition("__")
            stem = f"{'Omega' if start == 'cor_' else 'tau'}_{factor}"
            found += [f"{stem}[{label or 'Intercept'}]", stem]
    return found


def _plain(word: str) -> str:
    """Return a word without case, underscores and the like."""
    return "".join(char for char in word.lower() if char.isalnum())
