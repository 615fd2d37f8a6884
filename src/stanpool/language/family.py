"""The table of families: all that other modules know of a family by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class FamilyParameter:
    """A parameter of a family besides the linear predictor, such as ``sigma``.

    Attributes
    ----------
    name
        Its name in the posterior, in ``priors=`` and in the template of the family.
    support
        ``"positive"``, ``"real"``, or ``"unit"``: between 0 and 1.
    lower
        Where the parameter, and so its prior, is cut off below: 1 for ``nu``.
    prior, source
        Its default prior as users write it, and who recommends it; empty where the
        default is scaled by the data.
    searched
        The interval in which the quick estimate before sampling looks for it, and
        ``guess`` is where it begins.
    has_outcome_units
        Whether it is on the scale of the outcome: its default prior, and the interval
        in which it is searched, are then those of the parameter over the mean outcome.
    variable
        The Stan variable that is sampled, where its name is another one.
    size
        How many numbers it has, as Stan says it; None for a single number.
    is_ordered
        Whether its numbers ascend.
    """

    name: str
    support: str = "positive"
    lower: float | None = None
    prior: str = ""
    source: str = ""
    searched: tuple[float, float] = (1e-2, 1e4)
    guess: float = 5.0
    has_outcome_units: bool = False
    variable: str = ""
    size: str | None = None
    is_ordered: bool = False

    @property
    def stan_variable(self) -> str:
        """The Stan variable that is sampled."""
        return self.variable or self.name

    @property
    def link(self) -> str:
        """The link to all real numbers."""
        return {"positive": "log", "unit": "logit"}.get(self.support, "identity")


@dataclass(frozen=True)
class Family:
    """How an outcome arises from the linear predictor ``eta``.

    Attributes
    ----------
    name
        As users write it.
    links
        Its links, the default first.
    outcome
        What values the outcome takes: ``"real"``, ``"positive"``, ``"nonnegative"``,
        ``"proportion"`` (between 0 and 1), ``"share"`` (between 0 and 1, or either),
        ``"angle"`` (from -pi to pi), ``"binary"``, ``"count"``, ``"ordered"``
        categories, or ``"categories"`` without an order.
    parameters
        Its parameters besides the linear predictor.
    parts
        The parts of an outcome that go with it, besides ``weights``: ``"trials"``,
        ``"se"``, ``"exposure"``, ``"cens"``, ``"trunc"``, ``"quantile"``,
        ``"residual"``.
    residuals
        What scatters about the inverse link of ``eta`` with the scale ``sigma``:
        ``"outcome"``, or ``"log"`` for its logarithm; None in families without
        residuals of such a scale.
    canonical_link
        The link with which a row's score is its outcome less the mean, and its
        information the variance, both over that variance if the family has residuals.
    sums
        The family of the sum of outcomes that share a linear predictor, where these
        sums are sufficient; else None.
    stan_name
        The name of its distribution in Stan, where that is another one.
    own_functions
        The links with which its distribution is a Stan function of ours,
        ``functions/<family>_<link>.stanfunctions``.
    steps
        The family of the steps, taken or not, of which an outcome consists.
    notation
        Its distribution as papers write it, where ``mu`` is the inverse link of the
        linear predictor; by default its name with ``mu`` and its parameters.
    event
        What has the probability that cutpoint ``c`` less the linear predictor gives.
    compiled
        The file that has the likelihood of all rows and groups in C++, with each link:
        ``"probabilities"``, ``"categories"`` or ``"numbers"``; empty where none has.
    settles_soon
        Whether it was measured that chains of informative groups settle within 300
        iterations of warm-up.
    """

    name: str
    links: tuple[str, ...]
    outcome: str
    parameters: tuple[FamilyParameter, ...] = ()
    parts: tuple[str, ...] = ()
    residuals: str | None = None
    canonical_link: str | None = None
    sums: str | None = None
    stan_name: str = ""
    own_functions: tuple[str, ...] = ()
    steps: str = ""
    notation: str = ""
    event: str = ""
    compiled: str = ""
    settles_soon: bool = False

    @property
    def link(self) -> str:
        """The default link."""
        return self.links[0]

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of its parameters besides the linear predictor."""
        return tuple(each.name for each in self.parameters)

    @property
    def auxiliary(self) -> tuple[FamilyParameter, ...]:
        """The parameters that are a single number, but for the residual scale."""
        return tuple(
            each for each in self.parameters if each.size is None and each != SIGMA
        )

    @property
    def numbers(self) -> tuple[FamilyParameter, ...]:
        """The parameters that are a single number, the residual scale first."""
        return (SIGMA,) * self.has_sigma + self.auxiliary

    @property
    def in_mean(self) -> frozenset[str]:
        """The parameters, besides the predictor, on which expected outcomes depend."""
        if _ZERO in self.parameters and self.is_discrete:
            # Positive counts have another mean than all counts, by their dispersion.
            return frozenset(self.parameter_names)
        of_logs = (SIGMA,) if self.is_of_logs or self.is_of_quantiles else ()
        apart = {_EXTRA_ZERO, _ZERO, _AT_ENDS, _AT_ONE}.intersection(self.parameters)
        return frozenset(own.name for own in (*of_logs, *apart))

    @property
    def has_sigma(self) -> bool:
        """Whether it has a residual scale, which groups may have of their own."""
        return SIGMA in self.parameters

    @property
    def has_cutpoints(self) -> bool:
        """Whether cutpoints between ordered categories stand for the intercept."""
        return not {CUTPOINT, _CUTPOINT_OF_STEP}.isdisjoint(self.parameters)

    @property
    def has_ordered_cutpoints(self) -> bool:
        """Whether the cutpoints ascend: they cut one latent outcome into categories."""
        return CUTPOINT in self.parameters

    @property
    def is_categorical(self) -> bool:
        """Whether each category but the first has a linear predictor of its own."""
        return self.outcome == "categories"

    @property
    def has_categories(self) -> bool:
        """Whether outcomes are categories, with an order or without."""
        return self.outcome in ("ordered", "categories")

    @property
    def is_discrete(self) -> bool:
        """Whether outcomes are whole numbers or categories."""
        return self.outcome in ("binary", "count", "ordered", "categories")

    @property
    def is_circular(self) -> bool:
        """Whether outcomes are directions: -pi and pi are the same."""
        return self.outcome == "angle"

    @property
    def inner_outcome(self) -> str:
        """The values that the linear predictor is about; others are apart."""
        inner = {"nonnegative": "positive", "share": "proportion"}
        return inner.get(self.outcome, self.outcome)

    @property
    def apart(self) -> str:
        """The values that have a probability of their own, and no density."""
        return {"nonnegative": "0", "share": "0 or 1"}.get(self.outcome, "")

    @property
    def is_gaussian(self) -> bool:
        """Whether outcomes are normal about their mean."""
        return self.name == DEFAULT_FAMILY

    @property
    def has_own_zeros(self) -> bool:
        """Whether zeros have a probability of their own."""
        return _EXTRA_ZERO in self.parameters or _ZERO in self.parameters

    @property
    def has_joint_residuals(self) -> bool:
        """Whether the residuals of several rows have a joint distribution."""
        return "residual" in self.parts

    @property
    def is_of_logs(self) -> bool:
        """Whether the linear predictor is on the scale of the outcome's logarithm."""
        return self.residuals == "log"

    @property
    def is_of_quantiles(self) -> bool:
        """Whether the linear predictor is a quantile of outcomes, not their mean."""
        return "quantile" in self.parts

    @property
    def stan_distribution(self) -> str:
        """The name of its distribution in Stan."""
        return self.stan_name or self.name

    @property
    def written(self) -> str:
        """Its distribution as papers write it, to be read as an expression."""
        name = self.name.title().replace("_", "")
        return self.notation or f"{name}({', '.join(('mu', *self.parameter_names))})"


