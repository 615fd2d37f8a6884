"""Record what other tools say: ``python docs/coming_from/record.py lme4``.

A table of a page has five columns: what is meant, what is written there and here, and
what each of the two says. This script runs the left side with the page's own blocks
(``r``, or ``py`` with the Python of ``--python``), keeps its numbers in
``figures.json``, runs the right side, and writes both into the page. The test of the
pages runs the right side again, for fewer draws, and compares.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FIGURES = HERE / "figures.json"
_CELL = re.compile(r"(?<!\\)\|")
_WITHIN = re.compile(r"within\s+([\d.]+)\s*(%|posterior\s+standard)")


@dataclass(frozen=True)
class Row:
    """A row of a table: what is written there and here, and what both say.

    Attributes
    ----------
    line
        Its place in the page.
    what, theirs, ours
        The first three cells, without the marks of code.
    says
        The last two cells: what they say, and what stanpool says.
    within
        How far the two may be from each other: coefficients, and scales of groups.
    unit
        ``"%"``, or else posterior standard deviations.
    """

    line: int
    what: str
    theirs: str
    ours: str
    says: tuple[str, str]
    within: tuple[float, float]
    unit: str

    @property
    def is_model(self) -> bool:
        """Whether it states a model, and not a question about a fit."""
        return self.ours.startswith("sp.Model(")


def rows_of(page: str) -> Iterator[Row]:
    """Find the rows of a page that say numbers, and how far these may be apart."""
    is_wanted, above = False, ""
    for place, line in enumerate(page.splitlines()):
        above = "" if line.startswith("#") else f"{above}\n{line}"
        cells = [each.strip() for each in _CELL.split(line)[1:-1]]
        if len(cells) != 5:
            is_wanted = False
        elif cells[4] == "stanpool says":
            is_wanted = True
        elif is_wanted and not set(cells[0]) <= {"-"}:
            theirs, ours = (each.strip("`").replace(r"\|", "|") for each in cells[1:3])
            numbers, units = zip(*_WITHIN.findall(above), strict=True)
            within = float(numbers[0]), float(numbers[-1])
            says = cells[3], cells[4]
            yield Row(place, cells[0], theirs, ours, says, within, units[0])


def blocks_of(page: str, kind: str) -> str:
    """Return the code of a page's blocks of one kind, joined."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return "\n".join(found)


def figures_of(fit: Any) -> list[float]:
    """Return a model's last coefficient with its standard error, and group scales.

    The scales are medians, in the order of their sizes.
    """
    last, scales = _last_and_scales(fit)
    return [float(last["mean"]), float(last["sd"]), *scales["median"]]


def spread_of(fit: Any) -> list[float]:
    """Return the posterior standard deviations of what ``figures_of`` returns."""
    last, scales = _last_and_scales(fit)
    return [float(last["sd"]), float(last["sd"]), *scales["sd"]]


def _last_and_scales(fit: Any) -> Any:
    """Return the row of the last coefficient, and those of the scales of groups."""
    fixed = fit.fixef()
    cutpoints = fixed.index.str.startswith("cutpoint")
    found = fit.varcorr()
    is_scale = found.index.get_level_values("term").str.startswith("sd(")
    scales = found[is_scale].sort_values("median", ascending=False)
    return fixed[~cutpoints].iloc[-1], scales


def written(numbers: Sequence[float]) -> str:
    """Write what a row says, with three digits."""
    if len(numbers) == 1:
        return _number(numbers[0])
    first, error, *scales = map(_number, numbers)
    return f"{first} ({error})" + "; " * bool(scales) + ", ".join(scales)


def _number(value: float) -> str:
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e+" in text else text


