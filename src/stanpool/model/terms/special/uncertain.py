"""Predictors whose true values are not all known.

Their coefficients are the population's. In the posterior their means are ``mean_x``,
standard deviations ``sd_x`` and effects on the means ``beta_x``; the values themselves
are ``true_x[x_row]`` of ``me(x, sd)`` and ``missing_x[x_row]`` of ``mi(x)``, which have
the name of the column and the numbers of the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.data.design.design import Side
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.terms.names import Claim, Labelled, labels_of
from stanpool.model.terms.term import (
    InitialValues,
    Noise,
    ProgramData,
    StanVariables,
    Variables,
)
from stanpool.model.terms.unseen import NewLevels, UnseenGroups

_SPREAD = 0.1  # of initial values, in standard deviations of values or as logarithms


@dataclass(frozen=True, eq=False)
class UncertainDraws:
    """Draws of what is known of predictors whose values are not all known.

    Attributes
    ----------
    mean, sd
        Means and standard deviations of true values, shape ``(S, U)``.
    beta
        Effects on the means, shape ``(S, K_x)``.
    slope
        The coefficients of the predictors, shape ``(S, U)``.
    values
        Draws of the unknown values of the rows of the fit, shape ``(S, values)``, and
        the numbers of their rows, by the place of the predictor; empty where they have
        not been drawn.
    """

    mean: Array
    sd: Array
    beta: Array
    slope: Array
    values: Mapping[int, tuple[Array, np.ndarray]]

    def given_seen(self, rows: UncertainDesign) -> tuple[Array, Array]:
        """Return how far true values are from those in X, given what was observed.

        Returns
        -------
        tuple
            The means and the standard deviations of the differences, shape
            ``(S, rows, U)``; both are 0 where true values are known.
        """
        variance = np.square(self.sd)[:, None, :]
        weight = 1.0 / (1.0 + rows.precision * variance)
        shift = weight * (rows.mean(self.mean, self.beta) - rows.x)
        return shift, np.sqrt(weight * variance)

    def moments(self, rows: UncertainDesign) -> tuple[Array, Array]:
        """Return the mean and the variance of what values add to linear predictors.

        The outcomes of the rows are not taken into account.

        Returns
        -------
        tuple
            Shape ``(S, rows)`` each.
        """
        shift, spread = self.given_seen(rows)
        mean = np.einsum("su,snu->sn", self.slope, shift)
        variance = np.einsum("su,snu->sn", np.square(self.slope), np.square(spread))
        return mean, variance

    def effect(self, rows: UncertainDesign, unseen: UnseenGroups) -> Array:
        """Return what values add to linear predictors, shape ``(S, 1, rows)``.

        Parameters
        ----------
        rows
            The term of the rows. The values of those of the fit are as they were drawn.
        unseen
            Where those of new rows come from: with ``"zero"`` they are their means.
        """
        found, spread = self.given_seen(rows)
        for u, name in enumerate(rows.names):
            is_drawn = np.zeros(len(rows.number), dtype=bool)
            if u in self.values:
                drawn, at = self.values[u]
                place = pd.Index(at).get_indexer(rows.number)
                is_drawn = place >= 0
                own = drawn[:, place[is_drawn]]
                found[:, is_drawn, u] = own - rows.x[is_drawn, u]
            others = rows.is_unknown[:, u] & ~is_drawn
            for row in np.flatnonzero(others) if unseen.source != "zero" else ():
                stream = unseen.stream("value", name, int(rows.number[row]))
                z = stream.standard_normal(len(found))
                found[:, row, u] += spread[:, row, u] * z
        return np.asarray(np.einsum("su,snu->sn", self.slope, found)[:, None])

    def redrawn(self) -> UncertainDraws:
        """Return the same without draws of values, which are then drawn again.

        They do not depend on the outcomes of their rows any more.
        """
        return replace(self, values={})

    def log_density_of_seen(self, rows: UncertainDesign) -> Array:
        """Return the log density of what was observed of the rows, shape ``(S,)``."""
        seen = rows.is_seen
        error = np.where(seen, rows.error, 0.0)
        variance = np.square(self.sd)[:, None, :] + np.square(error)
        left = rows.x - rows.mean(self.mean, self.beta)
        own = np.log(2.0 * np.pi * variance) + np.square(left) / variance
        return np.asarray(-0.5 * np.sum(own * seen, axis=(1, 2)))

    def of_new_levels(
        self, rows: UncertainDesign, unseen: UnseenGroups, new: Collection[str]
    ) -> NewLevels:
        """Return how what values add is distributed, which has no columns of levels."""
        return NewLevels(self.moments(rows)[1])


@dataclass(frozen=True, eq=False)
class UncertainTerm:
    """The predictors of a model whose true values are not all known.

    Attributes
    ----------
    design
        What was observed of them.
    """

    design: UncertainDesign

    @property
    def name(self) -> str:
        """The name of the term."""
        return self.design.name

    def claims(self) -> Iterator[Claim]:
        """Yield the names that the term takes in the posterior, and for what."""
        shared = ("mean_x", "sd_x", "beta_x", "predictor_of_x", "uncertain")
        yield Claim("me() or mi()", shared)
        for each in self.design.predictors:
            yield Claim(each.name, (each.variable, each.rows))

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield nothing: there are no scales of coefficients."""
        yield from ()

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables, values that were sampled among them."""
        variables: dict[str, tuple[tuple[str, ...], Array]] = {
            name: (("uncertain",), stan(name)) for name in ("mean_x", "sd_x")
        }
        coords = {"uncertain": labels_of(self.design.names)}
        if self.design.labels:
            variables["beta_x"] = (("predictor_of_x",), stan("beta_x"))
            coords["predictor_of_x"] = labels_of(self.design.labels)
        if not self.design.is_integrated and self.design.is_unknown.any():
            values = self.labelled_values(stan("true_x"))
            variables, coords = variables | values.variables, coords | values.coords
        return Labelled(variables, coords)

    def labelled_values(self, values: Array) -> Labelled:
        """Label draws of values that are not known, ``(chain, draw, values)``."""
        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        coords: dict[str, np.ndarray] = {}
        row, predictor = self.design.unknown
        for u, each in enumerate(self.design.predictors):
            own = predictor == u
            if not own.any():  # of some rows all values may be known
                continue
            variables[each.variable] = ((each.rows,), values[:, :, own])
            coords[each.rows] = self.design.number[row[own]]
        return Labelled(variables, coords)

    def draws(self, posterior: Variables, population: Any = None) -> UncertainDraws:
        """Take what is known of the predictors out of labelled draws."""
        mean = posterior["mean_x"]
        none = np.zeros((len(mean), 0))
        row, predictor = self.design.unknown
        values = {
            u: (posterior[each.variable], self.design.number[row[predictor == u]])
            for u, each in enumerate(self.design.predictors)
            if each.variable in posterior
        }
        return UncertainDraws(
            mean=mean,
            sd=posterior["sd_x"],
            beta=posterior["beta_x"] if self.design.labels else none,
            slope=population.beta[:, 0, list(self.design.at)],
            values=values,
        )

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term."""
        own = self.design
        seen_of, seen_row = np.nonzero(own.is_seen.T)
        row, predictor = own.unknown
        data: dict[str, Any] = {
            "U": len(own.predictors),
            "column": np.array(own.at) + 1,
            "n_seen": len(seen_row),
            "seen_of": seen_of + 1,
            "seen": own.x[seen_row, seen_of],
            "seen_error": own.error[seen_row, seen_of],
            "n_unknown": len(row),
            "unknown_of": predictor + 1,
            "unknown_row": row + 1,
            "in_X": own.x[row, predictor],
            "precision": own.precision[row, predictor],
        }
        if own.labels:
            data |= {
                "K_x": len(own.labels),
                "seen_X": own.X[seen_row] * (own.of == seen_of[:, None]),
                "unknown_X": own.X[row] * (own.of == predictor[:, None]),
            }
        return data

    def stan_rows(self) -> Iterator[tuple[str, Side]]:
        """Yield nothing: no variable has a row for each level of a column."""
        yield from ()

    def prior_draws(
        self, prior: PriorDraws, population: object = None
    ) -> dict[str, Array]:
        """Draw Stan's variables from their priors, ``(draw, ...)``."""
        found = {
            name: prior.members(name)[:, 0] for name in ("mean_x", "sd_x", "beta_x")
        }
        mean, sd, beta = found.values()
        drawn = UncertainDraws(mean, sd, beta, np.zeros_like(mean), {})
        shift, spread = drawn.given_seen(self.design)
        row, predictor = self.design.unknown
        z = prior.rng.standard_normal((len(mean), len(row)))
        at = self.design.x + shift
        found["true_x"] = at[:, row, predictor] + spread[:, row, predictor] * z
        return found

    def initial_at(self, draws: UncertainDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare, from one draw."""
        found = {"mean_x": draws.mean[0], "sd_x": draws.sd[0], "beta_x": draws.beta[0]}
        if not self.design.is_integrated:
            shift, spread = (each[0] for each in draws.given_seen(self.design))
            row, predictor = self.design.unknown
            drawn = [each[0] for each, _ in draws.values.values()]
            values = np.concatenate([np.empty(0), *drawn])
            left = values - (self.design.x + shift)[row, predictor]
            found["z_x"] = left / spread[row, predictor]
        return known.plus(found)

    def initial_around(
        self, pilot: PilotEstimate, known: InitialValues, noise: Noise
    ) -> InitialValues:
        """Add initial values around what was observed."""
        return known.plus(self._around(noise))

    def _around(self, noise: Noise) -> dict[str, Array]:
        """Return initial values around what was observed, by Stan's names."""
        seen = [x[own] for x, own in zip(self.design.x.T, self._is_seen, strict=True)]
        mean = np.array([each.mean() for each in seen])
        sd = np.array([each.std() for each in seen])
        errors = sd / np.sqrt([len(each) for each in seen])
        found = {
            "mean_x": mean + errors * noise(mean.shape),
            "sd_x": sd * np.exp(_SPREAD * noise(sd.shape)),
        }
        if self.design.labels:
            of = self.design.of
            found["beta_x"] = _SPREAD * sd[of] * noise(of.shape)
        if not self.design.is_integrated:
            found["z_x"] = _SPREAD * noise(self.design.unknown[0].shape)
        return found

    @property
    def _is_seen(self) -> np.ndarray:
        return self.design.is_seen.T

    def metric(self, pilot: PilotEstimate, program: ProgramData) -> dict[str, Array]:
        """Return approximate variances of what programs declare of the term."""
        counts = self._is_seen.sum(axis=1)
        variances = np.array(
            [
                np.var(x[own])
                for x, own in zip(self.design.x.T, self._is_seen, strict=True)
            ]
        )
        of_X = np.maximum(np.square(self.design.X).sum(axis=0), 1e-300)
        return {
            "mean_x": variances / counts,
            "sd_x": 0.5 / counts,
            "beta_x": variances[self.design.of] / of_X,
            "z_x": np.ones(len(self.design.unknown[0])),
        }

    def starting_points(
        self, y: Array, *, chains: int, seed: int
    ) -> list[dict[str, Any]]:
        """Return initial values of each chain, by Stan's names.

        Parameters
        ----------
        y
            Nothing that is needed.
        chains, seed
            The number of chains, and the seed of the random numbers.
        """
        rngs = (np.random.default_rng([seed, chains, n]) for n in range(chains))
        return [self._around(Noise(rng, 1.0)) for rng in rngs]
