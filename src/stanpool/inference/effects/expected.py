"""Expected outcomes of rows, averaged in cells at each draw.

Rows that a model cannot tell apart are evaluated once, and where the expected outcome
is the linear predictor, rows of the same groups are averaged before they are evaluated.
Nothing of the size draws x rows is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import BLOCK, LARGEST_ARRAY, Array, Indices
from stanpool.base.errors import EffectWarning, SpecError, quote, warn_user
from stanpool.base.options import EffectGroups, EffectKind
from stanpool.data.compression.orthogonal import first_rows, number_combinations
from stanpool.inference.cells import add_to_cells
from stanpool.inference.effects.groups import GroupEffects, other_factors
from stanpool.inference.effects.population import (
    expectation,
    is_linear,
    points_of,
    survival,
)
from stanpool.inference.effects.rows.grid import Grid, column_at, roles_of
from stanpool.inference.effects.rows.scenarios import Scenario
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.inference.prediction.rows import (
    check_new_groups,
    design_of_rows,
    parameters_needed,
    some_draws,
)
from stanpool.posterior.coefficients import coefficients

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.data.design.design import Design, FactorDesign, SpecialTerm
    from stanpool.model.fit_result import FitResult
    from stanpool.model.terms.unseen import NewLevels

# More evaluations than this take too long: fewer draws are used, but not too few.
_MOST_EVALUATIONS = LARGEST_ARRAY
_MIXED = 32  # normal distributions for the mean over a population that is not
_FEWEST_DRAWS = 100
_ROWS = 2**17  # whose design is built at a time
_CELLS = 16 * BLOCK  # draws of cells that are kept at a time


@dataclass(frozen=True, eq=False)
class _Rows:
    """Different rows of a scenario, sorted by cell, with their share of it."""

    frame: pd.DataFrame
    cell: Indices
    weights: Array

    def take(self, rows: slice) -> _Rows:
        return _Rows(self.frame.iloc[rows], self.cell[rows], self.weights[rows])


@dataclass(frozen=True, eq=False)
class Expectations:
    """Expected outcomes of the cells of a grid, in several scenarios.

    Attributes
    ----------
    fit
        The fit.
    grid
        The rows, and the cells in which they are averaged.
    scenarios
        Which columns of the rows are changed.
    groups
        Which group effects enter.
    kind
        ``"epred"`` for expected outcomes, ``"linpred"`` for linear predictors.
    draws
        How many draws are used; by default all, or as many as take a few seconds.
    seed
        The seed of the coefficients of new groups.
    is_log
        Whether the logarithms of the absolute values of what is expected are averaged
        instead.
    parameter
        What is expected: ``"mean"`` for outcomes, or a parameter of the family.
    times
        The times of which the probabilities to last longer are wanted in the place of
        expected outcomes, if any.
    """

    fit: FitResult
    grid: Grid
    scenarios: tuple[Scenario, ...]
    groups: GroupEffects
    kind: EffectKind = "epred"
    draws: int | None = None
    seed: int = 0
    is_log: bool = False
    parameter: str = "mean"
    times: tuple[float, ...] = ()

    @property
    def categories(self) -> tuple[Any, ...]:
        """The categories, or times, that have values of their own, if any."""
        if self.times:
            return self.times
        design = self.fit.model.design
        if self.kind == "epred":
            return design.categories
        return design.categories[1:] if self.fit.model.spec.is_categorical else ()

    @property
    def size(self) -> tuple[int, int]:
        """The numbers of chains, and of draws of each."""
        return self._source.shape

    def blocks(self) -> Iterator[tuple[slice, dict[Scenario, Array]]]:
        """Yield some cells and their expected outcomes, by scenario.

        Yields
        ------
        slice, dict
            The cells, and of each scenario an array of shape ``(S, cells)``, with one
            more axis for categories.
        """
        self._check_rows()
        cells = len(self.grid.labels)
        width = len(self.scenarios) * max(1, len(self.categories))
        chains, draws = self.size
        step = max(1, _CELLS // (chains * draws * width))
        for start in range(0, cells, step):
            some = slice(start, min(start + step, cells))
            yield some, {each: self._averages(each, some) for each in self.scenarios}

    def _check_rows(self) -> None:
        """Refuse rows of the user that the model cannot predict, with their numbers."""
        if self.grid.is_of_user:
            frame = self.scenarios[0].of_rows(self.fit.model, self.grid.frame)
            self._built(self.scenarios[0].with_fixed(self.fit.model, frame))

    @cached_property
    def _numbers(self) -> dict[str, tuple[int, ...]]:
        """The positions of the factors in the model, by how they enter."""
        factors = self.fit.model.design.factors if self._is_of_mean else ()
        return {
            word: tuple(
                number
                for number, each in enumerate(factors)
                if self.groups.of[each.factor] == word
            )
            for word in ("fitted", "population")
        }

    @cached_property
    def _source(self) -> LinearPredictor:
        """The coefficients at the draws that are used, without rows."""
        model, every = self.fit.model, self.fit.posterior
        posterior = some_draws(every, self._most_draws())
        used = posterior.sizes["chain"] * posterior.sizes["draw"]
        drawn = every.sizes["chain"] * every.sizes["draw"]
        if self.draws is None and used < drawn:
            warn_user(
                f"{used:,} of the {drawn:,} posterior draws are used, since all of "
                "them would take long for so many rows, so that estimates and "
                f"intervals have larger Monte Carlo errors. Pass draws={drawn} for "
                f"all, draws={used} to accept this number, or fewer rows as newdata=.",
                EffectWarning,
            )
        return LinearPredictor(
            model=model,
            design=model.design,
            numbers=(),
            posterior=posterior,
            coefficients=coefficients(model, posterior),
            new_groups=self.groups.new,
            seed=self.seed,
            parameter=self.parameter,
        )

    def _most_draws(self) -> int | None:
        """Return the number of draws, less than all where these take too long."""
        if self.draws is not None:
            return self.draws
        rows = sum(self._count(self._rows_of(each)) for each in self.scenarios)
        rows *= max(1, len(self.times))
        if "population" in self.groups.of.values() and self.kind == "epred":
            rows *= points_of(
                self.fit.model.spec,
                degrees=self._degrees,
                of_survival=bool(self.times),
            )
        most = max(_FEWEST_DRAWS, _MOST_EVALUATIONS // max(1, rows))
        sizes = self.fit.posterior.sizes
        return most if most < sizes["chain"] * sizes["draw"] else None

    def _count(self, rows: _Rows) -> int:
        """Count the evaluations that rows take at each draw."""
        if self._is_linear:
            columns = [name for name in self._group_columns if name in rows.frame]
            found = [rows.cell, *(_codes(rows.frame[name]) for name in columns)]
            number = number_combinations(
                found, len(rows.cell), most=len(rows.cell) // 2
            )
            return len(rows.cell) if number is None else int(number.max()) + 1
        return len(rows.cell)

    @property
    def _is_of_mean(self) -> bool:
        return self.parameter == "mean"

    @property
    def _is_linear(self) -> bool:
        is_linear_predictor = self.kind == "linpred" or is_linear(self.fit.model.spec)
        is_plain = not self.is_log and not self.times
        return is_linear_predictor and self._is_of_mean and is_plain

    @property
    def _special(self) -> tuple[SpecialTerm, ...]:
        """The terms of other kinds that enter."""
        return self.fit.model.design.special if self._is_of_mean else ()

    @property
    def _others(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """The factors that the parameters besides the mean vary over."""
        found = other_factors(self.fit.model, self.parameter)
        return [each for each in found if each[0] in self._needed]

    @cached_property
    def _group_columns(self) -> list[str]:
        """The columns of the groups whose own effects enter."""
        model = self.fit.model
        found = [
            name
            for number in self._numbers["fitted"]
            for name in (
                *model.spec.groups[number].key,
                *model.spec.groups[number].weights,
            )
        ]
        for term in self._special:
            found += self._columns_of(term, "fitted")
        for _, factor, key in self._others:
            if self.groups.of[factor] == "fitted":
                found += key
        return list(dict.fromkeys(found))

    @cached_property
    def _columns(self) -> list[str]:
        """The columns that tell rows apart."""
        model, roles = self.fit.model, roles_of(self.fit.model)
        weights = [
            name
            for number in self._numbers["population"]
            for name in model.spec.groups[number].weights
        ]
        found = [*roles.predictors, *roles.offsets, *self._group_columns, *weights]
        return list(dict.fromkeys(found))

    @cached_property
    def _different(self) -> dict[Any, _Rows]:
        return {}

    def _rows_of(self, scenario: Scenario) -> _Rows:
        """Return the different rows of a scenario, without what is the same in all."""
        model, grid = self.fit.model, self.grid
        fixed = scenario.fixed
        is_moved = len(fixed) < len(scenario.changes)
        key = scenario if is_moved else frozenset(fixed)
        if key not in self._different:
            frame = scenario.of_rows(model, grid.frame)
            names = [x for x in self._columns if x in frame.columns and x not in fixed]
            rows = _Rows(frame[[*names]], grid.cell, grid.weights)
            number = number_combinations(
                [grid.cell, *(_codes(frame[name]) for name in names)],
                len(frame),
                most=len(frame) // 2,
            )
            if number is not None:
                first = first_rows(number)
                weights = np.bincount(number, weights=grid.weights).astype(float)
                order = np.argsort(grid.cell[first], kind="stable")
                first, weights = first[order], weights[order]
                rows = _Rows(rows.frame.iloc[first], grid.cell[first], weights)
            self._different[key] = rows
        return self._different[key]

    def _averages(self, scenario: Scenario, cells: slice) -> Array:
        """Return the averages of a scenario's rows in cells, ``(S, cells)``."""
        chains, draws = self.size
        shape: tuple[int, ...] = (chains * draws, cells.stop - cells.start)
        if self.categories:
            shape += (len(self.categories),)
        total = np.zeros(shape)
        rows = self._rows_of(scenario)
        first, last = np.searchsorted(rows.cell, [cells.start, cells.stop])
        for start in range(first, last, _ROWS):
            some = rows.take(slice(start, min(start + _ROWS, last)))
            frame = scenario.with_fixed(self.fit.model, some.frame)
            source, averaged = self._built(frame)
            cell, weights = some.cell - cells.start, some.weights
            if self._is_linear and not any(x.has_means for x in averaged.special):
                source, cell, weights = _collapsed(source, cell, weights)
            for part in source.chunks():
                values = self._values(source, averaged, part)
                if self.is_log:
                    with np.errstate(divide="ignore"):  # an outcome of 0 has none
                        values = np.log(np.abs(values))
                add_to_cells(total, values, cell[part], weights[part])
        return total

    def _built(self, frame: pd.DataFrame) -> tuple[LinearPredictor, Design]:
        """Return the linear predictors of rows, and the design of new groups."""
        model, numbers = self.fit.model, self._numbers
        used = sorted((*numbers["fitted"], *numbers["population"]))
        terms = {number: model.design.factors[number].varying for number in used}
        varying = {
            (own, factor)
            for own, factor, _ in self._others
            if self.groups.of[factor] == "fitted"
        }
        data = self._completed(frame)
        design = design_of_rows(model, data, terms, self._needed, varying, ())
        if not self._is_of_mean:
            design = replace(design, special=())
        own = [k for k, number in enumerate(used) if number in numbers["fitted"]]
        special = [self._known(each) for each in design.special]
        source = replace(
            self._source,
            design=replace(
                design,
                factors=tuple(design.factors[k] for k in own),
                special=tuple(special),
            ),
            numbers=numbers["fitted"],
        )
        check_new_groups(source)
        fitted = [each for each in special if self._words_of(each) == {"fitted"}]
        source = replace(source, design=replace(source.design, special=tuple(fitted)))
        averaged = tuple(
            each
            for each in special
            if "population" in self._words_of(each)
            and "none" not in self._words_of(each)
        )
        others = tuple(design.factors[k] for k in range(len(used)) if k not in own)
        return source, replace(design, factors=others, special=averaged)

    def _words_of(self, term: SpecialTerm) -> set[EffectGroups]:
        """Return how the levels of a term's columns enter."""
        return {self.groups.of[side.column] for side in term.sides}

    def _columns_of(self, term: SpecialTerm, word: EffectGroups) -> list[str]:
        """Return the columns of a term whose levels enter in a way."""
        return [x.column for x in term.sides if self.groups.of[x.column] == word]

    def _known(self, term: SpecialTerm) -> SpecialTerm:
        """Return a term without the new levels of columns whose levels do not enter."""
        sides = next(
            each.sides
            for each in self.fit.model.design.special
            if each.name == term.name
        )
        return term.with_sides(
            [
                own
                if self.groups.of[own.column] == "fitted"
                else replace(fitted, index=np.zeros_like(own.index))
                for own, fitted in zip(term.sides, sides, strict=True)
            ]
        )

    @property
    def _degrees(self) -> int:
        """The rank of the latent factors if both their columns have new levels."""
        special = self.fit.model.design.special
        new = [each for each in special if self._words_of(each) == {"population"}]
        return max((each.scales for each in new), default=0)

    @cached_property
    def _needed(self) -> set[str]:
        """The parameters besides the predictor of the mean that enter."""
        if not self._is_of_mean:
            return {self.parameter}
        parts = () if self.kind == "linpred" else ("residual",)
        every = bool(self.times)
        needed = parameters_needed(self.fit.model, parts, every=every)
        residual = self.fit.model.design.residual
        if residual is not None and self.groups.of.get(residual.factor) != "fitted":
            needed -= {"sigma"}
        return needed

    def _completed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Name any group where rows need none, as only its predictors are used."""
        model = self.fit.model
        wanted = [
            name
            for number in self._numbers["population"]
            for name in model.spec.groups[number].key
        ]
        wanted += [
            name
            for _, factor, key in self._others
            if self.groups.of[factor] != "fitted"
            for name in key
        ]
        wanted += [
            side.column
            for term in self._special
            for side in term.sides
            if self.groups.of[side.column] != "fitted"
        ]
        missing = {
            name: column_at(model, name, model.data[name].iloc[0], len(frame))
            for name in wanted
            if name not in frame.columns
        }
        return frame.assign(**missing) if missing else frame

    def _values(self, source: LinearPredictor, averaged: Design, rows: slice) -> Array:
        """Return what is averaged of some rows, shape ``(S, rows)``."""
        if not self._is_of_mean:
            is_linear = self.kind == "linpred"
            return source.asked(rows) if is_linear else source.value_asked(rows)
        eta = source.eta(rows)
        if self._is_linear and any(x.has_means for x in averaged.special):
            new = self._new_levels(source, averaged, rows)
            eta += sum(each.average for each in new)
        if self.kind == "linpred":
            return eta
        spec, parameters = self.fit.model.spec, source.parameters(rows)
        expected: Callable[..., Array] = expectation
        if self.times:
            expected = partial(survival, times=np.array(self.times))
        if self._is_linear or not (averaged.factors or averaged.special):
            return expected(spec, eta, parameters, None)
        moments: list[tuple[Any, Array]] = [
            (0.0, each) for each in self._variances(averaged.factors, rows)
        ]
        product = None
        for of_new in self._new_levels(source, averaged, rows):
            if of_new.degrees:
                product = of_new
            else:
                moments = [
                    (mean + own, variance + more)
                    for mean, variance in moments
                    for own, more in of_new.parts
                ]
        found = [expected(spec, eta + m, parameters, v, product) for m, v in moments]
        return np.asarray(np.mean(found, axis=0))

    def _new_levels(
        self, source: LinearPredictor, averaged: Design, rows: slice
    ) -> Iterator[NewLevels]:
        """Yield the distributions of what terms of other kinds add over new levels."""
        for term in averaged.mean.take(rows).special:
            new = self._columns_of(term, "population")
            draws = source.coefficients.special[term.name]
            yield draws.of_new_levels(term, source.unseen, new)

    @cached_property
    def _chols(self) -> tuple[Array, ...]:
        """Cholesky factors of the covariance of new groups, ``(S, D * Q, D * Q)``."""
        factors = self._source.coefficients.factors
        return tuple(factors[number].chol for number in self._numbers["population"])

    @cached_property
    def _mixing(self) -> tuple[Array | None, ...]:
        """The variances whose mixtures populations are, as multiples of theirs."""
        spec, source = self.fit.model.spec, self._source
        found = []
        for number in self._numbers["population"]:
            own = source.coefficients.factors[number]
            name = self.fit.model.design.factors[number].factor
            if own.nu is not None and spec.link_name == "log" and not self.times:
                raise SpecError(
                    f"the mean over new groups of {quote(name)} is infinite, since "
                    "they come from a Student-t distribution of logarithms. Ask for "
                    "kind='linpred', for fitted groups, or for groups='zero'."
                )
            found.append(own.mixing(_MIXED, source.unseen.stream("mixture", name)))
        return tuple(found)

    def _variances(self, factors: Sequence[FactorDesign], rows: slice) -> list[Array]:
        """Return the variances of what new groups add, over whose mixture means are.

        There is one unless a population is not normal.
        """
        if all(each is None for each in self._mixing):
            return [self._variance(factors, rows, self._chols)]
        found = []
        for point in range(_MIXED):
            chols = [
                chol if mixing is None else chol * np.sqrt(mixing[point])[:, None]
                for chol, mixing in zip(self._chols, self._mixing, strict=True)
            ]
            found.append(self._variance(factors, rows, chols))
        return found

    def _variance(
        self, factors: Sequence[FactorDesign], rows: slice, chols: Sequence[Array]
    ) -> Array:
        """Return the variance of what new groups add to linear predictors.

        The shape is ``(S, rows)``; of categories they are covariance matrices, ``(S,
        rows, D, D)``.
        """
        total: Any = 0.0
        for factor, chol in zip(factors, chols, strict=True):
            z = factor.Z[rows]
            if factor.root is not None:  # any of the groups
                z = z * np.sqrt(factor.variances_of_groups.mean())
            else:  # the groups of a row are independent
                z = z * np.sqrt(factor.take(rows).variances)[:, None]
            predictors = max(1, len(factor.predictors_of))
            by_category = chol.reshape(len(chol), predictors, z.shape[1], -1)
            loadings = np.einsum("nq,sdqk->sndk", z, by_category)
            if self.fit.model.spec.is_categorical:
                total = total + loadings @ loadings.swapaxes(-1, -2)
            else:
                total = total + np.square(loadings[:, :, 0]).sum(axis=-1)
        return np.asarray(total)


def _codes(column: Any) -> Any:
    """Return what tells the values of a column apart fast."""
    return column.cat.codes if hasattr(column, "cat") else column.to_numpy()


def _collapsed(
    source: LinearPredictor, cell: Indices, weights: Array
) -> tuple[LinearPredictor, Indices, Array]:
    """Average rows of the same cell and groups, where predictors are linear."""
    design = source.design
    if any(each.weights is not None for each in design.factors):
        return source, cell, weights
    columns = [cell, *(each.index for each in design.factors)]
    columns += [side.index for term in design.special for side in term.sides]
    number = number_combinations(columns, len(cell), most=max(1, len(cell) // 2))
    if number is None:
        return source, cell, weights
    first = first_rows(number)
    total = np.bincount(number, weights=weights).astype(float)
    share = weights / np.where(total > 0, total, 1.0)[number]

    def mean(values: Any) -> Any:
        if values is None:
            return None
        columns = np.atleast_2d(values.T)
        found = [np.bincount(number, weights=share * each) for each in columns]
        stacked = np.array(found).reshape(len(columns), len(total)).T
        return stacked.reshape(len(total), *values.shape[1:])

    taken = design.take(first)
    factors = [
        replace(few, Z=mean(each.Z))
        for few, each in zip(taken.factors, design.factors, strict=True)
    ]
    few = replace(
        taken, X=mean(design.X), offset=mean(design.offset), factors=tuple(factors)
    )
    return replace(source, design=few), cell[first], total
