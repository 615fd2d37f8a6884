"""What the templates are told of terms, grouping factors and parameters."""

from __future__ import annotations

from dataclasses import dataclass


def zero_alpha_beta(intercept: bool, s: str) -> str:
    """Write the population's coefficients after a 0; names end with ``s``."""
    if intercept:
        return f"append_row([0, alpha{s}]', beta{s})"
    return f"append_row(0, beta{s})"


@dataclass(frozen=True)
class TermFacts:
    """What is said of a term of which a linear predictor has at most one.

    Attributes
    ----------
    kind
        Which macros are its own: those of a file of ``terms``, of which parameter.
    """

    kind: str


@dataclass(frozen=True)
class OwnParameter:
    """How programs write a parameter of the family, one number or a value for each row.

    Attributes
    ----------
    name
        Its name.
    by_row
        Whether it has a value for each row, in a vector of its name.
    is_number
        Whether it is declared as a number.
    is_beside_rows
        Whether functions are told it in a vector, as others have values for each row.
    """

    name: str
    by_row: bool
    is_number: bool
    is_beside_rows: bool = False

    @property
    def type(self) -> str:
        """The type of what is computed from it."""
        return "vector[N]" if self.by_row else "real"

    def index(self, at: str) -> str:
        """Return how what is computed from it is indexed, if rows are, as by "[n]"."""
        return at if self.by_row else ""

    def at(self, at: str) -> str:
        """Write it for the rows that ``at`` picks."""
        return f"{self.name}{self.index(at)}"

    def told(self, at: str, name: str = "") -> str:
        """Write it, or what is computed from it, as functions of all rows take it."""
        written = f"{name or self.name}{self.index(at)}"
        is_repeated = self.is_beside_rows and not self.by_row and at != "[n]"
        return f"rep_vector({written}, N)" if is_repeated else written

    @property
    def over(self) -> str:
        """Write the sign of its quotients with what is computed from it."""
        return "./" if self.by_row else "/"

    def times(self, at: str) -> str:
        """Write the sign of its products with what is a vector unless "[n]" picks."""
        return ".*" if self.by_row and at != "[n]" else "*"


