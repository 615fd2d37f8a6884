"""The language of formulas: what it means, by NumPy and pandas; what it refuses."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stanpool import DataError, Model, SpecError, StanpoolError
from stanpool.base import arrays
from stanpool.data.matrix.evaluation import evaluated, evaluated_again
from stanpool.data.matrix.model_matrix import column_of, rebuild, term_matrix
from stanpool.inference.prediction.new_rows import new_design
from stanpool.language.brackets import signed_terms
from stanpool.language.expression import Name, Number, Span, parse, quote_name, written
from stanpool.language.formulas.formula import parse_formula
from stanpool.language.model_spec import ModelSpec
from stanpool.language.terms import read_arithmetic, read_term
from stanpool.language.vocabulary import CONTRASTS, FUNCTIONS

FUZZED = 3_000  # 100_000 with --slow


def frame(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    data = {
        "y": rng.normal(3, 1, rows),
        "x": rng.normal(5, 2, rows),
        "z": rng.uniform(1, 3, rows),
        "k": np.arange(rows) % 4.0,
        "flag": np.arange(rows) % 2.0,
        "kind": pd.Categorical(np.array(["a", "b", "c"])[np.arange(rows) % 3]),
        "year": pd.Categorical(2000 + np.arange(rows) % 5),
        "a b": rng.normal(size=rows),
        "class": rng.normal(size=rows),
    }
    return pd.DataFrame(data)


def value(text: str, data: pd.DataFrame) -> Any:
    return column_of(text, data, {}).values


class TestValues:
    """Expected values are pandas' and NumPy's own."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("y - x", lambda d: d.y - d.x),
            ("y - x - z", lambda d: d.y - d.x - d.z),
            ("y / x * z", lambda d: d.y / d.x * d.z),
            ("y - 2*x^2", lambda d: d.y - 2 * d.x**2),
            ("-x ** 2", lambda d: -(d.x**2)),
            ("(-x) ** 2", lambda d: d.x**2),
            ("2 ** -z", lambda d: 2.0**-d.z),
            ("z ^ 2 ^ k", lambda d: d.z ** (2**d.k)),
            ("z + + z", lambda d: 2 * d.z),
            ("x // z + x % z", lambda d: d.x // d.z + d.x % d.z),
            ("log(y**2) - log(1000)", lambda d: np.log(d.y**2) - np.log(1000)),
            ("np.log(z)/np.log10(10*z)", lambda d: np.log(d.z) / np.log10(10 * d.z)),
            ("log1p(z) + expm1(z) + exp10(z)", lambda d: sum_of_three(d.z)),
            ("1.5e1 * .5 * `a b` + class", lambda d: 7.5 * d["a b"] + d["class"]),
            ("x > 5", lambda d: (d.x > 5).astype(float)),
            ("2 < x <= 5", lambda d: ((d.x > 2) & (d.x <= 5)).astype(float)),
            ("x > 5 & z < 2 | flag", lambda d: (d.x > 5) & (d.z < 2) | (d.flag == 1)),
            ("not x > 5 and ~(z < 2)", lambda d: ~(d.x > 5) & ~(d.z < 2)),
            ("!(x > 5)", lambda d: ~(d.x > 5)),
            ("kind == 'a'", lambda d: d.kind == "a"),
            ('kind != "a" and kind != "b"', lambda d: d.kind == "c"),
            ("year - 2000", lambda d: d.year.astype(int) - 2000),
            ("where(kind == 'a', x, -z)", lambda d: np.where(d.kind == "a", d.x, -d.z)),
            ("isin(kind, ['a', 'b'])", lambda d: d.kind.isin(["a", "b"])),
            ("np.isin(k, [1, 3])", lambda d: d.k.isin([1, 3])),
            ("clip(x, 4, 6)", lambda d: d.x.clip(4, 6)),
            ("maximum(x, z) - minimum(x, z)", lambda d: (d.x - d.z).abs()),
            ("round(x, 1)", lambda d: d.x.round(1)),
            ("x - mean(x)", lambda d: d.x - d.x.mean()),
            ("x / np.mean(x)", lambda d: d.x / d.x.mean()),
            ("(x - min(x)) / (max(x) - min(x))", lambda d: unit(d.x)),
            ("x / std(x)", lambda d: d.x / d.x.std(ddof=0)),
            ("x / std(x, ddof=1) + var(z)", lambda d: d.x / d.x.std() + var(d.z)),
            ("x > median(x)", lambda d: d.x > d.x.median()),
            ("x - quantile(x, q=0.25)", lambda d: d.x - d.x.quantile(0.25)),
            ("sum(x) + ptp(x)", lambda d: 0 * d.x + d.x.sum() + np.ptp(d.x)),
            ("mean(x - mean(x)) + z", lambda d: d.z),
            ("center(x)", lambda d: d.x - d.x.mean()),
            ("scale(x)**2", lambda d: ((d.x - d.x.mean()) / d.x.std()) ** 2),
            ("standardize(x)", lambda d: (d.x - d.x.mean()) / d.x.std(ddof=0)),
            ("I(x) * I(z)", lambda d: d.x * d.z),
            ("2 * np.pi", lambda d: 0 * d.x + 2 * np.pi),
        ],
    )
    def test_are_those_of_pandas(
        self, text: str, expected: Callable[[pd.DataFrame], Any]
    ) -> None:
        data = frame()
        want = np.asarray(expected(data), dtype=float)
        np.testing.assert_allclose(value(text, data), want, rtol=1e-12, atol=1e-12)

    def test_every_function_of_numpy_is_numpys(self) -> None:
        data = frame().assign(u=np.linspace(0.1, 0.9, 40), v=np.linspace(0.2, 0.8, 40))
        for name, function in FUNCTIONS.items():
            if function.kind != "row" or function.settings or not hasattr(np, name):
                continue
            columns = ["u", "v", "u"][: function.columns]
            if name.startswith("logical") or name == "where":
                columns[: 1 if name == "where" else 3] = ["flag"] * (
                    1 if name == "where" else function.columns
                )
            with np.errstate(all="ignore"):
                want = getattr(np, name)(*(data[each].to_numpy() for each in columns))
            for prefix in ("", "np."):
                node = parse(f"{prefix}{name}({', '.join(columns)})")
                found, _ = evaluated(node, data, {})
                np.testing.assert_allclose(found, want.astype(float))

    @pytest.mark.parametrize(
        "text",
        [
            "x - mean(x)",
            "x / std(x)",
            "scale(x)**2",
            "log(z / max(z))",
            "x > median(x)",
            "center(log(z))",
        ],
    )
    def test_what_was_taken_at_the_fit_is_kept_for_new_rows(self, text: str) -> None:
        data = frame()
        column = column_of(text, data, {})
        some = data.iloc[[7, 3]].reset_index(drop=True)
        np.testing.assert_array_equal(column.of(some), column.values[[7, 3]])
        taken = column.of(some.assign(x=some.x + 100, z=some.z * 2))
        assert not np.allclose(taken, column.values[[7, 3]])

    @pytest.mark.parametrize(
        "term",
        [
            "x * I(x - np.mean(x))",
            "center(x):kind",
            "poly(x, 3)",
            "bs(x, df=5)",
            "cr(x, df=4, constraints='center')",
            "cc(x, df=4, constraints='center')",
            "C(k)",
            "C(k > 1)",
            "C(kind, Treatment('b'))",
            "C(kind, contr.treatment('b')) + C(k, Sum)",
            "C(kind, Helmert) + C(kind, Diff):x",
            "C(k, levels=[3, 2, 1, 0])",
            "kind/x",
            "(x + z + k)**2 - x:z",
        ],
    )
    def test_terms_of_new_rows_are_those_of_the_fit(self, term: str) -> None:
        data = frame()
        pieces = [part.text for part in split_at_plus(term)]
        matrix = term_matrix(True, pieces, data, {})
        some = data.iloc[[9, 8, 30]].reset_index(drop=True)
        np.testing.assert_allclose(
            rebuild(matrix, some), matrix.values[[9, 8, 30]], rtol=1e-9, atol=1e-12
        )

    def test_levels_that_were_not_seen_are_named(self) -> None:
        data = frame()
        matrix = term_matrix(True, ["C(k)"], data, {})
        with pytest.raises(DataError, match=r"C\(k\) has levels.*not seen: 9.*rows 1,"):
            rebuild(matrix, data.iloc[:2].assign(k=[1.0, 9.0]))
        with pytest.raises(DataError, match=r"not listed: .*3"):
            term_matrix(True, ["C(k, levels=[0, 1, 2])"], data, {})

    def test_contrasts_are_those_of_the_textbook(self) -> None:
        data = frame()
        summed = term_matrix(True, ["C(kind, Sum)"], data, {})
        codes = {"a": [1, 0], "b": [0, 1], "c": [-1, -1]}
        want = np.array([codes[each] for each in data.kind])
        np.testing.assert_allclose(summed.values[:, 1:], want)
        reference = term_matrix(True, ["C(kind, Treatment('c'))"], data, {})
        assert reference.labels[1:] == (
            "C(kind, Treatment('c'))[T.a]",
            "C(kind, Treatment('c'))[T.b]",
        )


