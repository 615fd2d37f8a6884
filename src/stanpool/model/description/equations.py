"""The equations of a model, as LaTeX, as text, and for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape

from stanpool.model.description.describe import describe
from stanpool.model.description.description import Description
from stanpool.model.description.writers.latex import equations_latex
from stanpool.model.description.writers.mathml import equations_html, sentence
from stanpool.model.description.writers.plain_text import equations_text
from stanpool.model.prepared_model import PreparedModel


@dataclass(frozen=True, repr=False)
class Equations:
    """The equations of a model, which print as text and are typeset in notebooks.

    Attributes
    ----------
    description
        What they say: the statements, and what their letters mean.
    latex
        An ``aligned`` environment, for a paper (``amsmath``).
    text
        The equations and notes on them in 80 columns.
    html
        The equations as MathML, which browsers show without scripts, and the LaTeX.
    """

    description: Description

    @cached_property
    def latex(self) -> str:
        """The equations as an ``aligned`` environment of LaTeX."""
        return equations_latex(self.description)

    @cached_property
    def text(self) -> str:
        """The equations and notes on them as text."""
        return equations_text(self.description)

    @cached_property
    def html(self) -> str:
        """The equations as MathML, notes on them, and the LaTeX to copy."""
        notes = "<br>".join(map(sentence, self.description.notes))
        return (
            f'<div class="equations">{equations_html(self.description)}'
            f"<p>{notes}</p><details><summary>LaTeX</summary>"
            f"<pre>{escape(self.latex)}</pre></details></div>"
        )

    def __repr__(self) -> str:
        """Return the text."""
        return self.text

    def _repr_latex_(self) -> str:
        """Return the LaTeX as displayed mathematics."""
        return f"$$\n{self.latex}\n$$"

    def _repr_html_(self) -> str:
        """Return the HTML."""
        return self.html


def equations(model: PreparedModel) -> Equations:
    """Return the model in the notation of textbooks, with the names of its columns.

    The first block has the distribution of the outcome and its linear predictors, the
    second the distributions of the groups' coefficients, and the third the priors in
    force. Coefficients of groups include the population's (Gelman and Hill [1]_); in
    the names of results, a coefficient ``β_x[j]`` of group ``j`` is ``b_g[j, x]``, and
    a scale ``τ_x`` is ``tau_g[x]``. Normal distributions are written with their
    standard deviations.

    References
    ----------
    .. [1] Gelman and Hill (2007). Data analysis using regression and
       multilevel/hierarchical models. Cambridge University Press.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> print(model.equations())  # doctest: +NORMALIZE_WHITESPACE
    log_radon[i] ~ Normal(μ[i], σ)   for i = 1, ..., 919
            μ[i] = α[j[i]] + β_floor·floor[i]
    <BLANKLINE>
    α[j] ~ Normal(α, τ_α)   for j = 1, ..., 85
    <BLANKLINE>
    ...
    """
    return Equations(describe(model))
