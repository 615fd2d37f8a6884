"""The benchmark suite: its data, its bookkeeping and its table, on made-up results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.stats import norm  # type: ignore[import-untyped]

from stanpool import SpecError
from stanpool.api.facade import Model
from stanpool.bench import (
    BENCHMARKS,
    QUICK,
    TOOLS,
    Cell,
    Sampling,
    Settings,
    bench_record,
    bench_text,
    cell_text,
    run_bench,
    standings,
    write_results,
)
from stanpool.bench.benchmarks import simulate
from stanpool.bench.benchmarks.simulate import simulated
from stanpool.bench.cell import statistics
from stanpool.bench.goals import Beats, BeatsPeers, Converges, Grows
from stanpool.bench.results import furthest_apart
from stanpool.bench.tools.peers import PEERS
from stanpool.cli import main


def cell(tool: str, rate: float, *, benchmark: str = "radon", **fields: object) -> Cell:
    """Make up a fit of 2 seconds that converged, unless fields say otherwise."""
    made: dict[str, object] = {
        "seed": 1,
        "cpu_seconds": 2.0,
        "build_seconds": 0.5,
        "build_megabytes": 200.0,
        "ess": 2.0 * rate,
        "r_hat": 1.003,
        "divergences": 0,
    }
    return Cell(benchmark, tool, **{**made, **fields})  # type: ignore[arg-type]


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, words)])


# The data


@pytest.mark.parametrize(
    ("benchmark", "rows", "groups", "each"),
    [
        ("sparse", 4000, 2000, {2}),
        ("large_10k", 10_000, 1000, {10}),
        ("large_1m", 1_000_000, 1000, {1000}),
        ("large", 100_000, 1000, {100}),
        ("bernoulli", 20_000, 500, {40}),
        ("mixed", 25_100, 100, {2, 500}),
        ("mixed_binary", 25_100, 100, {2, 500}),
    ],
)
def test_simulated_benchmarks_have_the_stated_sizes(
    benchmark: str, rows: int, groups: int, each: set[int]
) -> None:
    frame = BENCHMARKS[benchmark].frame()
    sizes = frame["g"].value_counts()
    assert (len(frame), len(sizes), set(sizes)) == (rows, groups, each)
    assert set(frame.columns) == {"y", "g"} | {
        word for word in BENCHMARKS[benchmark].formula.split() if word.startswith("x")
    }


def test_binary_benchmarks_are_binary() -> None:
    frame = BENCHMARKS["binary"].frame()
    assert len(frame) == 1_000_000
    assert frame["g"].nunique() == 500
    assert all(set(frame[name]) == {0, 1} for name in ("y", "x1", "x2"))


def test_simulated_outcomes_are_those_of_the_model() -> None:
    sizes = np.full(400, 100)
    frame = next(simulated(sizes, seed=3, beta=(0.5, -0.3), tau=(0.5, 0.3), sigma=2.0))
    means = frame.groupby("g")["y"].mean()
    # var of a mean over 100 rows: tau^2 + (sigma^2 + beta'beta + tau_1^2) / 100
    assert means.var() == pytest.approx(0.25 + (4 + 0.34 + 0.09) / 100, rel=0.25)
    slopes = np.linalg.lstsq(
        np.column_stack([np.ones(len(frame)), frame[["x1", "x2"]]]), frame["y"]
    )[0]
    assert slopes == pytest.approx([1.0, 0.5, -0.3], abs=0.1)


def test_a_file_has_the_rows_of_the_frames(tmp_path: Path) -> None:
    from dataclasses import replace

    benchmark = replace(BENCHMARKS["sparse"], from_file=True)
    benchmark.prepare(tmp_path)
    written = benchmark.read(tmp_path)
    assert isinstance(written, Path)
    before = written.stat().st_mtime_ns
    benchmark.prepare(tmp_path)
    assert written.stat().st_mtime_ns == before
    import pandas as pd

    pd.testing.assert_frame_equal(pd.read_parquet(written), benchmark.frame())


def test_simulated_benchmarks_have_what_their_names_say() -> None:
    ratings = simulate.crossed(297, 112, 7342, seed=1)
    assert ratings[["s", "d"]].nunique().tolist() == [297, 112]
    answers = simulate.ordinal(20_000, 300, seed=1)
    # Shares by the logistic distribution over a normal sum of all effects.
    spread = np.sqrt(np.pi**2 / 3 + 0.38 + 0.64)
    below = (answers["y"] <= 3).mean()
    assert below == pytest.approx(norm.cdf(0.5 / spread), abs=0.03)
    counted = simulate.counts(20_000, 200, seed=1)
    assert set(counted["w"]) == {1, 2, 3}
    # Gamma(2, 1/2) multiplies: variances of counts exceed means.
    assert counted["y"].var() > 2 * counted["y"].mean()
    varying = simulate.slopes(500, 50, seed=1)
    found = [
        np.linalg.lstsq(np.c_[np.ones(len(g)), g[["x1", "x2", "x3"]]], g["y"])[0]
        for _, g in varying.groupby("g")
    ]
    assert np.corrcoef(np.array(found).T)[0, 1] == pytest.approx(0.4, abs=0.15)
    each = simulate.memberships(500, 40, seed=1)
    assert set(each.columns) == {"y", "x1", "a", "b"}
    X = simulate.predictors(5000, 50, 100, seed=1).drop(columns=["y", "g"])
    assert X.shape[1] == 100
    assert np.corrcoef(X["x1"], X["x2"])[0, 1] == pytest.approx(0.5, abs=0.05)
    effects = simulate.studies(5000, seed=1)
    total = (effects["y"].var() - (effects["se"] ** 2).mean()) ** 0.5
    assert total == pytest.approx(0.15, abs=0.02)


def test_every_benchmark_is_a_model() -> None:
    for name in ("radon", "scotssec", "verbagg", "sparse"):
        benchmark = BENCHMARKS[name]
        model = Model(benchmark.formula, benchmark.frame(), family=benchmark.family)
        distributions = {row.prior.distribution for row in model.priors}
        assert distributions == {"normal", "exponential"}  # what peers are told
    assert set(QUICK) <= set(BENCHMARKS)
    for benchmark in BENCHMARKS.values():
        assert set(benchmark.ours) <= set(TOOLS)


# Statistics


def test_the_worst_scalar_counts() -> None:
    rng = np.random.default_rng(1)
    good = rng.normal(size=(4, 500, 3))
    slow = np.cumsum(rng.normal(size=(4, 500)), axis=1)
    found = statistics({"beta": good, "tau": slow})
    assert (found["ess_of"], found["r_hat_of"], found["scalars"]) == ("tau", "tau", 4)
    assert found["ess"] < 50
    assert found["r_hat"] > 1.1
    mean, error = found["estimates"]["beta[0]"]
    assert mean == pytest.approx(good[..., 0].mean())
    assert error == pytest.approx(1 / np.sqrt(2000), rel=0.2)


def test_the_diagonal_of_correlations_is_no_sign_of_chains_that_do_not_move() -> None:
    draws = np.random.default_rng(1).uniform(-1, 1, size=(4, 500))
    Omega = np.ones((4, 500, 2, 2))
    Omega[..., 0, 1] = Omega[..., 1, 0] = draws
    found = statistics({"Omega_g": Omega})
    assert found["scalars"] == 2
    assert Cell("radon", "auto", 1, **found).converged


def test_a_chain_that_never_moved_has_not_converged() -> None:
    found = statistics({"tau": np.ones((4, 100))})
    assert not Cell("radon", "auto", 1, **found).converged


# Medians and goals


def test_a_fit_that_did_not_converge_is_worth_nothing() -> None:
    rates = {1: 90.0, 2: 4000.0, 3: 100.0}
    cells = [
        cell("auto", rate, seed=seed, r_hat=1.02 if seed == 2 else 1.0)
        for seed, rate in rates.items()
    ]
    standing = standings(cells)["radon", "auto"]
    assert standing.ess_per_cpu_second == 90.0  # of 0, 90 and 100
    assert (standing.converged, standing.r_hat) == (2, 1.02)


def test_who_did_not_converge_ranks_nobody() -> None:
    cells = [
        cell("auto", 1000),
        cell("bambi-nutpie", 100),
        cell("numpyro", 900, r_hat=1.011),
    ]
    found = standings(cells)
    verdict = BeatsPeers(5).judge("radon", found, PEERS)
    assert (verdict.reached, verdict.found) == (True, "10 x bambi-nutpie")
    assert BeatsPeers(11).judge("radon", found, PEERS).reached is False
    record = {line["tool"]: line for line in bench_record(cells)["table"]}
    assert record["auto"]["times_best_peer"] == 10
    assert record["numpyro"]["ess_per_cpu_second"] == 0


def test_goals_are_open_where_nobody_ran() -> None:
    found = standings([cell("auto", 1000), cell("numpyro", 5, r_hat=2.0)])
    verdict = BeatsPeers(5).judge("radon", found, PEERS)
    assert (verdict.reached, verdict.found) == (None, "no peer converged")
    alone = BeatsPeers(5).judge("radon", standings([cell("auto", 1000)]), PEERS)
    assert (alone.reached, alone.found) == (None, "no peer was run")
    assert Beats("auto", ("cells",)).judge("radon", found, PEERS).reached is None
    assert Grows(1.3, "large_10k").judge("radon", found, PEERS).reached is None
    assert BeatsPeers(5).judge("sparse", found, PEERS).reached is None


@pytest.mark.parametrize(
    ("fields", "reached"),
    [
        ({}, True),
        ({"divergences": 1}, False),
        ({"r_hat": 1.012}, False),
        ({"ess": 900.0}, False),
        ({"cpu_seconds": 7.0}, False),
    ],
)
def test_converging_is_more_than_speed(
    fields: dict[str, object], reached: bool
) -> None:
    ours = [cell("auto", 1000, seed=1), cell("auto", 1000, **{"seed": 2, **fields})]
    if "cpu_seconds" in fields or "ess" in fields:  # medians, not the worst
        ours.append(cell("auto", 1000, **{"seed": 3, **fields}))
    peer = cell("numpyro", 1, cpu_seconds=6.0, r_hat=3.0)
    verdict = Converges(1000).judge("radon", standings([*ours, peer]), PEERS)
    assert verdict.reached is reached


def test_growth_is_of_seconds_and_of_memory() -> None:
    cells = [
        cell("auto", 1, benchmark="large_10k", cpu_seconds=2.0),
        cell("auto", 1, benchmark="large", cpu_seconds=2.5, build_megabytes=2100.0),
    ]
    found = standings(cells)
    assert Grows(1.3, "large_10k").judge("large", found, PEERS).reached is True
    assert Grows(1.2, "large_10k").judge("large", found, PEERS).reached is False
    assert not Grows(1.3, "large_10k", 60, 2000).judge("large", found, PEERS).reached


def test_one_form_beats_the_better_of_others() -> None:
    goal = Beats("adaptive", ("centered", "noncentered"))
    cells = [cell("adaptive", 100), cell("centered", 90), cell("noncentered", 101)]
    assert goal.judge("radon", standings(cells), PEERS).reached is False
    assert goal.judge("radon", standings(cells[:2]), PEERS).reached is None
    failed = [cells[0], cell("centered", 9, r_hat=2), cell("noncentered", 9, r_hat=2)]
    assert goal.judge("radon", standings(failed), PEERS).reached is True


def test_estimates_are_compared_in_monte_carlo_errors() -> None:
    one = cell("auto", 1, estimates={"tau": (1.0, 0.03), "sigma": (2.0, 0.1)})
    other = cell("numpyro", 1, estimates={"tau": (1.2, 0.04), "sigma": (2.1, 0.1)})
    name, apart = furthest_apart(one, other)
    assert (name, apart) == ("tau", pytest.approx(4.0))
    assert "Monte Carlo errors" not in bench_text([one, other])
    far = cell("numpyro", 1, estimates={"tau": (1.3, 0.04)})
    assert "numpyro: its mean of tau is 6.0 Monte Carlo" in bench_text([one, far])
    silent = cell("numpyro", 1, r_hat=1.3, estimates={"tau": (1.3, 0.04)})
    assert "its mean of tau" not in bench_text([one, silent])


# The table


def test_the_table_says_what_became_of_each_tool(tmp_path: Path) -> None:
    cells = [
        cell("auto", 1000, form="marginal", engine="cmdstan"),
        cell("centered", 3000, r_hat=1.6, divergences=30, engine="cmdstan"),
        cell("bambi-nutpie", 250),
        Cell("radon", "numpyro", 1, status="failed", message="out of memory"),
        Cell("radon", "bambi-numpyro", 1, status="not installed", message="bambi"),
        Cell("radon", "lme4", 1, cpu_seconds=0.25),
    ]
    lines = {line.split()[0]: line for line in bench_text(cells).splitlines() if line}
    assert lines["auto"].split()[:5] == ["auto", "(marginal)", "cmdstan", "1000", "4"]
    assert lines["centered"].split()[1:4] == ["cmdstan", "(3000)", "-"]
    assert lines["bambi-nutpie"].split()[1] == "-"
    assert lines["centered"].split()[-4:] == ["30", "0", "of", "1"]
    assert "failed: out of memory" in lines["numpyro"]
    assert "not installed: bambi" in lines["bambi-numpyro"]
    assert "a point estimate in 0.25 CPU s" in lines["lme4"]
    assert lines["reached:"].endswith("4 x bambi-nutpie")
    write_results(cells, tmp_path)
    assert (tmp_path / "bench.png").stat().st_size > 10_000
    record = json.loads((tmp_path / "bench.json").read_text())
    assert [goal["reached"] for goal in record["goals"]] == [True, None]
    assert {line["tool"] for line in record["table"]} == {c.tool for c in cells}


def test_engines_stand_side_by_side_where_both_were_run() -> None:
    cells = [
        cell("auto", 900, engine="cmdstan", compile_cpu_seconds=31, cpu_seconds=0.7),
        # The program of the first seed is what the second finds.
        cell(
            "auto",
            1100,
            seed=2,
            engine="cmdstan",
            compile_cpu_seconds=2,
            cpu_seconds=0.9,
        ),
        cell(
            "interpreted",
            700,
            engine="stanli",
            compile_cpu_seconds=1.5,
            cpu_seconds=1.2,
        ),
        cell("auto", 50, benchmark="sparse", engine="cmdstan"),
    ]
    text = bench_text(cells)
    (row,) = (line for line in text.splitlines() if line.startswith("  radon "))
    assert row.split() == ["radon", "31", "0.8", "2508", "1.5", "1.2", "1167"]
    assert "engines:" not in bench_text(cells[:2])
    found = {line["tool"]: line for line in bench_record(cells)["table"][:2]}
    assert found["auto"]["engine"] == "cmdstan"
    assert found["interpreted"]["compile_cpu_seconds"] == 1.5


def test_interpreted_programs_are_run_by_stanli(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def fit(self: Model, **options: object) -> SimpleNamespace:
        asked.append(str(options["engine"]))
        stats = {name: np.zeros((4, 10)) for name in ("diverging", "n_steps")}
        seconds = {f"seconds_{part}": np.ones(4) for part in ("warmup", "sampling")}
        tree = {"sampler_state": seconds}
        return SimpleNamespace(posterior=None, sample_stats=stats, tree=tree)

    monkeypatch.setattr(Model, "fit", fit)
    benchmark = BENCHMARKS["radon"]
    for name in ("auto", "interpreted"):
        tool = TOOLS[name]
        model = tool.build(benchmark, benchmark.frame())
        tool.fit(tool.compile(model, Sampling()), Sampling(), 1)
        assert tool.form(model) == "marginal"
        assert asked == [tool.engine] * 2
        asked.clear()


def test_cells_are_kept_as_they_are(tmp_path: Path) -> None:
    kept = cell("auto", 1, estimates={"tau": (1.0, 0.1)}, sampling={"chains": 4})
    kept.save(tmp_path / "cell.json")
    assert Cell.load_from(tmp_path / "cell.json") == kept


# The run


def test_tools_alternate_and_turn_round_with_the_seed() -> None:
    settings = Settings(("radon", "sparse"), ("auto", "numpyro"), (5, 6))
    planned = [(each.seed, each.benchmark, each.tool) for each in settings.plan()]
    assert planned == [
        (5, "radon", "auto"),
        (5, "radon", "numpyro"),
        (5, "sparse", "auto"),
        (5, "sparse", "numpyro"),
        (6, "radon", "numpyro"),
        (6, "radon", "auto"),
        (6, "sparse", "numpyro"),
        (6, "sparse", "auto"),
    ]
    everything = [(each.benchmark, each.tool) for each in Settings(seeds=(1,)).plan()]
    assert len(everything) == len(set(everything)) > 60


def test_a_peer_that_is_not_there_has_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stanpool.bench import suite

    monkeypatch.setattr(
        suite, "find_spec", lambda name: None if name == "nutpie" else object()
    )
    settings = Settings(("radon",), ("bambi-nutpie",), (1,))
    told: list[Cell] = []
    (found,) = run_bench(settings, tmp_path, tell=told.append)
    assert told == [found]
    assert cell_text(found) == (
        "radon bambi-nutpie seed 1: not installed, nutpie: pip install "
        "'stanpool[bench]', with Python 3.12 or later"
    )


def test_what_is_there_is_not_fitted_again(tmp_path: Path) -> None:
    sampling = Sampling(chains=1, draws=7)
    settings = Settings(("radon",), ("auto",), (1, 2), 60.0, sampling)
    (tmp_path / "cells").mkdir()
    kept = cell("auto", 5, sampling=vars(sampling))
    kept.save(tmp_path / "cells" / f"{kept.name}.json")
    over = Cell("radon", "auto", 2, "over the time limit", "60 s", seconds=60.0)
    over.save(tmp_path / "cells" / f"{over.name}.json")
    assert run_bench(settings, tmp_path) == [kept, over]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Settings(("radio",)), "no benchmark 'radio'.*Did you mean 'radon'"),
        (lambda: Settings(tools=("lme5",)), "no tool 'lme5'.*Did you mean 'lme4'"),
        (lambda: Settings(seeds=()), "whole numbers"),
        (lambda: Settings(seeds=(-1,)), "whole numbers"),
        (lambda: Settings(time_limit=0), "time_limit=0 must be above 0"),
    ],
)
def test_wrong_settings_are_refused(
    build: Callable[[], Settings], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        build()


# The command


def test_the_command_lists_benchmarks_and_tools() -> None:
    shown = bench("--list")
    assert shown.exit_code == 0
    assert all(name in shown.output for name in (*BENCHMARKS, *TOOLS))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--benchmarks", "radio"), "Did you mean 'radon'?"),
        (("--tools", "auto,brm"), "Did you mean 'brms'?"),
        (("--seeds", "1,x"), "must be a list of whole numbers"),
        (("--seeds", ""), "must be a list of whole numbers"),
        (("--seeds", "9" * 5000), "must be a list of whole numbers"),
        (("--time-limit", "0"), "--time-limit"),
    ],
)
def test_the_command_refuses_wrong_input(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    shown = bench(*words, "--out", tmp_path / "out")
    assert shown.exit_code == 2
    assert message in shown.output
    assert not (tmp_path / "out").exists()


def test_the_command_writes_and_prints(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    for tool, rate in (("auto", 900.0), ("noncentered", 30.0)):
        kept = cell(tool, rate, sampling=vars(Sampling()))
        kept.save(tmp_path / "cells" / f"{kept.name}.json")
    words = ("--benchmarks", "radon", "--tools", "auto,noncentered", "--seeds", "1")
    shown = bench(*words, "--out", tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "radon auto seed 1: 900 ESS/CPU s" in shown.stderr
    assert "30 x noncentered" not in shown.stdout  # centered was not run
    printed = json.loads(bench(*words, "--out", tmp_path, "--json", "--quiet").stdout)
    assert [line["ess_per_cpu_second"] for line in printed["table"]] == [900, 30]
    assert {path.suffix for path in tmp_path.glob("bench.*")} == {
        ".json",
        ".png",
        ".txt",
    }