def sum_of_three(z: pd.Series[float]) -> Any:
    return np.log1p(z) + np.expm1(z) + 10**z


def unit(x: pd.Series[float]) -> Any:
    return (x - x.min()) / (x.max() - x.min())


def var(z: pd.Series[float]) -> float:
    return float(np.var(z))


def split_at_plus(text: str) -> Iterator[Any]:

    for sign, span in signed_terms(Span.of(text)):
        yield span if sign == "+" else Span.of(f"-{span.text}")


class TestModels:
    def test_the_outcome_is_an_expression(self) -> None:
        data = frame().assign(g=np.arange(40) % 5)
        model = Model("y - x ~ z + (1 | g)", data)
        np.testing.assert_array_equal(model.design.y, data.y - data.x)
        assert repr(model).startswith("Model('y - x ~ 1 + z + (1 | g)'")
        again = new_design(model, data.iloc[:3], factors=[0], parts=("outcome",))
        np.testing.assert_array_equal(again.y, (data.y - data.x)[:3])

    def test_offsets_and_parts_are_expressions(self) -> None:
        data = frame().assign(g=np.arange(40) % 5, n=10.0 + np.arange(40), m=2.0)
        count = data.assign(c=np.arange(40) % 7)
        model = Model(
            "c | trials(n + 2*m) + weights(z / mean(z)) ~ x + offset(z - 1) + (1 | g)",
            count,
            family="binomial",
        )
        design = model.design
        np.testing.assert_array_equal(design.trials, data.n + 4)
        np.testing.assert_allclose(design.weights, data.z / data.z.mean())
        np.testing.assert_allclose(design.offset, data.z - 1)
        new = count.iloc[[4, 2]]
        again = new_design(model, new, factors=[0], parts=("trials", "weights"))
        np.testing.assert_array_equal(again.trials, design.trials[[4, 2]])
        np.testing.assert_array_equal(again.weights, design.weights[[4, 2]])
        np.testing.assert_array_equal(again.offset, design.offset[[4, 2]])

    def test_errors_exposure_bounds_and_censoring_are_expressions(self) -> None:
        data = frame().assign(g=np.arange(40) % 5, v=4.0, n=500.0 + np.arange(40))
        design = Model("y | se(sqrt(v) / 2) ~ x + (1 | g)", data).design
        np.testing.assert_array_equal(design.se, np.ones(40))
        counted = data.assign(c=np.arange(40) % 7)
        counts = Model(
            "c | exposure(n / 1000) ~ x", counted, family="poisson", pooling="complete"
        )
        np.testing.assert_allclose(counts.design.offset, np.log(data.n / 1000))
        design = Model("y | trunc(min(y) - 1, y + v) ~ x + (1 | g)", data).design
        np.testing.assert_allclose(design.lower, np.full(40, data.y.min() - 1))
        np.testing.assert_allclose(design.upper, data.y + 4)
        design = Model("y | cens(1 - flag) ~ x + (1 | g)", data).design
        np.testing.assert_array_equal(design.censored, 1 - data.flag)

    def test_parts_must_be_numbers_that_are_allowed(self) -> None:
        data = frame().assign(g=np.arange(40) % 5)
        with pytest.raises(DataError, match=r"'sqrt\(0 - x\)' must be finite"):
            Model("y | se(sqrt(0 - x)) ~ 1 + (1 | g)", data)
        with pytest.raises(DataError, match=r"se 'x - mean\(x\)' must be positive"):
            Model("y | se(x - mean(x)) ~ 1 + (1 | g)", data)
        with pytest.raises(DataError, match="se column 'kind' is not numeric"):
            Model("y | se(kind) ~ 1 + (1 | g)", data)

    def test_fewer_rows_keep_the_means_of_all(self) -> None:
        data = frame().assign(g=np.arange(40) % 5)
        model = Model("y - mean(y) ~ scale(x) + I(z / max(z)) + (1 | g)", data)
        kept, left = np.arange(30), np.arange(30, 40)
        fold = model.take(kept)
        np.testing.assert_array_equal(fold.design.X, model.design.X[kept])
        held_out = new_design(fold, data.iloc[left], factors=[0], parts=("outcome",))
        np.testing.assert_allclose(held_out.X, model.design.X[left])
        np.testing.assert_allclose(held_out.y, model.design.y[left])

    def test_other_outcomes_are_a_column_of_the_expressions_name(self) -> None:
        data = frame().assign(g=np.arange(40) % 5)
        model = Model("log(y**2) | weights(z / mean(z)) ~ x + (1 | g)", data)
        other = model.with_outcome(np.arange(40.0))
        np.testing.assert_array_equal(other.design.y, np.arange(40.0))
        np.testing.assert_array_equal(other.design.weights, model.design.weights)
        rows = other.data.iloc[:3]
        again = new_design(other, rows, factors=[0], parts=("outcome", "weights"))
        np.testing.assert_array_equal(again.y, np.arange(3.0))
        np.testing.assert_array_equal(again.weights, model.design.weights[:3])

    def test_chunks_refuse_what_depends_on_all_rows(self) -> None:
        data = frame().assign(g=np.arange(40) % 5)
        for formula in (
            "y - mean(y) ~ x + (1 | g)",
            "y | weights(z / mean(z)) ~ x + (1 | g)",
            "y ~ x + offset(x - max(x)) + (1 | g)",
        ):
            options = {"pooling": "complete"} if "offset" in formula else {}
            with pytest.raises(SpecError, match="depends in each row on all others"):
                Model(formula, iter([data[:20], data[20:]]), **options)
        rows = Model("y - z ~ log(z) + (1 | g)", iter([data[:20], data[20:]]))
        whole = Model("y - z ~ log(z) + (1 | g)", data)
        assert rows.design.coefficients == whole.design.coefficients
        assert rows.rows is not None

    def test_names_are_those_of_the_data_in_any_script(self) -> None:
        # Python would make one of these two; they are two columns.
        squares, numbers = np.arange(40.0) ** 2, np.arange(40.0)
        data = frame().assign(**{"ﬁ": squares, "fi": numbers})
        design = Model("y ~ ﬁ + fi", data, pooling="complete").design
        np.testing.assert_array_equal(design.X, np.column_stack([squares, numbers]))


