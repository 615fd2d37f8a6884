"""The equations of all models are those that a person has read, and are true."""

from __future__ import annotations

import difflib

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import data_of, equations, proper_models
from golden.representative import each_model
from golden.write import EQUATIONS
from simulated_fits import fit_of_prior
from stanpool.model.description.describe import describe
from stanpool.model.description.description import Statement
from stanpool.model.description.notation import (
    Bracketed,
    Call,
    Indexed,
    Label,
    Line,
    Lookup,
    Math,
    Number,
    Power,
    Sign,
    Sum,
    Symbol,
    Total,
    Words,
)
from stanpool.model.terms.names import GroupNames

MODELS = proper_models()


def test_equations_equal_their_golden_file() -> None:
    golden = EQUATIONS.read_text(encoding="utf-8").splitlines(keepends=True)
    written = equations().splitlines(keepends=True)
    difference = "".join(
        difflib.unified_diff(golden, written, "golden/equations.txt", "written now")
    )
    assert not difference, f"write.py says how to accept this:\n{difference}"


class Evaluator:
    """Evaluates linear predictors at draws, by the names that results have.

    It knows nothing of how the model computes them: a coefficient is looked up in the
    posterior by the letters of its symbol.
    """

    def __init__(self, fit: sp.Fit) -> None:
        self.model, self.posterior = fit.model, fit.posterior.isel(chain=0)
        self.design = fit.model.design
        letters = {x.letter: x.name for x in describe(fit.model).plates}
        self.factors = {
            letter: factor
            for factor in self.design.factors
            for letter, name in letters.items()
            if name == factor.factor
        }
        self.data = data_of(fit.model)
        self.category: str | None = None
        self.member = 0
        self.latent = 0

    def of(self, math: Math) -> np.ndarray:
        """Return the value of an expression, ``(draw, row)``."""
        match math:
            case Number(text=text):
                return np.array(float(text))
            case Sum(terms=terms):
                return sum((self.of(each) for each in terms), np.array(0.0))
            case Line(parts=parts):
                value = self.of(parts[0])
                for sign, part in zip(parts[1::2], parts[2::2], strict=True):
                    assert sign == Sign("*")
                    value = value * self.of(part)
                return value
            case Bracketed(inside=inside):
                return self.of(inside)
            case Power(base=base, exponent=exponent):
                return self.of(base) ** self.of(exponent)
            case Call(function=Words(text="log"), arguments=(inside,)):
                return np.log(self.of(inside))
            case Total(index=index, last=Number(text=last), body=body):
                name = {"m": "member", "r": "latent"}[index.name]
                total = np.array(0.0)
                for number in range(int(last)):
                    setattr(self, name, number)
                    total = total + self.of(body)
                return total
            case Indexed(base=Symbol(name="xi"), of=(Label(text=column),)):
                return self.values(column)
            case Indexed(base=Label(text="lost")):
                return self.values("lost")
            case Indexed(base=Label(text=column)):
                return self.data[column].to_numpy(dtype=float)
            case Indexed(base=Symbol(name="f"), of=(Label(text=smooth),)):
                return self.curve(smooth)
            case Indexed(base=Symbol(name="w")):
                return self.weights()[:, self.member]
            case Indexed(base=Words(text=text)) if text.startswith("w_"):
                return self.weights(text.removeprefix("w_"))[:, self.member]
            case Indexed(base=Symbol(name="s"), above=(Label(text=column),)):
                (side,) = (
                    x for x in self.design.special[0].sides if x.column == column
                )
                values = self.posterior[f"scores_{column}"].values
                return values[:, side.index, self.latent]
            case Indexed(base=Symbol(name="lambda"), at=(_,)):
                return self.posterior["factor_scale"].values[:, self.latent, None]
            case Indexed(base=Symbol(name="s" | "l" as name)):
                return self.product_part(math, name)
            case Indexed():
                return self.coefficient(math)
        raise TypeError(math)

    def values(self, column: str) -> np.ndarray:
        """Return what was observed, with draws of what is not known in its place."""
        (own,) = (x for x in self.model.spec.uncertain if x.column == column)
        drawn = self.posterior[own.variable].transpose("draw", own.rows)
        found = np.tile(self.data[column].to_numpy(float), (len(drawn), 1))
        found[:, drawn[own.rows].values] = drawn.values
        return found

    def curve(self, name: str) -> np.ndarray:
        (own,) = (each for each in self.design.smooths if each.name == name)
        if own.steps is not None:
            return self.monotonic(name)
        beta = self.posterior["beta_s"].sel(smooth_coefficient=list(own.labels))
        return beta.values @ self.data[list(own.labels)].to_numpy().T

    def monotonic(self, name: str) -> np.ndarray:
        steps = self.posterior["steps"]
        own = [str(each) for each in steps["step"].values if each.startswith(name)]
        shares = steps.sel(step=own).transpose("draw", "step").values
        rises = np.cumsum(shares, axis=1) / shares.sum(axis=1, keepdims=True)
        rises = np.column_stack([np.zeros(len(rises)), rises])  # (draw, level)
        level = self.data[name].to_numpy().astype(int)
        return len(own) * self.population(name)[:, None] * rises[:, level]

    def weights(self, factor: str | None = None) -> np.ndarray:
        (weights,) = (
            x.weights
            for x in self.design.factors
            if x.weights is not None and factor in (None, x.factor)
        )
        return weights

    def product_part(self, math: Indexed, name: str) -> np.ndarray:
        (term,) = self.design.special
        side = term.sides["sl".index(name)]
        stem = {"s": "scores", "l": "loadings"}[name]
        values = self.posterior[f"{stem}_{side.column}"].values
        return values[:, side.index, self.latent]

    def coefficient(self, math: Indexed) -> np.ndarray:
        lookups = [each for each in math.at if isinstance(each, Lookup)]
        label = "Intercept"
        if math.base == Symbol("beta"):
            (label,) = (each.text for each in math.of if isinstance(each, Label))
        else:
            assert math.base == Symbol("alpha")
        if not lookups:
            return self.population(label)[:, None]
        factor = self.factors[lookups[0].letter.name]
        names = GroupNames.of(factor.factor)
        own = label if self.category is None else f"{self.category}, {label}"
        b = self.posterior[names.b].sel({names.coefficient: own})
        b = b.transpose("draw", names.group).values
        index = factor.index
        if factor.weights is None:
            return b[:, index]
        # Of several groups, the equations have deviations; results have coefficients.
        earlier = self.design.factors[: self.design.factors.index(factor)]
        is_taken = any(label in each.varying for each in earlier)
        known = label in self.design.coefficients or self.design.intercept
        mean = 0.0 if is_taken or not known else self.population(label)[:, None]
        if label == "Intercept" and not self.design.intercept:
            mean = 0.0
        return (b - mean)[:, index[:, self.member]]

    def population(self, label: str) -> np.ndarray:
        if label == "Intercept":
            values = self.posterior["Intercept"]
            picked = {} if self.category is None else {"category": self.category}
        else:
            values = self.posterior["beta"]
            picked = {"coefficient": label}
            if self.category is not None:
                picked["category"] = self.category
        return values.sel(picked).values


def _linear_predictor(fit: sp.Fit) -> np.ndarray:
    """Evaluate the equation of the linear predictor, ``(draw, row[, category])``."""
    (stated,) = _predictors(fit.model)
    evaluator = Evaluator(fit)
    if not fit.model.spec.is_categorical:
        return evaluator.of(stated.right)
    found = []
    for category in fit.model.design.categories[1:]:
        evaluator.category = str(category)
        found.append(evaluator.of(stated.right))
    return np.stack(found, axis=-1)


def _predictors(model: sp.Model) -> list[Statement]:
    stated = [*describe(model).of_block("outcome")]
    return stated[1:2]


@pytest.mark.parametrize("name", each_model(MODELS))
def test_equations_of_linear_predictors_are_true(name: str) -> None:
    fit = fit_of_prior(MODELS[name], chains=1, draws=3)
    stated = _linear_predictor(fit)
    computed = fit.linpred().isel(chain=0).values
    np.testing.assert_allclose(
        np.broadcast_to(stated, computed.shape), computed, rtol=1e-9, atol=1e-9
    )
