"""What stands in for CmdStan's stansummary and diagnose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from click.testing import CliRunner, Result
from scipy.stats import median_abs_deviation

from stanpool.cli.stan_csv import main
from stanpool.posterior import arviz

SETTINGS = """\
#     num_samples = 1000 (Default)
#     num_warmup = 1000 (Default)
#     save_warmup = false (Default)
#     thin = 1 (Default)
#             max_depth = 10 (Default)
"""
SAMPLER = ("lp__", "treedepth__", "divergent__", "energy__")
COLUMNS = (*SAMPLER, "mu", "theta.1", "theta.2", "pair:1.1", "fixed")


def draws_of_chains(chains: int = 4, draws: int = 1000) -> np.ndarray:
    """Return draws of an autoregressive process, ``(chain, draw, column)``."""
    noise = np.random.default_rng(1).normal(size=(chains, draws, len(COLUMNS)))
    values = noise.copy()
    for now in range(1, draws):
        values[:, now, 4:] = 0.5 * values[:, now - 1, 4:] + noise[:, now, 4:]
    values[:, :, 1:3] = (3, 0)
    values[:, :, -1] = 7
    return values


def write(
    folder: Path, draws: np.ndarray, settings: str = SETTINGS, columns=COLUMNS
) -> list[str]:
    """Write a file for each chain as CmdStan does, with the adaptation in the midst."""
    files = []
    for number, chain in enumerate(draws, start=1):
        rows = [",".join(f"{value:.17g}" for value in draw) for draw in chain]
        lines = [settings + ",".join(columns), "# Adaptation terminated", *rows]
        file = folder / f"chain {number}.csv"
        file.write_text("\n".join([*lines, "#", "#  Elapsed Time: 1 seconds", ""]))
        files.append(str(file))
    return files


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def summarized(folder: Path, *words: str) -> pd.DataFrame:
    """Read the file that is written as cmdstanpy does."""
    target = folder / "summary.csv"
    shown = run("stansummary", *words, f"--csv_filename={target}")
    assert shown.exit_code == 0, shown.output
    return pd.read_csv(target, index_col=0, comment="#")


def test_the_columns_are_those_of_arviz(tmp_path: Path) -> None:
    draws = draws_of_chains()
    table = summarized(
        tmp_path, "--percentiles= 5,50,95", "--sig_figs=10", *write(tmp_path, draws)
    )
    assert list(table.columns) == [
        *("Mean", "MCSE", "StdDev", "MAD", "5%", "50%", "95%"),
        *("ESS_bulk", "ESS_tail", "R_hat"),
    ]
    names = [*SAMPLER, "mu", "theta[1]", "theta[2]", "pair.1[1]", "fixed"]
    assert list(table.index) == names
    varying = ["lp__", "mu", "theta[1]", "theta[2]", "pair.1[1]"]
    chosen = draws[:, :, [names.index(name) for name in varying]]
    dataset = xr.Dataset({"x": (("chain", "draw", "name"), chosen)})
    flat = chosen.reshape(-1, len(varying))
    expected = {
        "Mean": flat.mean(axis=0),
        "MCSE": arviz.mcse_mean(dataset)["x"],
        "StdDev": flat.std(axis=0, ddof=1),
        "MAD": median_abs_deviation(flat, axis=0, scale="normal"),
        "5%": np.quantile(flat, 0.05, axis=0),
        "95%": np.quantile(flat, 0.95, axis=0),
        "ESS_bulk": arviz.ess_bulk(dataset)["x"],
        "ESS_tail": arviz.ess_tail(dataset)["x"],
        "R_hat": arviz.rhat(dataset)["x"],
    }
    for column, values in expected.items():
        # 1.4826 has five digits, as in CmdStan.
        rel = 1e-4 if column == "MAD" else 1e-8
        assert table.loc[varying, column].to_numpy() == pytest.approx(
            np.asarray(values), rel=rel
        ), column
    constant = table.loc["fixed"]
    assert constant[["Mean", "StdDev", "MAD", "50%"]].tolist() == [7, 0, 0, 7]
    assert constant[["MCSE", "ESS_bulk", "ESS_tail", "R_hat"]].isna().all()


def test_percentiles_digits_and_parameters_can_be_chosen(tmp_path: Path) -> None:
    files = write(tmp_path, draws_of_chains())
    words = ["-p", "10, 90", "-s", "2", "-i", "theta.1", "-i", "mu"]
    table = summarized(tmp_path, *words, *files)
    assert list(table.index) == ["mu", "theta[1]"]
    assert [name for name in table.columns if "%" in name] == ["10%", "90%"]
    assert all(len(f"{value:g}".lstrip("-0.")) <= 4 for value in table["Mean"])
    shown = run("stansummary", *words, *files).output
    assert "4 chains of 1,000 draws each" in shown
    assert shown.splitlines()[-1].split()[0] == "theta[1]"


def test_saved_warmup_is_no_part_of_it(tmp_path: Path) -> None:
    draws = draws_of_chains()
    draws[:, :334] += 100  # 1000 iterations of warm-up, of which every third is kept
    settings = SETTINGS.replace("false", "true").replace("thin = 1", "thin = 3")
    table = summarized(tmp_path, *write(tmp_path, draws, settings))
    assert table.loc["mu", "Mean"] == pytest.approx(draws[:, 334:, 4].mean(), rel=1e-4)


def test_diagnose_finds_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    said = run("diagnose", *write(tmp_path, draws_of_chains())).output
    assert said.count("satisfactory") == 4
    assert "no divergent transitions" in said
    assert said.rstrip().endswith("no problems detected.")


@pytest.mark.parametrize(
    ("column", "change", "expected"),
    [
        ("treedepth__", lambda x: np.where(np.arange(1000) < 3, 10, x), "12 of 4,000"),
        ("divergent__", lambda x: np.where(np.arange(1000) < 2, 1, x), "8 of 4,000"),
        ("energy__", lambda x: np.cumsum(x, axis=1), "E-BFMI is below 0.3 in chain 1:"),
        ("mu", lambda x: x + np.arange(4)[:, None], "above 1.01 for mu."),
        ("theta.2", lambda x: np.cumsum(x, axis=1), "100 per chain, for theta[2]."),
    ],
)
def test_diagnose_finds_each_problem(
    column: str, change, expected: str, tmp_path: Path
) -> None:
    draws = draws_of_chains()
    place = COLUMNS.index(column)
    draws[:, :, place] = change(draws[:, :, place])
    shown = run("diagnose", *write(tmp_path, draws))
    said = " ".join(shown.output.split())
    assert expected in said
    assert said.endswith("problems were detected.")
    assert shown.exit_code == 0


def test_what_was_not_sampled_by_nuts_has_fewer_checks(tmp_path: Path) -> None:
    draws = draws_of_chains()[:, :, [0, 4]]
    said = run("diagnose", *write(tmp_path, draws, columns=("lp__", "mu"))).output
    assert "Treedepth" not in said
    assert "E-BFMI" not in said
    assert "no problems detected" in said


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    draws = draws_of_chains()
    files = write(tmp_path, draws)
    for name, chain, columns, expected in (
        ("columns", draws[:1], [*COLUMNS[:-1], "other"], "has other columns"),
        ("rows", draws[:1, :-1], COLUMNS, "has 999 draws, and the first file 1000"),
        ("none", draws[:1, :0], COLUMNS, "has no draws"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        shown = run("diagnose", *files, *write(folder, chain, columns=columns))
        assert shown.exit_code == 2, name
        assert expected in shown.output
    assert "does not exist" in run("stansummary", str(tmp_path / "none.csv")).output
    shown = run("stansummary", "--percentiles= 50,5", *files)
    assert "must be increasing whole numbers" in shown.output
    assert "do not contain 'nu'" in run("stansummary", "-i", "nu", *files).output