class TestOwnFunctions:
    def test_are_passed_by_name(self) -> None:
        data = frame().assign(g=np.arange(40) % 5)

        def saturated(x: np.ndarray, half: float = 1.0) -> np.ndarray:
            x += 0.0  # its own copy
            return x / (half + x)

        model = Model("f(y) ~ f(z, half=2) + (1 | g)", data, functions={"f": saturated})
        np.testing.assert_allclose(model.design.X[:, 0], data.z / (2 + data.z))
        np.testing.assert_allclose(model.design.y, data.y / (1 + data.y))
        again = new_design(model.with_(pooling="complete"), data.iloc[:2], factors=[])
        np.testing.assert_allclose(again.X[:, 0], (data.z / (2 + data.z))[:2])
        others = {"f": lambda x, half=1.0: x / (half + x)}
        same = Model("f(y) ~ f(z, half=2) + (1 | g)", data, functions=others)
        assert model.spec == same.spec

    @pytest.mark.parametrize(
        ("functions", "said"),
        [
            ({}, r"no function 'f'.*functions=\{'f': f\}"),
            ({"f": lambda x: x - x.mean()}, "depends on other rows"),
            ({"f": lambda x: x[:3]}, r"not a number for each of 40 rows"),
            ({"f": lambda x: x + "a"}, r"evaluating 'f\(x\)' failed"),
            ({"f": lambda x: np.full(len(x), np.nan)}, "must be finite"),
            ({"f": 3}, r"functions\['f'\] must be a function"),
            ({"log": np.log}, "have already"),
            ({"a b": np.log}, "must be a plain identifier"),
            ([np.log], "must be a mapping"),
        ],
    )
    def test_that_do_not_serve_are_refused(self, functions: Any, said: str) -> None:
        with pytest.raises(StanpoolError, match=said):
            Model("y ~ f(x)", frame(), pooling="complete", functions=functions)