R_FIGURES = """
stated <- function(m) {
  if (inherits(m, "brmsfit")) {
    f <- brms::fixef(m)
    f <- f[!grepl("^Intercept", rownames(f)), , drop = FALSE]
    v <- brms::VarCorr(m, robust = TRUE)
    v <- v[names(v) != "residual__"]
    sds <- unlist(lapply(v, function(g) g$sd[, 1]))
    return(unname(c(tail(f, 1)[1:2], sort(sds, decreasing = TRUE))))
  }
  v <- as.data.frame(lme4::VarCorr(m))
  v <- v$sdcor[is.na(v$var2) & v$grp != "Residual"]
  se <- sqrt(Matrix::diag(as.matrix(vcov(m))))
  unname(c(tail(lme4::fixef(m), 1), tail(se, 1), sort(v, decreasing = TRUE)))
}
"""
PY_FIGURES = """
import json as _json
import numpy as _np
def _numbers(value):
    return [float(each) for each in _np.atleast_1d(value)]
def _stated_by_statsmodels(result):
    names = [n for n in result.params.index if " Var" not in n and " Cov" not in n]
    scales = []
    if hasattr(result, "cov_re"):
        scales = [*_np.sqrt(_np.diag(result.cov_re)), *_np.sqrt(result.vcomp)]
    last = names[-1]
    return [result.params[last], result.bse[last], *sorted(scales, reverse=True)]
def _stated_by_bambi(model):
    drawn = model.fit(**run)["posterior"]
    other = ("sigma", "mu", "p")
    common = [n for n in drawn.data_vars if "|" not in n and n not in other]
    last = drawn[common[-1]]
    last = last.isel({d: -1 for d in last.dims[2:]})
    scales = [drawn[n].median().item() for n in drawn.data_vars if n.endswith("_sigma")]
    return [last.mean().item(), last.std().item(), *sorted(scales, reverse=True)]
def stated(model):
    by_bambi = type(model).__module__.startswith("bambi")
    return (_stated_by_bambi if by_bambi else _stated_by_statsmodels)(model)
"""


def run_theirs(page: str, rows: Sequence[Row], python: str | None) -> dict[str, Any]:
    """Run the left side of a page's tables; its numbers, by what is written."""
    with tempfile.TemporaryDirectory() as folder:
        _write_data(Path(folder))
        (Path(folder) / "model.stan").write_text(blocks_of(page, "stan"))
        out = Path(folder) / "says.json"
        if setup := blocks_of(page, "r"):
            code = [setup, R_FIGURES, "says <- list()"]
            for row in rows:
                value = f"stated({row.theirs})" if row.is_model else row.theirs
                code.append(f"says[[{json.dumps(row.theirs)}]] <- unname({value})")
            code.append(f'jsonlite::write_json(says, "{out}", digits = 8)')
            command = ["Rscript", "-"]
        else:
            code = [blocks_of(page, "py"), PY_FIGURES, "_says = {}"]
            for row in rows:
                value = f"stated({row.theirs})" if row.is_model else row.theirs
                code.append(f"_says[{row.theirs!r}] = _numbers({value})")
            code.append(f"_json.dump(_says, open({str(out)!r}, 'w'))")
            command = [python or "python", "-"]
        text = "\n".join(code)
        subprocess.run(command, input=text, text=True, check=True, cwd=folder)
        return dict(json.loads(out.read_text()))


def _write_data(folder: Path) -> None:
    import stanpool as sp

    for name in sp.list_datasets():
        sp.load_dataset(name).to_csv(folder / f"{name}.csv", index=False)


def run_ours(page: str, rows: Sequence[Row]) -> list[list[float]]:
    """Run the right side of a page's tables."""
    import numpy as np

    names: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(blocks_of(page, "python"), names)
    found = []
    for row in rows:
        value = eval(row.ours, names)
        if row.is_model:
            found.append(figures_of(value.fit(seed=1, progress=False)))
        else:
            found.append([float(each) for each in np.atleast_1d(value)])
    return found


def main() -> None:
    """Record the figures of a page, and write them into it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the name of the page")
    parser.add_argument("--python", help="the Python that has the other tool")
    parser.add_argument("--ours", action="store_true", help="run only the right side")
    options = parser.parse_args()
    path = HERE / f"{options.name}.md"
    page = path.read_text()
    if not options.ours:
        says = run_theirs(page, list(rows_of(page)), options.python)
        figures = json.loads(FIGURES.read_text()) | {options.name: says}
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    write(path, json.loads(FIGURES.read_text())[options.name])


def write(path: Path, says: dict[str, Any]) -> None:
    """Write what they say, and what stanpool says, into the tables of a page."""
    page = path.read_text()
    rows, lines = list(rows_of(page)), page.splitlines()
    for row, ours in zip(rows, run_ours(page, rows), strict=True):
        cells = _CELL.split(lines[row.line])
        cells[4:6] = [f" {written(says[row.theirs])} ", f" {written(ours)} "]
        lines[row.line] = "|".join(cells)
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