@dataclass(frozen=True)
class GroupFacts:
    """What is said of the coefficients of one grouping factor.

    Attributes
    ----------
    form
        Which file of ``parameterizations`` has the macros of its parameterization.
    s
        How the names of its variables end.
    is_first
        Whether it is the first factor, with which the effect is declared.
    effect
        The variable that what it adds to rows is added to.
    correlated, membership, group_predictors, integrated, recentered, known_covariance
        As in `FactorStructure`.
    population, has_Omega
        The same.
    nu
        How the degrees of freedom of a Student-t population are declared; empty if they
        are constant.
    rho
        How the parameter of the covariance between groups is declared, if it is.
    signed
        Whether its scales are sampled by roots with signs.
    tau
        How its scales are declared.
    has_constants
        Whether some of its scales are constants.
    outer
        The endings of the factors that it is within.
    on_ridge
        Whether its groups may form a ridge with the intercept.
    decoupled
        Whether they are sampled apart from the population's coefficients.
    has_intercept
        Whether the population has an intercept.
    width
        How many coefficients a group has, as a Stan variable.
    size
        The same where this variable is not yet known, in the data block.
    kind
        Which macros are its own: those of a file of ``terms``, of which parameter.
    is_apart
        Whether variables are declared apart from their values, as their names are long.
    joint
        The factors, of several parameters, whose coefficients are correlated, as far as
        they come before it; empty where it is the first, or there are none.
    joint_endings
        How the names of all of them end.
    """

    form: str
    s: str
    is_first: bool
    effect: str
    correlated: bool
    membership: bool
    group_predictors: bool
    integrated: int
    recentered: bool
    signed: bool
    tau: str
    outer: tuple[str, ...]
    on_ridge: bool
    decoupled: bool
    has_intercept: bool
    width: str
    size: str
    known_covariance: str
    has_constants: bool = False
    population: str = "normal"
    nu: str = ""
    rho: str = ""
    kind: str = "group"
    is_apart: bool = False
    has_Omega: bool = False
    joint: tuple[GroupFacts, ...] = ()
    joint_endings: tuple[str, ...] = ()

    def value_of(self, variable: str) -> str:
        """Return what stands between the declaration of a variable and its value."""
        is_wide = variable == "Omega" and self.joint_endings
        return f";\n{variable}{self.s} =" if self.is_apart or is_wide else " ="

    @property
    def first(self) -> str:
        """How the names of the factor end that has the correlations."""
        return self.joint_endings[0] if self.joint_endings else self.s

    @property
    def L_Omega(self) -> str:
        """The Cholesky factor of the correlations of its own coefficients."""
        return f"L_u{self.s}" if self.joint_endings else f"L_Omega{self.s}"

    @property
    def has_L_u(self) -> bool:
        """Whether these are the first of more correlations, and are needed."""
        is_needed = self.correlated or self.form != "noncentered"
        return self.has_Omega and bool(self.joint_endings) and is_needed

    @property
    def size_of_Omega(self) -> str:
        """How many coefficients its correlation matrix is of."""
        if not self.joint_endings:
            return self.width
        return " + ".join(f"Q{end}" for end in self.joint_endings)

    def all_of(self, variable: str) -> str:
        """List a variable of all factors whose coefficients are correlated."""
        return ", ".join(f"{variable}{end}" for end in self.joint_endings)

    @property
    def follows(self) -> bool:
        """Whether its deviations are made of those of another factor, too."""
        return bool(self.joint)

    @property
    def leader(self) -> GroupFacts:
        """The factor that has the correlations of its coefficients with others."""
        return self.joint[0]

    @property
    def needs_v(self) -> bool:
        """Whether standardized deviations of that factor are not sampled."""
        return self.follows and self.leader.form != "noncentered"

    @property
    def declares_v(self) -> bool:
        """Whether it is the first of those that need them."""
        return self.needs_v and len(self.joint) == 1

    @property
    def standardized_before(self) -> str:
        """The standardized deviations of those before it."""
        if not self.follows:
            return ""
        before = f"{'v' if self.needs_v else 'z'}{self.first}"
        for each in self.joint[1:]:
            before = f"append_col({before}, z{each.s})"
        return before

    @property
    def width_before(self) -> str:
        """The number of columns that several of those before it have together."""
        if len(self.joint) < 2:
            return ""
        return " + ".join(each.width for each in self.joint)

    @property
    def effects_of_U(self) -> str:
        """Write the effects of group-level predictors on coefficients of the mean."""
        known = zero_alpha_beta(self.has_intercept, "")
        return f"effects_of_U(U{self.s}, effect_index{self.s}, {known})"

    @property
    def whose_z(self) -> str:
        """Say of what the standardized deviations are, where there is room."""
        return "" if self.is_apart else f" of b{self.s}"

    @property
    def has_root(self) -> bool:
        """Whether a matrix makes deviations with a known covariance."""
        return self.known_covariance == "matrix"

    @property
    def has_parents(self) -> bool:
        """Whether groups inherit deviations from those that are their parents."""
        return self.known_covariance == "ancestry"

    @property
    def has_gaps(self) -> bool:
        """Whether groups are times of an autoregression."""
        return self.known_covariance == "ar1"

    @property
    def has_spectrum(self) -> bool:
        """Whether groups are regions, whose eigenvectors have variances by rho."""
        return self.known_covariance in ("bym2", "car")

    @property
    def squared(self) -> str:
        """Write the eigenvalues by the standard deviations s of the eigenvectors."""
        return "s^-2" if self.known_covariance == "car" else "s^2"

    @property
    def independent(self) -> str:
        """Name the independent deviations that those of groups are made of."""
        return f"v{self.s}" if self.known_covariance else f"u{self.s}"

    @property
    def z_rows(self) -> str:
        """The number of rows of z: that of groups, or of independent deviations."""
        return f"R{self.s}" if self.has_root or self.has_spectrum else f"J{self.s}"

    @property
    def is_reported(self) -> bool:
        """Whether correlations or coefficients are made of what is sampled."""
        makes_b = self.recentered or self.form in ("noncentered", "adaptive")
        return self.has_Omega or makes_b

    @property
    def is_student_t(self) -> bool:
        """Whether groups come from a Student-t population."""
        return self.population == "student_t"

    @property
    def is_laplace(self) -> bool:
        """Whether groups come from Laplace populations."""
        return self.population == "laplace"

    @property
    def z(self) -> str:
        """The coefficients, partly centered, as they are made of what is sampled."""
        if self.decoupled:
            return f"z_u{self.s}"
        if self.on_ridge:
            return f"along_ridge(z{self.s}, ridge{self.s})"
        return f"z{self.s}"

    @property
    def shift(self) -> str:
        """How far the intercept is moved along the ridge."""
        moves = f"columns_dot_product(ridge{self.s}, z{self.s})"
        return f"{moves} * alpha_on_ridge{self.s}"

    @property
    def outer_count(self) -> int:
        """How many factors its groups are within."""
        return len(self.outer)

    @property
    def centers_U(self) -> bool:
        """Whether effects of group-level predictors count from those at x_bar."""
        return self.group_predictors and self.has_intercept

    @property
    def center_of_u(self) -> str:
        """The variable that z is centered at."""
        return "center" if self.outer else "mean"

    @property
    def outer_coefficients(self) -> list[str]:
        """The coefficients of each factor that it is within, at x_bar."""
        return [f"mean{end} + u{end}" for end in self.outer]

    @property
    def outer_coefficients_of_b(self) -> list[str]:
        """The same in generated quantities, where b has been computed."""
        if not self.has_intercept:
            return [f"b{end}" for end in self.outer]
        return [
            f"b{end} + rep_matrix(mu_c{end} - mu{end}, J{end})" for end in self.outer
        ]

    @property
    def scales(self) -> str:
        """The matrix that makes deviations of standard normal numbers."""
        if self.correlated:
            return f"diag_pre_multiply(tau{self.s}, L_Omega{self.s})"
        return f"diag_matrix(tau{self.s})"

    @property
    def stated_covariance(self) -> str:
        """The matrix that scales are in, as a person writes it."""
        if self.correlated:
            return f"diag(tau{self.s}) * Omega{self.s} * diag(tau{self.s})"
        return f"diag(square(tau{self.s}))"

    @property
    def covariance(self) -> str:
        """The covariance matrix of the deviations."""
        if self.correlated:
            return f"tcrossprod({self.scales})"
        return f"diag_matrix(square(tau{self.s}))"