class TestRefusals:
    @pytest.mark.parametrize(
        ("term", "said"),
        [
            ("te(x, z)", "a smooth surface is t2(x, z)"),
            ("lo(x)", "a smooth curve is s(x)"),
            ("gp(x, z, k)", "one predictor or two"),
            ("gp(x, cov='matern')", "none of 'exp_quad', 'matern32', 'matern52'"),
            ("gp(x, c=1)", "a number above 1"),
            ("ns(x, 3)", "cr(x, df=3, constraints='center')"),
            ("factor(k)", "write C(k)"),
            ("as.factor(k)", "write C(k)"),
            ("monotonic(k)", "a monotonic effect is mo(k)"),
            ("lag(x)", "each row by itself"),
            ("ifelse(x > 5, 1, 0)", "np.where(x > 5 > 0, a, b)"),
            ("np.where(x > 5, c(1, 2), 0)", "[1, 2]"),
            ("I(k %in% c(1, 2))", "np.isin"),
            ("x %>% log", "no pipes"),
            ("x.mean()", "write center(x), or mean(x)"),
            ("I(x - x.mean())", "write center(x), or mean(x)"),
            ("I(x / x.std())", "write scale(x), or std(x, ddof=1)"),
            ("x.rank()", "a column that has data['x'].rank()"),
            ("x.log()", "write log(x)"),
            ("x.values", "'x' cannot be followed by a point"),
            ("x[0]", "columns cannot be indexed"),
            ("x^2", "write I(x ** 2)"),
            ("x**2", "write I(x ** 2)"),
            ("2*x", "write I(2 * x)"),
            ("x / 1000", "write I(x / 1000)"),
            ("x > 5", "write I(x > 5)"),
            ("I(x = 5)", "'==' compares"),
            ("sd(x)", "std(x, ddof=1)"),
            ("cr(x, df=4)", "constraints='center'"),
            ("cbind(x, z)", "trials(n)"),
            ("lgo(x)", "mean 'log'"),
            ("log(x, 2)", "takes 1 argument"),
            ("bs(x, degre=3)", "mean 'degree'"),
            ("I(kind + 1)", "compare it by ==, or write C()"),
            ("I(kind < 'b')", "by == and !="),
            ("I(x & z)", "must be a condition"),
            ("I('a')", "must be a number"),
            ("I(nothing)", "no column 'nothing'"),
            ("C(log(4 - x))", "'log(4 - x)' must be finite"),
            ("C(k, levels=[0, 1, 2, 3, 3])", "levels=[0, 1, 2, 3, 3])' failed"),
            ("C(k, levels=[[1]])", "or a list of these is expected"),
            ("I(x - quantile(x, q=[0.1, 0.2]))", "'quantile(x, q=[0.1, 0.2])' failed"),
            ("I(x - quantile(x, q=2))", "'quantile(x, q=2)' failed"),
            ("I(C(kind))", "arithmetic takes single columns"),
            ("log(bs(x, df=4))", "arithmetic takes single columns"),
            ("Intercept", "center_predictors=False"),
            ("bs(x, df=1000000)", "between 0 and 100"),
            ("C(kind, x)", "not a coding of levels"),
            ("I(a:b)", "not for arithmetic"),
            ("data$x", "the column's name alone"),
            ("I(x && z)", "write '&'"),
            ("a*b*c*d*e*f*g*h*i*j*k", "more than 10 factors"),
            ("(a + b + c + d)**9", "10,000 terms"),
        ],
    )
    def test_say_what_to_write(self, term: str, said: str) -> None:
        with pytest.raises(StanpoolError) as refused:
            Model(f"y ~ {term}", frame(), pooling="complete")
        message = str(refused.value)
        assert said in message.replace(f"y ~ {term}", ""), message

    @pytest.mark.parametrize(
        "outcome", ["Surv(y, k)", "cbind(y, k)", "y.mean()", "C(k)"]
    )
    def test_outcomes_hear_the_same(self, outcome: str) -> None:
        with pytest.raises(SpecError):
            Model(f"{outcome} ~ x", frame(), pooling="complete")


