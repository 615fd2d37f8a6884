"""The table of families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
        What values the outcome takes: ``"real"``, ``"positive"``, ``"proportion"``
        (between 0 and 1), ``"binary"``, ``"count"``, ``"ordered"`` categories, or
        ``"categories"`` without an order.
    parameters
        The classes of its parameters besides the linear predictor, such as ``sigma``.
    parts
        The parts of an outcome that go with it, besides ``weights``: ``"trials"``,
        ``"se"``, ``"exposure"``, ``"cens"``, ``"trunc"``.
    """

    name: str
    links: tuple[str, ...]
    outcome: str
    parameters: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """The default link."""
        return self.links[0]

    @property
    def is_discrete(self) -> bool:
        """Whether outcomes are whole numbers or categories."""
        return self.outcome not in ("real", "positive", "proportion")


_OF_PROBABILITY = ("logit", "probit", "cloglog")


FAMILIES: Mapping[str, Family] = {
    each.name: each
    for each in (
        Family(
            "gaussian",
            ("identity", "log"),
            "real",
            ("sigma",),
            ("se", "cens", "trunc"),
        ),
        Family(
            "student_t", ("identity",), "real", ("nu", "sigma"), ("se", "cens", "trunc")
        ),
        Family("lognormal", ("identity",), "positive", ("sigma",), ("cens", "trunc")),
        Family("gamma", ("log",), "positive", ("shape",), ("exposure",)),
        Family("bernoulli", _OF_PROBABILITY, "binary"),
        Family("binomial", _OF_PROBABILITY, "count", parts=("trials",)),
        Family("beta", _OF_PROBABILITY, "proportion", ("phi",)),
        Family("poisson", ("log",), "count", parts=("exposure",)),
        Family("negative_binomial", ("log",), "count", ("phi",), ("exposure",)),
        Family("ordinal", ("logit", "probit"), "ordered", ("cutpoint",)),
        Family("categorical", ("logit",), "categories"),
    )
}
