"""Draws of an exact or Gibbs sampler, in the labelled form of a ``Fit``'s draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, check_memory
from stanpool.base.errors import SpecError, quote
from stanpool.engine.values.draws import NamedDraws
from stanpool.model.draws_tree import DrawsTree
from stanpool.model.terms.names import GroupNames, labels_of
from stanpool.posterior.labelled_draws import build_posterior, number_draws
from stanpool.posterior.recenter import uncenter_tree

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.api.facade import Model


@public
@dataclass(frozen=True, repr=False, eq=False)
class ExactDraws(DrawsTree):
    """Labelled draws that were made without Stan; they are used like a ``Fit``.

    Attributes
    ----------
    tree
        Groups ``posterior``, with dimensions ``(chain, draw, ...)``, and
        ``observed_data``.
    method
        How the draws were made, in a few words.
    source
        The publication that the formulas are from.
    factor
        The grouping factor, or None.
    model
        The model, if Stan can fit it too; otherwise None.
    """

    tree: xr.DataTree
    method: str
    source: str
    factor: str | None = None
    model: Model | None = None

    @property
    def sample_stats(self) -> xr.Dataset:
        """``diverging``, which is always False, for plots that mark divergences."""
        frame = self.posterior[["chain", "draw"]]
        none = np.zeros((frame.sizes["chain"], frame.sizes["draw"]), dtype=bool)
        return frame.assign(diverging=(("chain", "draw"), none))

    def to_arviz(self) -> Any:
        """Return the draws as the container of the installed ArviZ."""
        from stanpool.inference.arviz_export import without_constants
        from stanpool.posterior import arviz

        groups = {name: node.to_dataset() for name, node in self.tree.children.items()}
        groups["posterior"] = without_constants(self.posterior)
        return arviz.to_arviz(type(self.tree).from_dict(groups))

    def summary(self, *, groups: bool = True) -> pd.DataFrame:
        """Summarize each parameter: mean, sd, quantiles, R-hat, effective sizes.

        Parameters
        ----------
        groups
            Whether to list the coefficients of the groups too; they come last.
        """
        from stanpool.inference.estimates.summary import summary

        return summary(self, groups=groups)

    def __repr__(self) -> str:
        """Describe the draws in one line."""
        sizes = self.posterior.sizes
        about = "" if self.model is None else f"{self.model!r}, "
        return (
            f"ExactDraws({about}{self.method}, "
            f"{sizes['chain']} chains of {sizes['draw']} draws)"
        )


def draws_of_model(
    model: Model, variables: Mapping[str, Array], *, method: str, source: str
) -> ExactDraws:
    """Label draws of a model with a varying intercept as ``Fit`` labels them.

    Parameters
    ----------
    model
        A partially pooled model with a varying intercept.
    variables
        Draws for centered predictors: ``Intercept``, ``tau`` and, if the model has it,
        ``sigma``, each of shape ``(chain, draw)``; ``beta``, ``(chain, draw, K)``;
        ``b``, ``(chain, draw, J)``.
    method, source
        As in ``ExactDraws``.
    """
    design = model.design
    assert design.factor is not None
    names = GroupNames.of(design.factor)
    dims = {
        "Intercept": ("Intercept", ()),
        "beta": ("beta", ("coefficient",)),
        "tau": (names.tau, (names.coefficient,)),
        "b": (names.b, (names.group, names.coefficient)),
        "sigma": ("sigma", ()),
    }
    with_axis = {"tau", "b"}  # one varying coefficient: the intercept
    tree = _tree(
        {
            name: (of, values[..., None] if key in with_axis else values)
            for key, (name, of) in dims.items()
            if (values := variables.get(key)) is not None and values.size
        },
        {
            "coefficient": design.coefficients,
            names.group: design.group_labels,
            names.coefficient: design.varying,
        },
        observed={"y": ("row", design.y)},
    )
    return _with_model(model, tree, method, source)


def labelled_draws(
    model: Model, variables: Mapping[str, Array], *, method: str, source: str
) -> ExactDraws:
    """Label draws of a model without partial pooling as ``Fit`` labels them.

    Parameters
    ----------
    model
        The model.
    variables
        Draws by Stan's names, each of shape ``(chain, draw, ...)``.
    method, source
        As in ``ExactDraws``.
    """
    import xarray as xr

    design = model.design
    posterior = build_posterior(NamedDraws(variables), design, model.structure)
    observed = xr.Dataset({"y": ("row", design.y)})
    tree = xr.DataTree.from_dict({"posterior": posterior, "observed_data": observed})
    return _with_model(model, tree, method, source)


def _with_model(
    model: Model, tree: xr.DataTree, method: str, source: str
) -> ExactDraws:
    """Return draws of a model, for predictors as they are in the data."""
    return ExactDraws(
        tree=uncenter_tree(model, tree),
        method=method,
        source=source,
        factor=model.design.factor,
        model=model,
    )


def draws_by_group(
    name: str,
    values: Array,
    *,
    factor: str,
    labels: Sequence[Any],
    observed: Mapping[str, Array],
    source: str,
) -> ExactDraws:
    """Label draws of one quantity per group, shape ``(chain, draw, J)``."""
    names = GroupNames.of(factor)
    return ExactDraws(
        tree=_tree(
            {name: ((names.group,), values)},
            {names.group: labels},
            observed={key: (names.group, given) for key, given in observed.items()},
        ),
        method="independent draws",
        source=source,
        factor=factor,
    )


def draws_of_scalars(
    variables: Mapping[str, Array], *, y: Array, method: str, source: str
) -> ExactDraws:
    """Label draws of scalars, each of shape ``(chain, draw)``."""
    return ExactDraws(
        tree=_tree(
            {name: ((), values) for name, values in variables.items()},
            {},
            observed={"y": ("row", y)},
        ),
        method=method,
        source=source,
    )


def _tree(
    variables: Mapping[str, tuple[tuple[str, ...], Array]],
    labels: Mapping[str, Sequence[Any]],
    *,
    observed: Mapping[str, Any],
) -> xr.DataTree:
    """Build the tree; labels of dimensions that no variable has are left out."""
    import xarray as xr

    used = {dim for dims, _ in variables.values() for dim in dims}
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *dims), values)
            for name, (dims, values) in variables.items()
        },
        {dim: labels_of(given) for dim, given in labels.items() if dim in used},
    )
    return xr.DataTree.from_dict(
        {
            "posterior": number_draws(posterior),
            "observed_data": xr.Dataset(dict(observed)),
        }
    )


def check_sampling(rng: object, *, chains: int, draws: int, numbers: int) -> None:
    """Refuse what is not a generator, and draws that do not fit into memory.

    Parameters
    ----------
    rng, chains, draws
        As they were given.
    numbers
        How many numbers one draw has.

    Raises
    ------
    SpecError
        If ``rng`` is not a generator.
    OutOfMemoryError
        If the draws do not fit into memory.
    """
    check_generator(rng)
    check_memory(
        f"chains={chains:,} of draws={draws:,} with {numbers:,} numbers each",
        chains * draws * numbers,
        "Pass fewer draws= or chains=.",
    )


def check_generator(rng: object) -> None:
    """Refuse what is not a ``numpy.random.Generator``."""
    if not isinstance(rng, np.random.Generator):
        raise SpecError(
            f"rng={quote(rng)} is not a numpy.random.Generator; pass "
            "numpy.random.default_rng(seed)."
        )


def check_positive(**numbers: float) -> None:
    """Refuse numbers that are not positive and finite."""
    for name, number in numbers.items():
        if not (_is_finite(number) and number > 0):
            raise SpecError(f"{name}={quote(number)} must be positive and finite.")


def check_finite(**numbers: float) -> None:
    """Refuse what is not a finite number."""
    for name, number in numbers.items():
        if not _is_finite(number):
            raise SpecError(f"{name}={quote(number)} must be a finite number.")


def _is_finite(number: float) -> bool:
    """Whether a number, and not text or a truth value, is finite."""
    real = isinstance(number, int | float | np.integer | np.floating)
    return real and not isinstance(number, bool) and math.isfinite(number)