ATTACKS = [
    "__import__('os').system('touch MARK')",
    "().__class__.__bases__[0].__subclasses__()",
    "x.__class__",
    "x.__class__.__mro__",
    "''.__class__",
    "'{0.__class__}'.format(x)",
    "f'{x}'",
    "f\"{__import__('os')}\"",
    "'%s' % x",
    "np.save('MARK', x)",
    "np.load('MARK', allow_pickle=True)",
    "np.lib.format",
    "np.__dict__",
    "np.__builtins__",
    "np.core.multiarray",
    "np.ctypeslib.ctypes",
    "np.vectorize(x)",
    "np.frompyfunc(x, 1, 1)",
    "np.fromfile('MARK')",
    "np.genfromtxt('MARK')",
    "np.memmap('MARK')",
    "np.random.normal(x)",
    "np.os.system('touch MARK')",
    "log.__self__",
    "np.log.__call__(x)",
    "pd.eval('x')",
    "pd.read_pickle('MARK')",
    "pd.io.common.os",
    "eval('x')",
    "exec('x')",
    "compile('x', '', 'eval')",
    "open('MARK', 'w')",
    "getattr(x, 'y')",
    "globals()",
    "vars()",
    "print(x)",
    "input()",
    "breakpoint()",
    "Q('x')",
    "contr.treatment.__init__",
    "C(x, contr.custom(x))",
    "C(x, contr.__class__)",
    "C(kind, Treatment(__import__('os')))",
    "C(kind, levels=[__import__('os')])",
    "bs(x, df=open('MARK'))",
    "hashed(x, levels=10, hash_func=eval)",
    "scale(x, _state=1)",
    "scale(x, _context=1)",
    "bs(x, df=4, _spec=1)",
    "[i for i in x]",
    "{i: i for i in x}",
    "{x}",
    "{__import__('os')}",
    "(i for i in x)",
    "(lambda: x)()",
    "lambda x: x",
    "(w := x)",
    "w := x",
    "x if y else z",
    "*x",
    "**x",
    "log(*x)",
    "log(**x)",
    "@x",
    "x; import os",
    "x\nimport os",
    "import os",
    "yield x",
    "await x",
    "...",
    "x[0]",
    "x[:, None]",
    "`x`.__class__",
    "`x` + __import__('os')",
    "`x` __import__('os')",
    "``",
    "`x",
    "`a``b`.__class__",
    "_factor_0_",
    "_factor_0_.__class__",
    "__FORMULAIC_CONTEXT__",
    "__FORMULAIC_STATE__",
    "__builtins__",
    "ｅval('x')",  # full-width letters, which Python reads as eval
    "𝔢𝔵𝔢𝔠('x')",
    "x.＿＿class＿＿",
    "np．save('MARK')",
    "ｎｐ.save('MARK', x)",
    "9**9**9**9",
    "9**9**9**9**x",
    "2**1000000000000",
    "1" + "0" * 5000,
    "x" * 30_000,
    "round(x, 99999999999999999999)",
    "'a' * 9999999999",
    "[0] * 9999999999",
    "bs(x, df=99999999)",
    "bs(x, knots=[" + "1, " * 900 + "1])",
    "poly(x, 99999999)",
    "cr(x, df=1e300)",
    "(x + z)**99999999",
    "x" + "*x" * 500,
    "(" * 300 + "x" + ")" * 300,
    "log(" * 300 + "x" + ")" * 300,
    "-" * 900 + "x",
    "not " * 400 + "x",
    "2**" * 400 + "x",
    "[" * 400 + "]" * 400,
    "\x00",
    "x\x00",
    "\ud800",
    "x # y",
    "x \\\n + y",
    "'\\",
    "'''x'''",
    "b'x'",
    "0x10",
    "1_000",
    "1j",
    "1e999",
    "x..y",
    "x.",
    ".x",
]