DEFAULT_FAMILY = "gaussian"
# The family of two outcomes: of a category against the reference, for example.
BINARY_FAMILY = "bernoulli"

SIGMA = FamilyParameter("sigma", searched=(1e-6, 1e9))
CUTPOINT = FamilyParameter(
    "cutpoint", support="real", variable="cutpoint_c", size="C - 1", is_ordered=True
)
# Each is of another step from category to category, and may be anywhere.
_CUTPOINT_OF_STEP = replace(CUTPOINT, is_ordered=False)
_DEGREES_OF_FREEDOM = FamilyParameter(
    "nu",
    lower=1.0,
    prior="gamma(2, 0.1)",
    source="Juárez and Steel 2010",
    searched=(1.5, 60.0),
)
_SHAPE, _PRECISION = (
    FamilyParameter(
        name, prior="inv_gamma(0.4, 0.3)", source="Vehtari 2024, Simpson et al. 2017"
    )
    for name in ("shape", "phi")
)

# The logarithm of a Weibull outcome is a location plus 1 / shape times a standard error
# that is the same in all models: 1 / shape is a residual scale, exponential of mean 1,
# that of exponential outcomes. So the shape is between 0.33 and 19 with probability
# 0.9, much as under the distance-based prior of van Niekerk, Bakka and Rue (2021),
# Statistics and Probability Letters 174, 109098, of rate 1.
_WEIBULL_SHAPE = FamilyParameter(
    "shape",
    prior="inv_gamma(1, 1)",
    source="1 / shape, the scale of log(y), has mean 1: Simpson et al. 2017",
)

