"""The arguments and options that name a table and state a model of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from stanpool.base.errors import SpecError, quote
from stanpool.base.options import Link, Parameterization, Pooling
from stanpool.cli.options import DATA, all_of
from stanpool.language.family import DEFAULT_FAMILY, FAMILIES

if TYPE_CHECKING:
    from stanpool.api.facade import Model
    from stanpool.data.tables.named import Source

_READING = all_of(
    (
        click.option(
            "--sep",
            help="Character between columns.  [default: found in the first line]",
        ),
        click.option("--decimal", default=".", help="Decimal mark.  [default: .]"),
        click.option("--thousands", help="Thousands separator.  [default: none]"),
        click.option(
            "--encoding", default="utf-8", show_default=True, help="Encoding of CSV."
        ),
        click.option(
            "--na",
            metavar="WORDS",
            help="Words that mark a missing value in CSV, separated by commas; '' for "
            "none. An empty field is missing in any case.  "
            "[default: NA, NaN, None, null, n/a and the like]",
        ),
        click.option(
            "--dropna", is_flag=True, help="Leave out rows with missing values."
        ),
    )
)

_STATING = all_of(
    (
        click.option(
            "--formula",
            required=True,
            multiple=True,
            help="The model, as in 'y ~ x + (1 + x | g)'. Further formulas are of "
            "the family's parameters, as in 'sigma ~ z + (1 | g)'.",
        ),
        click.option(
            "--family",
            type=click.Choice(list(FAMILIES)),
            default=DEFAULT_FAMILY,
            show_default=True,
            help="Distribution of the outcome.",
        ),
        click.option("--link", help="A link other than the default, such as probit."),
        click.option(
            "--parameterization",
            type=click.Choice(get_args(Parameterization)),
            default="auto",
            show_default=True,
            help="How group coefficients are written in the program.",
        ),
        click.option(
            "--group-predictor",
            "group_predictors",
            multiple=True,
            metavar="COLUMN",
            help="A predictor that must be constant within groups.",
        ),
        click.option(
            "--prior",
            "priors",
            multiple=True,
            metavar="NAME=DIST",
            help="The prior of a parameter, as in 'tau_county=exponential(1)' or "
            "'beta[floor]=normal(0, 1)'.",
        ),
        click.option(
            "--chunked",
            is_flag=True,
            help="Read DATA once, in chunks, and keep what the likelihood needs: for "
            "CSV and Parquet files, and folders of Parquet files, that are larger than "
            "memory.",
        ),
    )
)


def reads_data(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of reading a table, which the command gets as ``source``."""

    @wraps(command)
    def reading(
        data: Path | None,
        sep: str | None,
        decimal: str,
        thousands: str | None,
        encoding: str,
        na: str | None,
        dropna: bool,
        **others: Any,
    ) -> Any:
        if data is None:
            return command(source=None, **others)
        from stanpool.base.table_files import CsvFormat
        from stanpool.data.tables.named import Source

        words = None if na is None else tuple(each.strip() for each in na.split(","))
        form = CsvFormat(sep, decimal, thousands, encoding, words)
        tell = partial(click.echo, err=True)
        source = Source(data, form, dropna, lambda text: tell(f"stanpool: {text}"))
        return command(source=source, **others)

    return _READING(reading)


def states_a_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add DATA and the options of a model, which the command gets as ``state``.

    That is a function without arguments: a command may do something else before it
    reads the data.
    """

    @wraps(command)
    def stating(
        source: Source,
        formula: tuple[str, ...],
        family: str,
        link: Link | None,
        parameterization: Parameterization,
        group_predictors: tuple[str, ...],
        priors: tuple[str, ...],
        chunked: bool,
        pooling: Pooling | None = None,
        **others: Any,
    ) -> Any:
        def state() -> Model:
            from stanpool.api.facade import Model

            stated = formula[0] if len(formula) == 1 else list(formula)
            columns: Any = tuple
            if source.dropna:
                columns = _columns_used(stated, pooling, family=family)
            data = _chunks(source, columns) if chunked else source.table(columns)
            with source.explained():
                return Model(
                    stated,
                    data,
                    family=family,
                    link=link,
                    pooling=pooling,
                    parameterization=parameterization,
                    group_predictors=group_predictors,
                    priors=dict(map(_split_prior, priors)),
                )

        return command(state, **others)

    data = click.argument("data", type=DATA)
    return data(reads_data(_STATING(stating)))


def _chunks(source: Source, columns: Any) -> Any:
    """Return what ``Model`` reads in chunks: a path, or a function that opens it."""
    from stanpool.base.table_files import CsvFormat

    if source.dropna or source.form != CsvFormat():
        return partial(source.chunks, columns)
    return source.path


def _columns_used(
    formula: str | Sequence[str], pooling: Pooling | None, **options: Any
) -> Callable[[set[Any]], list[str]]:
    """Return a function that says which of the columns a formula uses."""
    from stanpool.data.columns import names_in
    from stanpool.language.formulas.formula_text import pooling_of
    from stanpool.language.formulas.of_parameters import parse_formulas
    from stanpool.language.model_spec import ModelSpec

    parsed, residual = parse_formulas(formula)
    pooling = pooling_of(parsed, residual, pooling)
    spec = ModelSpec(**vars(parsed), residual=residual, pooling=pooling, **options)
    # The upper end of an interval may be missing where there is none.
    return lambda known: [x for x in names_in(spec, known) if x != spec.cens_upper]


def _split_prior(text: str) -> tuple[str, str]:
    """Split ``tau=exponential(1)``; a name may itself have an equals sign."""
    name, equals, distribution = text.rpartition("=")
    if not equals or not name.strip():
        raise SpecError(
            f"--prior {quote(text)} is not NAME=DIST, as in 'tau=exponential(1)'."
        )
    return name.strip(), distribution.strip()