@contextmanager
def nothing_happens() -> Iterator[None]:
    """Fail if files are opened, code is compiled or run, or modules are imported."""
    _watch()
    _SEEN.clear()
    _IS_WATCHED.append(True)
    try:
        yield
    finally:
        _IS_WATCHED.clear()
    assert not _SEEN, _SEEN[:3]


_SEEN: list[Any] = []
_IS_WATCHED: list[bool] = []
_WATCHES: list[bool] = []
_EVENTS = ("exec", "compile", "open", "import", "os.", "subprocess.", "socket.")
_EVENTS += ("ctypes.", "pickle.", "shutil.", "code.__new__")


def _watch() -> None:
    """Listen to what Python itself says that it does; once, as it cannot be undone."""
    if _WATCHES:
        return

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        # formulaic reads the 0 or 1 of the intercept, and powers of terms, as literals.
        source = arguments[0] if event == "compile" else None
        is_number = isinstance(source, bytes) and source.isdigit()
        if _IS_WATCHED and event.startswith(_EVENTS) and not is_number:
            _SEEN.append((event, arguments[:2]))

    # All modules that are imported, annotations that are read, and limits of memory
    # that are asked for on first use are so before.
    arrays.memory()
    Model.from_spec(ModelSpec("k", pooling="complete"), frame())
    Model("y ~ bs(x, df=4) + C(kind, Sum) + poly(z, 2) + (1 | year)", frame())
    Model("y ~ cr(z, df=3, constraints='center')", frame(), pooling="complete")
    sys.addaudithook(heard)
    _WATCHES.append(True)


