"""The letters and signs of mathematical notation, in LaTeX and in Unicode."""

from __future__ import annotations

GREEK = {
    "alpha": "α",
    "beta": "β",
    "eta": "η",
    "kappa": "κ",
    "zeta": "ζ",
    "xi": "ξ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "phi": "φ",
    "rho": "ρ",
    "pi": "π",
    "sigma": "σ",
    "tau": "τ",
    "Gamma": "Γ",
    "Omega": "Ω",
    "Phi": "Φ",
    "Sigma": "Σ",
    "infty": "∞",
}

# By sign: in LaTeX, and in Unicode with the blanks around it.
SIGNS = {
    "*": (r"\,", "·"),
    "~": (r"\sim", " ~ "),
    "==": ("=", " = "),
    "!=": (r"\ne", " ≠ "),
    "<=": (r"\le", " ≤ "),
    ">=": (r"\ge", " ≥ "),
    "<": ("<", " < "),
    ">": (">", " > "),
    "in": (r"\in", " ∈ "),
    "...": (r"\ldots", "..."),
    ",": (r",\ ", ", "),
    "|": (r"\mid", " | "),
    "%": (r"\bmod", " mod "),
    "//": (r"\mathbin{//}", " // "),
    "and": (r"\wedge", " and "),
    "or": (r"\vee", " or "),
    "not": (r"\neg", "not "),
}

_LONGEST = 60  # characters of a user's name, before it is cut


def printable(text: str) -> str:
    r"""Return a text on one line, without control characters.

    Examples
    --------
    >>> printable("a\nb\x1b")
    'a b '
    """
    return "".join(char if char.isprintable() else " " for char in text)


def name_of(text: str) -> str:
    """Return a user's name for an equation, cut if it is long."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
