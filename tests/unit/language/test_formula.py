"""Formula text to its parts, and carets under what cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stanpool import SpecError
from stanpool.language.formulas.formula import parse_formula, quote_name, unquote_name
from stanpool.language.model_spec import GroupTerm


class TestParts:
    def test_population_terms_are_kept_as_text(self) -> None:
        read = parse_formula("log(y) ~ x1*x2 + C(z, contr.sum) - x1 + I(x1**2 - 1)")
        assert read.outcome == "log(y)"
        assert read.terms == ("x1*x2", "C(z, contr.sum)", "-x1", "I(x1**2 - 1)")

    @pytest.mark.parametrize(
        ("right", "intercept"),
        [("x", True), ("1 + x", True), ("0 + x", False), ("x - 1", False), ("1", True)],
    )
    def test_intercept_is_there_unless_taken_away(
        self, right: str, intercept: bool
    ) -> None:
        assert parse_formula(f"y ~ {right}").intercept is intercept

    @pytest.mark.parametrize(
        ("term", "group"),
        [
            ("(1 | g)", GroupTerm("g")),
            ("(x | g)", GroupTerm("g", terms=("x",))),
            ("(1 + x || g)", GroupTerm("g", terms=("x",), correlated=False)),
            ("(0 + x | g)", GroupTerm("g", intercept=False, terms=("x",))),
            ("(x - 1 | g)", GroupTerm("g", intercept=False, terms=("x",))),
            ("( 1+log(x)|`my group` )", GroupTerm("my group", terms=("log(x)",))),
            ("(1|g)", GroupTerm("g")),
        ],
    )
    def test_group_terms(self, term: str, group: GroupTerm) -> None:
        assert parse_formula(f"y ~ x + {term}").groups == (group,)

    def test_two_terms_of_one_factor_are_uncorrelated(self) -> None:
        read = parse_formula("y ~ x + (1 | g) + (0 + x | g)")
        assert read == parse_formula("y ~ x + (1 + x || g)")

    def test_parts_of_the_outcome(self) -> None:
        assert parse_formula("k | trials(n) ~ x").trials == "n"
        assert parse_formula("y | se(`std err`) ~ 1").se == "`std err`"
        assert parse_formula("y | se(sqrt( v )/2) ~ 1").se == "sqrt( v )/2"

    def test_a_bar_inside_a_call_or_quotes_is_no_group_term(self) -> None:
        read = parse_formula("y ~ f('a | b') + `a|b` + I(x | z)", ["f"])
        assert (read.groups, len(read.terms)) == ((), 3)


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "said", "under"),
        [
            ("y x", "one '~'", "y x"),
            ("y ~ x ~ z", "one '~'", "y ~ x ~ z"),
            ("~ x", "outcome is missing", "~"),
            ("y ~", "term is missing", ""),
            ("y ~ x + + z", "term is missing", "+"),
            ("y ~ x +", "term is missing", "+"),
            ("y ~ (1 + x | g", "'(' is never closed", "("),
            ("y ~ x) + z", "no bracket that this ')' closes", ")"),
            ("y ~ f(x]", "no bracket that this ']' closes", "]"),
            ("y ~ `x", "never closed", "`"),
            ("y ~ x + 1 | g", "parentheses of its own", "1 | g"),
            ("y ~ x + (1 | g | h | k)", "one '|'", "1 | g | h | k"),
            ("y ~ x + (| g)", "no varying coefficients", "(| g)"),
            ("y ~ x + (0 | g)", "nothing varies", "0"),
            ("y ~ x + (1 |)", "grouping factor", "(1 |)"),
            ("y ~ x - (1 | g)", "cannot be subtracted", "(1 | g)"),
            ("y ~ x*(1 | g)", "can only be added", "x*(1 | g)"),
            ("y ~ (1 | g) + (x | g)", "varies twice", "(x | g)"),
            ("y ~ x + .", "name the predictors", "."),
            ("y | trial(n) ~ x", "mean 'trials'?", "trial(n)"),
            ("y | trials(n + ) ~ x", "not ')'", ")"),
            ("y ~ x **", "something is missing after", "**"),
            ("y | trials(C(n)) ~ x", "arithmetic takes single columns", "C(n)"),
            ("y | trials() ~ x", "write trials(column)", "trials()"),
            ("y | trials(n, m) ~ x", "does not take 'm'", "trials(n, m)"),
            ("y | se(s, True) ~ x", "write se(column), se(", "se(s, True)"),
            ("y | se(s, sigma=yes) ~ x", "sigma is True or False", "yes"),
            ("y | cens(c, lower=l) ~ x", "does not take 'lower=l'", "cens(c, lower=l)"),
            ("y | trunc(x.min()) ~ x", "write min(x)", "x.min()"),
            ("y ~ x - offset(z)", "write 'offset(-z)'", "offset(z)"),
            ("y | trials(n) + trials(m) ~ x", "given twice", "trials(m)"),
            ("y | offset(z) ~ x", "write 'y ~ x + offset(z)'", "offset(z)"),
        ],
    )
    def test_carets_stand_under_what_is_wrong(
        self, text: str, said: str, under: str
    ) -> None:
        with pytest.raises(SpecError) as refused:
            parse_formula(text)
        message, shown, carets = str(refused.value).splitlines()
        assert said in message
        assert shown.strip() == text
        start = carets.index("^")
        assert shown[start : start + carets.count("^")].strip() == under

    def test_no_text_is_refused(self) -> None:
        with pytest.raises(SpecError, match=r"string such as 'y ~ x', got 3"):
            parse_formula(3)  # type: ignore[arg-type]

    def test_a_long_formula_is_shown_around_the_error(self) -> None:
        text = "y ~ " + " + ".join(f"x{i}" for i in range(2000)) + " + z)"
        with pytest.raises(SpecError) as refused:
            parse_formula(text)
        _, shown, carets = str(refused.value).splitlines()
        assert shown[carets.index("^")] == ")"
        assert len(shown) < 200

    @given(st.text(alphabet="yxg01~|()`+-*:'\" \n", max_size=25))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            parse_formula(text)
        except SpecError:
            pass


class TestNames:
    @given(st.text(min_size=1))
    def test_any_name_reads_back_from_a_formula(self, name: str) -> None:
        quoted = quote_name(name)
        assert unquote_name(quoted) == name
        read = parse_formula(f"{quoted} ~ {quoted} + (1 + {quoted} | {quoted})")
        assert read.outcome == quoted
        assert read.terms == (quoted,)
        assert read.groups == (GroupTerm(name, terms=(quoted,)),)

    @pytest.mark.parametrize("name", ["", None, 3, ("a", "b")])
    def test_a_name_that_is_no_text_is_refused(self, name: object) -> None:
        with pytest.raises(SpecError, match=r"must be a string.*rename"):
            quote_name(name)  # type: ignore[arg-type]


def test_words_that_python_reserves_are_names_of_columns() -> None:
    spec = parse_formula("if ~ class + (1 + in | school/class)")
    assert (spec.outcome, spec.terms) == ("if", ("class",))
    assert [group.key for group in spec.groups] == [("school",), ("school", "class")]
    assert quote_name("class") == "class"