def places(text: str) -> list[str]:
    """Put a text wherever a formula takes one."""
    return [
        f"y ~ {text}",
        f"y ~ I({text})",
        f"y ~ x + ({text} | year)",
        f"y ~ x:{text} + (1 | year)",
        f"y ~ (1 | {text})",
        f"{text} ~ x",
        f"y ~ x + offset({text})",
        f"y | weights({text}) ~ x",
        f"y | cens({text}) ~ x",
        f"y | trunc({text}, None) ~ x",
        f"y | se(x, sigma={text}) ~ x",
    ]


def try_all(formulas: list[str], data: pd.DataFrame) -> int:
    """Build models; return how many there were. Only our own errors may come out."""
    built = 0
    for formula in formulas:
        pooling = "partial" if "|" in formula.partition("~")[2] else "complete"
        try:
            Model(formula, data, pooling=pooling)
            built += 1
        except StanpoolError:
            pass
    return built


class TestAttacks:
    @pytest.mark.parametrize("text", ATTACKS, ids=lambda text: ascii(text)[:40])
    def test_nothing_is_run_and_all_is_refused(self, text: str) -> None:
        start = time.perf_counter()
        with nothing_happens():
            built = try_all(places(text), frame())
        assert not built
        assert time.perf_counter() - start < 60

    @pytest.mark.parametrize(
        "field",
        ["outcome", "terms", "offsets", "trials", "se", "weights", "exposure", "cens"],
    )
    def test_specifications_hear_what_formulas_hear(self, field: str) -> None:
        text = "x + __import__('os').system('touch MARK')"
        value = (text,) if field in ("terms", "offsets") else text
        family = {"trials": "binomial", "exposure": "poisson"}.get(field, "gaussian")
        given = {"outcome": "k", "family": family, "pooling": "complete"}
        given |= {"trials": "k"} if family == "binomial" else {}
        spec = ModelSpec(**given | {field: value})
        with nothing_happens(), pytest.raises(SpecError, match="point"):
            Model.from_spec(spec, frame())

    def test_formulaic_is_handed_nothing_but_aliases(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from formulaic.utils import stateful_transforms

        def evaluated_python(*_: Any, **__: Any) -> Any:
            raise AssertionError("formulaic evaluates a text")

        monkeypatch.setattr(stateful_transforms, "stateful_eval", evaluated_python)
        monkeypatch.setattr(
            "formulaic.materializers.base.stateful_eval", evaluated_python
        )
        Model(
            "log(z) ~ I(x**2)*kind + scale(x) + bs(z, df=4) + C(k, Sum)",
            frame(),
            pooling="complete",
        )


WORDS = (
    "levels=[1,2] q= knots=[4] "
    "x y z k kind flag year 1 0 2 0.5 1e3 'a' \"b\" True None [1,2] `a b` np np.log "
    "log I( C( bs( center( mean( where( exp( ) ) ) ( + - * / : ** ^ // % == < > >= & | "
    "and or not ~ , = . df=4 ddof=1 [ ] { } lambda if else for := __class__ x.mean() "
    "Treatment('a') contr.sum Sum %in% ; @ $ ! offset( trials( (1|year) (x|year) "
    "poly( scale( cr( constraints='center' isin( f( eval( __import__( \\ ' \" ` \n 9**9"
).split(" ")
BYTES = "".join(map(chr, range(128))) + "éﬁßｅ𝔢＿．\u2028\ud800\U0010ffff"


def fuzzed(rng: random.Random) -> str:
    """Make a text: words of the grammar, a text that is right, or any characters."""
    kind = rng.random()
    if kind < 0.5:
        words = rng.choices(WORDS, k=rng.randint(1, 10))
        return rng.choice(("", " ")).join(words)
    if kind < 0.8:
        text = list(_right(rng, 3))
        for _ in range(rng.choice((0, 0, 0, 1, 2))):
            text[rng.randrange(len(text))] = rng.choice(WORDS + list(BYTES))
        return "".join(text)
    return "".join(rng.choices(BYTES, k=rng.randint(0, 25)))


def _right(rng: random.Random, depth: int) -> str:
    """Make an expression by the rules of the grammar."""
    choice = rng.random() if depth else 0.0
    if choice < 0.3:
        return rng.choice(("x", "z", "k", "kind", "flag", "2", "0.5", "'a'", "`a b`"))
    inside = [_right(rng, depth - 1) for _ in range(3)]
    if choice < 0.6:
        return (
            f"{inside[0]} {rng.choice('+ - * / : ** % > == & |'.split())} {inside[1]}"
        )
    name = rng.choice(list(FUNCTIONS))
    if choice < 0.9:
        return f"{name}({', '.join(inside[: FUNCTIONS[name].columns])})"
    return rng.choice((f"-{inside[0]}", f"not {inside[0]}", f"({inside[0]})"))


def test_powers_of_terms_are_no_code() -> None:
    with nothing_happens():
        found = term_matrix(True, ["(k + kind)**2"], frame(), {})
    assert found.labels[-1] == "k:kind[T.c]"


@pytest.mark.parametrize(
    "count", [FUZZED, pytest.param(100_000, marks=pytest.mark.slow)]
)
def test_fuzzed_texts_are_read_or_refused(count: int) -> None:
    """Whatever is typed, only our own errors come out, and nothing happens."""
    rng, data = random.Random(count), frame()
    read = built = 0
    with nothing_happens():
        for number in range(count):
            text = fuzzed(rng)
            try:
                parse_formula(text if number % 9 == 0 else f"y ~ {text}")
            except StanpoolError:
                pass
            for check in (read_arithmetic, read_term):
                try:
                    node = check(text)
                except StanpoolError:
                    continue
                read += 1
                assert written(parse(written(node))) == written(node)
                try:
                    if check is read_arithmetic:
                        column_of(text, data, {})
                    else:
                        term_matrix(True, [text], data, {})
                except StanpoolError:
                    continue
                built += 1
    print(f"{count} texts, {read} read, {built} evaluated")
    assert built > count / 100


class TestWriting:
    @given(st.text(min_size=1))
    def test_any_name_reads_back(self, name: str) -> None:
        quoted = quote_name(name)
        node = parse(f"log({quoted})")
        assert written(node) == f"log({quoted})"
        found = parse(quoted)
        assert isinstance(found, Name)
        assert found.name == name

    @given(st.floats(allow_nan=False, allow_infinity=False, min_value=0))
    def test_any_number_reads_back(self, number: float) -> None:
        found = parse(repr(number))
        assert isinstance(found, Number)
        assert found.value == number

    @given(st.text())
    def test_any_text_in_quotes_reads_back(self, text: str) -> None:
        node = parse(f"C(x, Treatment({written_text(text)}))")
        assert parse(written(node)) == node

    @pytest.mark.parametrize(
        ("typed", "shown"),
        [
            ("x**2", "x ** 2"),
            ("x^2", "x ** 2"),
            ("(x+z)*2", "(x + z) * 2"),
            ("x+(z*2)", "x + z * 2"),
            ("x-(z-2)", "x - (z - 2)"),
            ("(x**2)**z", "(x ** 2) ** z"),
            ("(-x)**2", "(-x) ** 2"),
            ("-(x**2)", "-x ** 2"),
            ("a:b*c", "a:b * c"),
            ("not(x>2)", "not x > 2"),
            ("(not x)==z", "(not x) == z"),
            ("f( x ,k = 2)", "f(x, k=2)"),
        ],
    )
    def test_labels_have_blanks_where_they_belong(self, typed: str, shown: str) -> None:
        assert written(parse(typed)) == shown


def written_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def test_codings_are_those_of_formulaic() -> None:
    data = frame()
    for name in CONTRASTS:
        matrix = term_matrix(True, [f"C(kind, {name})"], data, {})
        assert matrix.values.shape == (40, 3)


def test_a_recipe_evaluates_what_it_evaluated() -> None:
    data = frame()
    values, recipe = evaluated(parse("x - mean(x)"), data, {})
    np.testing.assert_array_equal(evaluated_again(recipe, data[:5]), values[:5])
    assert dict(recipe.taken) == {"mean(x)": pytest.approx(data.x.mean())}
