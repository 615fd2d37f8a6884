"""The draws of fits to imputed data sets, taken together.

Draws given each of several imputations, in equal numbers, are draws of the posterior
that is averaged over what is missing. Their chains are not to agree over data sets, so
that R-hat is computed within each.

References
----------
.. [1] Zhou and Reiter (2010). A note on Bayesian inference after multiple imputation.
   The American Statistician 64(2), 159-163.
.. [2] Rubin (1987). Multiple imputation for nonresponse in surveys. Wiley, section 3.3:
   the fraction of missing information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.columns import column_named
from stanpool.data.entries import level_text
from stanpool.inference.estimates.summary import draws, summary
from stanpool.inference.estimates.summary_table import SummaryTable
from stanpool.model.draws_tree import DrawsTree
from stanpool.model.fit_result import FitResult
from stanpool.model.prepared_model import PreparedModel
from stanpool.posterior.convergence import STATISTICS, mixing
from stanpool.posterior.labelled_draws import number_draws
from stanpool.posterior.scalars import Scalars, scalars

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@public
@dataclass(frozen=True, repr=False, eq=False)
class PooledDraws(DrawsTree):
    """The posterior draws of fits to several imputed data sets, as those of one fit.

    Attributes
    ----------
    model
        The model of the first data set, which names parameters and groups.
    tree
        Groups ``posterior``, whose chains are those of all data sets in order, and
        ``sample_stats``.
    data_sets
        How many data sets there are, with equal numbers of chains.
    """

    model: PreparedModel
    tree: xr.DataTree
    data_sets: int

    @classmethod
    def of(cls, fits: Sequence[FitResult]) -> PooledDraws:
        """Put the chains of fits beside each other.

        Raises
        ------
        SpecError
            If there is no fit, or they have different parameters, or different numbers
            of draws.
        """
        import xarray as xr

        if len(fits) < 2:
            raise SpecError(
                f"there are {len(fits)} fits to pool; at least 2 are needed."
            )
        for number, each in enumerate(fits[1:], start=2):
            _refuse_unlike(fits[0], each, number)
        groups = {
            name: number_draws(
                xr.concat([each.tree[name].to_dataset() for each in fits], dim="chain")
            )
            for name in ("posterior", "sample_stats")
        }
        return cls(fits[0].model, xr.DataTree.from_dict(groups), len(fits))

    def draws(
        self, *, var_names: Sequence[str] | None = None, groups: bool = True
    ) -> pd.DataFrame:
        """Return the draws as a table, as ``Fit.draws`` does.

        Parameters
        ----------
        var_names, groups
            As for ``Fit.draws``.
        """
        return draws(self, var_names=var_names, groups=groups)

    def summary(
        self,
        *,
        var_names: Sequence[str] | None = None,
        groups: bool = True,
        prob: float = 0.9,
    ) -> pd.DataFrame:
        """Summarize each parameter, averaged over the data sets.

        Parameters
        ----------
        var_names, groups, prob
            As for ``Fit.summary``.

        Returns
        -------
        pandas.DataFrame
            As ``Fit.summary`` returns it for all draws together, except that ``r_hat``
            is the largest of the data sets and effective sizes are their sums; and with
            ``missing_information``: the share of the variance that is due to what is
            missing.
        """
        import pandas as pd

        table = summary(self, var_names=var_names, groups=groups, prob=prob)
        shown = set(table.index)
        blocks = scalars(self.posterior, var_names=var_names)
        within = [
            self._within(each) for each in blocks if shown.issuperset(each.labels)
        ]
        own = pd.concat(within).loc[table.index]
        return SummaryTable(table.drop(columns=[*STATISTICS]).join(own))

    def _within(self, block: Scalars) -> pd.DataFrame:
        """Return statistics of each scalar that are computed within data sets."""
        import pandas as pd

        parts = np.split(block.draws, self.data_sets, axis=0)
        mixed = [mixing(part) for part in parts]
        statistics = {
            "r_hat": np.max([each["r_hat"] for each in mixed], axis=0),
            "ess_bulk": np.sum([each["ess_bulk"] for each in mixed], axis=0),
            "ess_tail": np.sum([each["ess_tail"] for each in mixed], axis=0),
            "mcse_mean": np.sqrt(
                np.sum([each["mcse_mean"] ** 2 for each in mixed], axis=0)
            )
            / self.data_sets,
            "missing_information": missing_information(parts),
        }
        return pd.DataFrame(statistics, index=list(block.labels))

    def __repr__(self) -> str:
        """Describe the draws in one line."""
        sizes = self.posterior.sizes
        return (
            f"PooledDraws({self.model!r}, {self.data_sets} data sets, "
            f"{sizes['chain']} chains of {sizes['draw']} draws)"
        )


def missing_information(parts: Sequence[Array]) -> Array:
    """Return the share of the variance that lies between data sets.

    Parameters
    ----------
    parts
        The draws of each of m data sets, ``(chain, draw, scalar)``.

    Returns
    -------
    numpy.ndarray
        ``(1 + 1/m) B / ((1 + 1/m) B + W)``, where ``B`` is the variance of the means of
        the data sets and ``W`` the mean of their variances; shape ``(scalar,)``.

    Examples
    --------
    >>> x = np.array([0.0, 2.0]).reshape(1, 2, 1)  # of variance 2
    >>> missing_information([x, x + 2.0])  # whose means have variance 2
    array([0.6])
    """
    means = [part.mean(axis=(0, 1)) for part in parts]
    within = np.mean([part.var(axis=(0, 1), ddof=1) for part in parts], axis=0)
    # The variance that so few data sets add to the mean of their means is counted.
    between = (1 + 1 / len(parts)) * np.var(means, axis=0, ddof=1)
    with np.errstate(invalid="ignore"):  # constants
        share: Array = between / (between + within)
    return share


def refuse_other_than_missing(
    label: object, imputed: pd.DataFrame, data: pd.DataFrame
) -> None:
    """Refuse a data set that is not the data with missing values filled in.

    Parameters
    ----------
    label
        The label of the data set, for messages.
    imputed
        The columns of it that the model uses, as the model has them.
    data
        The data, in which values are missing.

    Raises
    ------
    DataError
        If they have other rows, or values that are there and differ.
    """
    if len(imputed) != len(data):
        raise DataError(
            f"data set {quote(label)} has {len(imputed):,} rows, and the data have "
            f"{len(data):,}: imputations fill in what is missing, row by row."
        )
    for name in imputed.columns:
        given = column_named(name, data)
        is_there = given.notna().to_numpy()
        differs = is_there & _differ(imputed[name], given)
        if differs.any():
            rows = np.flatnonzero(differs).tolist()
            raise DataError(
                f"data set {quote(label)} differs from the data in column "
                f"{quote(name)} where it is not missing (rows {quote_list(rows)}, "
                "counted from 0). Pool fits to imputations of the same data."
            )


def _differ(one: pd.Series[Any], other: pd.Series[Any]) -> NDArray[np.bool_]:
    """Whether the values of two columns differ, which may be of several types."""
    import pandas as pd

    if all(map(pd.api.types.is_numeric_dtype, (one, other))):
        return np.asarray(one.to_numpy(float) != other.to_numpy(float))
    texts = (
        np.array([_level(value) for value in column], dtype=object)
        for column in (one, other)
    )
    return np.asarray(np.not_equal(*texts), dtype=bool)


def _level(value: Any) -> str:
    """Write a value as the level that it is: whole numbers have no decimals."""
    is_whole = isinstance(value, float) and value.is_integer()
    return level_text(int(value) if is_whole else value)


def _refuse_unlike(first: FitResult, other: FitResult, number: int) -> None:
    """Refuse to pool fits of different parameters, or numbers of draws."""
    known, found = _labels(first), _labels(other)
    if known != found:
        differing = sorted(known ^ found)
        raise SpecError(
            f"fits 1 and {number} have different parameters, so that they cannot be "
            f"pooled: {quote_list(differing)} are not in both. Data sets to be pooled "
            "have the same groups and levels."
        )
    sizes = [
        (each.posterior.sizes["chain"], each.posterior.sizes["draw"])
        for each in (first, other)
    ]
    if sizes[0] != sizes[1]:
        raise SpecError(
            f"fits 1 and {number} have {quote(sizes[0])} and {quote(sizes[1])} chains "
            "and draws, and would not have equal weights. Fit them alike."
        )


def _labels(fit: FitResult) -> set[str]:
    return {label for each in scalars(fit.posterior) for label in each.labels}