_SLANT = FamilyParameter(
    "slant",
    support="real",
    prior="normal(0, 4)",
    source="as in brms",
    searched=(-30.0, 30.0),
    guess=0.0,
)

_CONCENTRATION = FamilyParameter(
    "kappa", prior="gamma(2, 0.01)", source="as in brms", guess=2.0
)

_EXTRA_ZERO, _ZERO, _AT_ENDS, _AT_ONE = (
    FamilyParameter(
        name,
        support="unit",
        prior="beta(1, 1)",
        source="uniform, as in brms",
        searched=(1e-3, 0.99),
        guess=0.3,
    )
    for name in ("zi", "hu", "zoi", "coi")
)

_OF_PROBABILITY = ("logit", "probit", "cloglog")
_SURVIVAL = ("exposure", "cens", "trunc")

FAMILIES: dict[str, Family] = {
    each.name: each
    for each in (
        Family(
            "gaussian",
            ("identity", "log"),
            "real",
            (SIGMA,),
            ("se", "cens", "trunc", "residual"),
            residuals="outcome",
            canonical_link="identity",
            stan_name="normal",
            compiled="numbers",
            notation="Normal(mu, sigma)",
        ),
        Family(
            "student_t",
            ("identity",),
            "real",
            (_DEGREES_OF_FREEDOM, SIGMA),
            ("se", "cens", "trunc", "residual"),
            residuals="outcome",
            compiled="numbers",
            notation="StudentT(nu, mu, sigma)",
        ),
        Family(
            "skew_normal",
            ("identity",),
            "real",
            (SIGMA, _SLANT),
            residuals="outcome",
            notation="SkewNormal(mu, sigma, slant)",
        ),
        Family(
            "asymmetric_laplace",
            ("identity",),
            "real",
            (SIGMA,),
            ("quantile",),
            residuals="outcome",
            stan_name="skew_double_exponential",
            notation="AsymmetricLaplace(mu, sigma, quantile)",
        ),
        Family("von_mises", ("tan_half",), "angle", (_CONCENTRATION,)),
        Family(
            "lognormal",
            ("identity",),
            "positive",
            (SIGMA,),
            ("cens", "trunc"),
            residuals="log",
            compiled="numbers",
            notation="LogNormal(mu, sigma)",
        ),
        Family(
            "gamma",
            ("log",),
            "positive",
            (_SHAPE,),
            ("exposure",),
            compiled="numbers",
            notation="Gamma(shape, shape / mu)",
        ),
        Family(
            "exponential",
            ("log",),
            "positive",
            parts=_SURVIVAL,
            compiled="numbers",
            notation="Exponential(1 / mu)",
        ),
        Family(
            "weibull",
            ("log",),
            "positive",
            (_WEIBULL_SHAPE,),
            _SURVIVAL,
            compiled="numbers",
            notation="Weibull(shape, mu / gamma(1 + 1 / shape))",
        ),
        Family(
            "inverse_gaussian",
            ("log",),
            "positive",
            (replace(_SHAPE, has_outcome_units=True),),
            ("exposure",),
            own_functions=("log",),
            compiled="numbers",
            notation="InverseGaussian(mu, shape)",
        ),
        Family(
            "bernoulli",
            _OF_PROBABILITY,
            "binary",
            canonical_link="logit",
            sums="binomial",
            own_functions=("probit", "cloglog"),
            compiled="probabilities",
            settles_soon=True,
        ),
        Family(
            "binomial",
            _OF_PROBABILITY,
            "count",
            parts=("trials",),
            canonical_link="logit",
            sums="binomial",
            own_functions=("probit", "cloglog"),
            compiled="probabilities",
            notation="Binomial(trials, mu)",
            settles_soon=True,
        ),
        Family(
            "beta_binomial",
            _OF_PROBABILITY,
            "count",
            (_PRECISION,),
            ("trials",),
            compiled="probabilities",
            notation="BetaBinomial(trials, mu * phi, (1 - mu) * phi)",
        ),
        Family(
            "beta",
            _OF_PROBABILITY,
            "proportion",
            (_PRECISION,),
            compiled="probabilities",
            notation="Beta(mu * phi, (1 - mu) * phi)",
        ),
        Family(
            "zero_one_inflated_beta",
            ("logit",),
            "share",
            (_PRECISION, _AT_ENDS, _AT_ONE),
            own_functions=("logit",),
        ),
        Family(
            "poisson",
            ("log",),
            "count",
            parts=("exposure", "trunc"),
            canonical_link="log",
            sums="poisson",
            compiled="numbers",
            settles_soon=True,
        ),
        Family(
            "negative_binomial",
            ("log",),
            "count",
            (_PRECISION,),
            ("exposure", "trunc"),
            compiled="numbers",
            settles_soon=True,
        ),
        Family(
            "zero_inflated_poisson",
            ("log",),
            "count",
            (_EXTRA_ZERO,),
            ("exposure",),
            own_functions=("log",),
        ),
        Family(
            "zero_inflated_negative_binomial",
            ("log",),
            "count",
            (_PRECISION, _EXTRA_ZERO),
            ("exposure",),
            own_functions=("log",),
        ),
        Family(
            "hurdle_poisson",
            ("log",),
            "count",
            (_ZERO,),
            ("exposure",),
            own_functions=("log",),
        ),
        Family(
            "hurdle_negative_binomial",
            ("log",),
            "count",
            (_PRECISION, _ZERO),
            ("exposure",),
            own_functions=("log",),
        ),
        Family(
            "zero_inflated_binomial",
            ("logit",),
            "count",
            (_EXTRA_ZERO,),
            ("trials",),
            own_functions=("logit",),
        ),
        Family(
            "hurdle_gamma",
            ("log",),
            "nonnegative",
            (_SHAPE, _ZERO),
            ("exposure",),
            own_functions=("log",),
        ),
        Family(
            "hurdle_lognormal",
            ("identity",),
            "nonnegative",
            (SIGMA, _ZERO),
            residuals="log",
            own_functions=("identity",),
        ),
        Family(
            "ordinal",
            _OF_PROBABILITY,
            "ordered",
            (CUTPOINT,),
            own_functions=("probit", "cloglog"),
            event="y <= c",
            compiled="categories",
            settles_soon=True,
        ),
        Family(
            "sratio",
            _OF_PROBABILITY,
            "ordered",
            (_CUTPOINT_OF_STEP,),
            own_functions=_OF_PROBABILITY,
            steps=BINARY_FAMILY,
            event="y = c | y >= c",
        ),
        Family(
            "acat",
            ("logit",),
            "ordered",
            (_CUTPOINT_OF_STEP,),
            own_functions=("logit",),
            event="y = c | c <= y <= c + 1",
        ),
        Family("categorical", ("logit",), "categories", compiled="categories"),
    )
}
