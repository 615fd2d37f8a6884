"""The driver's methods through cmdstanpy against closed forms, and its messages."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from by_hand import DRIVER, NO_PARAMETERS
from stanpool.engine import compile_program
from stanpool.engine.cmdstan.draws_files import read_draws_files

pytestmark = pytest.mark.compiled

A, B = 5, 10
SD = np.array([1.0, 3.0])
DATA = {
    "N": 10,
    "y": [1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    "sd_z": SD.tolist(),
    "impossible": 0,
}
MEAN, VARIANCE = A / (A + B), A * B / (A + B) ** 2 / (A + B + 1)
# The density of logit(theta) is highest at logit(MEAN), with this curvature.
VARIANCE_LOGIT = (A + B) / (A * B)
QUIET = {"show_progress": False, "sig_figs": 18}


@pytest.fixture(scope="session")
def executable() -> Path:
    return compile_program(DRIVER.source, name=DRIVER.name, progress=False)


@pytest.fixture
def model(executable, tmp_path, monkeypatch):
    import cmdstanpy

    monkeypatch.chdir(tmp_path)  # profile.csv is written where we are
    # sample() sets it for its own process
    monkeypatch.setenv("STAN_NUM_THREADS", "1")
    logger = logging.getLogger("cmdstanpy")
    monkeypatch.setattr(logger, "disabled", True)
    return cmdstanpy.CmdStanModel(exe_file=str(executable))


@pytest.fixture
def ask(executable, tmp_path):
    """Call the executable as a shell does, in a folder that has its data."""
    (tmp_path / "data.json").write_text(json.dumps(DATA))

    def call(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(executable), *command.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return call


def read_csv(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Return the comments, the names of the columns and the rows of a CSV file."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    header, *rows = [line for line in lines if not line.startswith("#")]
    values = [[float(value) for value in row.split(",")] for row in rows]
    return comments, header.split(","), np.array(values)


def logit(p):
    return np.log(p / (1 - p))


def assert_moments(draws, mean, variance, effective) -> None:
    """Compare with 4 Monte Carlo standard errors, a normal's for the variance."""
    assert abs(np.mean(draws) - mean) < 4 * np.sqrt(variance / effective)
    assert abs(np.var(draws) / variance - 1) < 4 * np.sqrt(2 / effective)


def assert_transformed(fit_or_columns) -> None:
    """Check what the program computes from the parameters of each draw."""
    get = fit_or_columns.__getitem__
    np.testing.assert_allclose(
        get("odds"), get("theta") / (1 - get("theta")), rtol=1e-12
    )
    np.testing.assert_allclose(get("twice"), 2 * get("theta"), rtol=1e-15)
    assert np.isin(get("draw"), (0, 1)).all()


def test_info_names_version_and_options(model):
    assert model.exe_info() == {
        "stan_version_major": "2",
        "stan_version_minor": "39",
        "stan_version_patch": "0",
        "STAN_THREADS": "false",
        "STAN_MPI": "false",
        "STAN_OPENCL": "false",
        "STAN_NO_RANGE_CHECKS": "false",
        "STAN_CPP_OPTIMS": "false",
    }


@pytest.mark.parametrize("metric", ["unit_e", "diag_e", "dense_e"])
def test_sample_draws_from_the_posterior(model, metric):
    fit = model.sample(DATA, seed=1, metric=metric, **QUIET)
    # NUTS is worth about half its draws on parameters like these.
    assert_moments(fit.theta, MEAN, VARIANCE, fit.theta.size / 4)
    for j in range(2):
        assert_moments(fit.z[:, j], 0, SD[j] ** 2, fit.theta.size / 4)
    assert_transformed(fit.stan_variables())
    assert fit.metric_type == metric
    assert (fit.divergences == 0).all()
    if metric == "unit_e":
        return
    # The adapted metric estimates the variances, here from at least 500 draws.
    variances = fit.inv_metric
    assert variances.shape == ((4, 3) if metric == "diag_e" else (4, 3, 3))
    if metric == "dense_e":
        variances = np.diagonal(variances, axis1=1, axis2=2)
    expected = np.array([VARIANCE_LOGIT, *SD**2])
    assert (abs(variances.mean(axis=0) / expected - 1) < 0.3).all()


def test_static_hmc_draws_from_the_posterior(ask, tmp_path):
    done = ask(
        "sample num_samples=4000 algorithm=hmc engine=static int_time=1.5 "
        "data file=data.json random seed=1 output refresh=0"
    )
    assert done.returncode == 0, done.stderr
    _, names, rows = read_csv(tmp_path / "output.csv")
    assert names[:5] == [
        "lp__",
        "accept_stat__",
        "stepsize__",
        "int_time__",
        "energy__",
    ]
    assert_moments(rows[:, names.index("theta")], MEAN, VARIANCE, len(rows) / 8)


def test_one_process_draws_what_many_draw(model):
    settings = {"seed": 5, "iter_sampling": 20, "iter_warmup": 50, **QUIET}
    settings |= {"chain_ids": [3, 4], "chains": 2}
    many = model.sample(DATA, **settings)
    one = model.sample(DATA, **settings, force_one_process_per_chain=False)
    assert one.runset.num_procs == 1
    assert [Path(file).stem[-2:] for file in one.runset.csv_files] == ["_3", "_4"]
    np.testing.assert_array_equal(many.draws(), one.draws())
    assert (many.draws()[:, 0] != many.draws()[:, 1]).all(axis=0).any()


def test_warmup_is_saved_and_draws_are_thinned(model):
    settings = {"seed": 1, "chains": 1, "iter_warmup": 60, "iter_sampling": 40, **QUIET}
    every = model.sample(DATA, save_warmup=True, **settings)
    third = model.sample(DATA, save_warmup=True, thin=3, **settings)
    assert every.draws(inc_warmup=True).shape[0] == 60 + 40
    assert third.draws(inc_warmup=True).shape[0] == 20 + 14
    # The first draws are the same, before generated quantities take random numbers.
    np.testing.assert_array_equal(
        third.draws(inc_warmup=True)[0], every.draws(inc_warmup=True)[0]
    )
    assert {"warmup", "sampling", "total"} == set(every.time[0])


def test_draws_are_written_as_they_are_in_memory(ask, tmp_path):
    how = (
        "sample num_chains=2 num_samples=5 num_warmup=30 save_warmup=1 data "
        "file=data.json random seed=1 output refresh=0 sig_figs=18"
    )
    assert ask(f"{how} file=text.csv").returncode == 0
    done = ask(f"{how} file=chain.csv draws_file=chain.draws passing=no,z")
    assert done.returncode == 0, done.stderr
    files = [str(tmp_path / f"chain_{chain}.csv") for chain in (1, 2)]
    kept, passing = read_draws_files(files, 35)
    assert passing is not None
    assert set(kept.variables) == {"theta", "odds", "twice", "shifted", "draw"}
    for chain in (1, 2):
        _, names, rows = read_csv(tmp_path / f"text_{chain}.csv")
        _, sampler, own = read_csv(tmp_path / f"chain_{chain}.csv")
        assert sampler == names[:7]
        np.testing.assert_array_equal(own, rows[:, :7])
        for name in kept.variables:
            np.testing.assert_array_equal(
                kept.of(name)[chain - 1], rows[:, names.index(name)]
            )
        np.testing.assert_array_equal(passing.of("z")[chain - 1, 0], rows[-1, 8:10])


INITS = [{"theta": 0.1, "z": [1, 2]}, {"theta": 0.7, "z": [-3, 4]}]


def test_chains_start_from_their_own_values(model):
    settings = {"chains": 2, "chain_ids": [2, 3], "iter_sampling": 3, "seed": 1}
    fit = model.sample(DATA, inits=INITS, fixed_param=True, **settings, **QUIET)
    # Fixed parameters stay where they start.
    theta = fit.stan_variable("theta").reshape(2, 3)
    np.testing.assert_allclose(theta, [[0.1] * 3, [0.7] * 3], rtol=1e-14)
    z = fit.stan_variable("z").reshape(2, 3, 2)
    np.testing.assert_allclose(z[:, 0], [[1, 2], [-3, 4]])
    assert fit.method_variables().keys() == {"lp__", "accept_stat__"}


def test_chains_of_one_process_start_from_their_own_values(ask, tmp_path):
    for chain, init in enumerate(INITS, start=2):
        (tmp_path / f"init_{chain}.json").write_text(json.dumps(init))
    done = ask(
        "sample algorithm=fixed_param num_samples=1 num_chains=2 id=2 init=init.json "
        "data file=data.json"
    )
    assert done.returncode == 0, done.stderr
    for chain, init in enumerate(INITS, start=2):
        _, names, rows = read_csv(tmp_path / f"output_{chain}.csv")
        assert rows[0, names.index("theta")] == init["theta"]
        assert rows[0, names.index("z.2")] == init["z"][1]


def test_initial_values_come_from_a_number_or_in_part_from_a_file(model):
    settings = {"fixed_param": True, "iter_sampling": 1, "seed": 1, **QUIET}
    zero = model.sample(DATA, inits=0, **settings)
    np.testing.assert_array_equal(zero.theta, 0.5)
    np.testing.assert_array_equal(zero.z, 0)
    near = model.sample(DATA, inits=0.01, **settings)
    assert (abs(near.z) < 0.01).all()
    assert (near.z != 0).all()
    part = model.sample(DATA, inits={"theta": 0.25}, **settings)
    np.testing.assert_array_equal(part.theta, 0.25)
    assert len(np.unique(part.z)) == 8


@pytest.mark.parametrize("one_process", [False, True])
def test_metric_files_are_used_as_they_are(model, one_process):
    fit = model.sample(
        DATA,
        chains=2,
        inv_metric=[{"inv_metric": [0.1, 1, 9]}, {"inv_metric": [0.3, 2, 8]}],
        step_size=0.5,
        adapt_engaged=False,
        iter_warmup=0,
        iter_sampling=400,
        max_treedepth=3,
        seed=1,
        force_one_process_per_chain=not one_process,
        **QUIET,
    )
    np.testing.assert_allclose(fit.inv_metric, [[0.1, 1, 9], [0.3, 2, 8]])
    np.testing.assert_array_equal(fit.step_size, 0.5)
    assert fit.method_variables()["treedepth__"].max() <= 3


def test_adaptation_follows_its_settings(model):
    settings = {"chains": 1, "seed": 1, "iter_warmup": 300, **QUIET}
    careful = model.sample(DATA, adapt_delta=0.99, **settings)
    bold = model.sample(DATA, adapt_delta=0.5, **settings)
    assert careful.step_size[0] < bold.step_size[0]
    # All of the warmup is given to the step size, none to the metric.
    flat = model.sample(DATA, adapt_init_phase=300, **settings)
    assert (flat.inv_metric != careful.inv_metric).all()


def test_seed_reaches_transformed_data_and_each_chain(model):
    settings = {"chains": 2, "iter_sampling": 5, "iter_warmup": 20, **QUIET}
    one, again, other = (
        model.sample(DATA, seed=s, **settings) for s in (1, 1, 2**32 - 1)
    )
    np.testing.assert_array_equal(one.draws(), again.draws())
    shift = [fit.shifted - fit.z[:, 0] for fit in (one, other)]
    assert np.ptp(shift[0]) < 1e-12  # the same in all chains
    assert abs(shift[0][0] - shift[1][0]) > 1e-3


def test_diagnostics_and_profile_are_saved(model):
    fit = model.sample(
        DATA,
        chains=1,
        iter_sampling=7,
        iter_warmup=20,
        seed=1,
        save_latent_dynamics=True,
        save_profile=True,
        **QUIET,
    )
    _, names, rows = read_csv(Path(fit.runset.diagnostic_files[0]))
    assert names[7:] == [
        *("theta", "z.1", "z.2"),
        *("p_theta", "p_z.1", "p_z.2"),
        *("g_theta", "g_z.1", "g_z.2"),
    ]
    # On the unconstrained scale; g is the gradient of minus the log density.
    np.testing.assert_allclose(rows[:, 7], logit(fit.theta), rtol=1e-12)
    np.testing.assert_allclose(rows[:, 13], -(A - (A + B) * fit.theta), rtol=1e-9)
    profile = Path(fit.runset.profile_files[0]).read_text().splitlines()
    assert profile[0].startswith("name,thread_id,total_time,forward_time")
    assert profile[1].startswith("likelihood,")


def test_a_program_without_parameters_is_run_all_the_same(tmp_path, monkeypatch):
    import cmdstanpy

    monkeypatch.chdir(tmp_path)
    own = NO_PARAMETERS
    exe = compile_program(own.source, name=own.name, progress=False)
    fit = cmdstanpy.CmdStanModel(exe_file=str(exe)).sample(seed=1, **QUIET)
    assert_moments(fit.x, 3, 1, fit.x.size)
    assert (fit.k == 7).all()


@pytest.mark.slow
def test_chains_run_in_threads_of_one_process(model):
    import cmdstanpy

    exe = compile_program(DRIVER.source, name=DRIVER.name, threads=True, progress=False)
    threaded = cmdstanpy.CmdStanModel(exe_file=str(exe))
    assert threaded.exe_info()["STAN_THREADS"] == "true"
    settings = {"seed": 1, "iter_sampling": 20, "iter_warmup": 50, "chains": 3, **QUIET}
    one = threaded.sample(DATA, parallel_chains=3, **settings)
    assert one.runset.num_procs == 1
    np.testing.assert_array_equal(one.draws(), model.sample(DATA, **settings).draws())


@pytest.mark.parametrize("algorithm", ["LBFGS", "BFGS", "Newton"])
@pytest.mark.parametrize("jacobian", [False, True])
def test_optimize_finds_the_mode(model, algorithm, jacobian):
    fit = model.optimize(
        DATA, algorithm=algorithm, jacobian=jacobian, seed=1, sig_figs=18
    )
    mode = A / (A + B) if jacobian else (A - 1) / (A + B - 2)
    # Stan stops at relative changes of the density of 1e-12.
    np.testing.assert_allclose(fit.theta, mode, atol=1e-4)
    np.testing.assert_allclose(fit.z, 0, atol=1e-3)
    assert_transformed(fit.stan_variables())
    assert fit.converged


def test_optimize_saves_iterations_and_follows_its_settings(model):
    few = model.optimize(
        DATA,
        algorithm="lbfgs",
        inits={"theta": 0.9, "z": [1, -1]},
        iter=3,
        save_iterations=True,
        history_size=2,
        init_alpha=0.01,
        tol_obj=1e-20,
        require_converged=False,
        seed=1,
        sig_figs=18,
    )
    path = few.optimized_iterations_np
    assert len(path) == 4
    theta = few.column_names.index("theta")
    assert path[0, theta] == pytest.approx(0.9, rel=1e-14)
    assert (np.diff(path[:, 0]) > 0).all()


@pytest.mark.parametrize("jacobian", [False, True])
def test_laplace_draws_from_the_normal_around_the_mode(model, jacobian):
    fit = model.laplace_sample(DATA, draws=4000, jacobian=jacobian, seed=1, sig_figs=18)
    a, b = (A, B) if jacobian else (A - 1, B - 1)
    unconstrained = logit(fit.theta)
    assert_moments(unconstrained, logit(a / (a + b)), (a + b) / (a * b), 4000)
    for j in range(2):
        assert_moments(fit.z[:, j], 0, SD[j] ** 2, 4000)
    log_q = fit.method_variables()["log_q__"]
    kernel = (unconstrained - logit(a / (a + b))) ** 2 * a * b / (a + b)
    kernel = -0.5 * (kernel + ((fit.z / SD) ** 2).sum(axis=1))
    # The mode is found to about 1e-4.
    np.testing.assert_allclose(log_q - log_q.mean(), kernel - kernel.mean(), atol=5e-3)
    assert_transformed(fit.stan_variables())


def test_laplace_takes_a_mode_from_json_and_saves_the_hessian(ask, tmp_path):
    (tmp_path / "mode.json").write_text(json.dumps({"theta": A / (A + B), "z": [0, 0]}))
    done = ask(
        "laplace mode=mode.json draws=3 data file=data.json output sig_figs=12 "
        "diagnostic_file=hessian.json"
    )
    assert done.returncode == 0, done.stderr
    hessian = json.loads((tmp_path / "hessian.json").read_text())["Hessian"]
    expected = -np.diag(1 / np.array([VARIANCE_LOGIT, *SD**2]))
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-9)
    _, names, rows = read_csv(tmp_path / "output.csv")
    assert names[:2] == ["log_p__", "log_q__"]
    assert rows.shape == (3, 2 + 7)


def test_pathfinder_draws_near_the_posterior(model):
    fit = model.pathfinder(DATA, draws=4000, seed=1, sig_figs=18)
    assert fit.is_resampled
    # Resampled draws repeat: only the distinct ones count.
    effective = len(np.unique(fit.theta)) / 4
    assert_moments(logit(fit.theta), logit(MEAN), VARIANCE_LOGIT, effective)
    assert_transformed(fit.stan_variables())


def test_pathfinder_follows_its_settings(model, ask, tmp_path):
    raw = model.pathfinder(
        DATA,
        num_paths=3,
        num_single_draws=11,
        psis_resample=False,
        calculate_lp=False,
        max_lbfgs_iters=50,
        num_elbo_draws=5,
        seed=1,
    )
    assert raw.draws().shape[0] == 33
    assert not raw.is_resampled
    single = model.pathfinder(DATA, num_paths=1, num_single_draws=11, draws=11, seed=1)
    assert single.draws().shape[0] == 11
    done = ask(
        "pathfinder num_paths=2 num_draws=5 num_psis_draws=6 save_single_paths=1 "
        "data file=data.json output file=some.csv"
    )
    assert done.returncode == 0, done.stderr
    assert len(read_csv(tmp_path / "some.csv")[2]) == 6
    for path in ("some_path_1", "some_path_2"):
        assert not (tmp_path / f"{path}.csv").exists()
        iterations = json.loads((tmp_path / f"{path}.json").read_text())
        assert {"iter", "unconstrained_parameters", "grads"} <= set(iterations["0"])
    done = ask(
        "pathfinder num_paths=2 num_draws=5 psis_resample=0 save_single_paths=1 "
        "data file=data.json output file=all.csv"
    )
    assert done.returncode == 0, done.stderr
    assert len(read_csv(tmp_path / "all.csv")[2]) == 10
    for path in ("all_path_1", "all_path_2"):
        assert len(read_csv(tmp_path / f"{path}.csv")[2]) == 5


@pytest.mark.parametrize("algorithm", ["meanfield", "fullrank"])
def test_variational_draws_near_the_posterior(model, algorithm):
    fit = model.variational(
        DATA,
        algorithm=algorithm,
        draws=500,
        seed=1,
        require_converged=False,
        sig_figs=18,
    )
    assert fit.variational_sample.shape == (500, 3 + 7)
    draws = dict(zip(fit.column_names, fit.variational_sample.T, strict=True))
    assert_transformed(draws)
    # ADVI stops early; it is right to a fraction of a standard deviation.
    assert abs(logit(draws["theta"]).mean() - logit(MEAN)) < 0.5 * VARIANCE_LOGIT**0.5
    assert (
        abs(np.log([draws["z[1]"].std() / SD[0], draws["z[2]"].std() / SD[1]])) < 0.7
    ).all()
    assert fit.eta in (0.01, 0.1, 1, 10, 100)


def test_generated_quantities_follow_the_draws_of_a_fit(model):
    fit = model.sample(
        DATA,
        seed=1,
        chains=2,
        iter_sampling=500,
        iter_warmup=300,
        save_warmup=True,
        **QUIET,
    )
    again = model.generate_quantities(DATA, previous_fit=fit, seed=2, sig_figs=18)
    # The draws went to the unconstrained scale and back.
    np.testing.assert_allclose(again.stan_variable("twice"), fit.twice, rtol=1e-14)
    assert (again.stan_variable("draw") != fit.draw).any()
    successes = again.stan_variable("draw").sum()
    spread = (fit.theta * (1 - fit.theta)).sum() ** 0.5
    assert abs(successes - fit.theta.sum()) < 4 * spread
    assert again.draws(inc_warmup=True).shape[0] == 800


def test_generated_quantities_of_many_chains_in_one_process(ask, tmp_path):
    fit = ask(
        "sample num_chains=2 num_samples=9 num_warmup=50 data file=data.json "
        "output file=fit.csv sig_figs=18"
    )
    assert fit.returncode == 0, fit.stderr
    done = ask(
        "generate_quantities fitted_params=fit.csv num_chains=2 data file=data.json "
        "output file=new.csv sig_figs=18"
    )
    assert done.returncode == 0, done.stderr
    for chain in (1, 2):
        _, names, draws = read_csv(tmp_path / f"fit_{chain}.csv")
        _, new_names, new = read_csv(tmp_path / f"new_{chain}.csv")
        assert new_names == ["twice", "shifted", "draw"]
        twice = draws[:, names.index("twice")]
        np.testing.assert_allclose(new[:, 0], twice, rtol=1e-14)


@pytest.mark.parametrize("jacobian", [False, True])
def test_log_prob_and_its_gradient(model, jacobian):
    theta, z = 0.3, np.array([0.5, -2.0])
    found = model.log_prob(
        {"theta": theta, "z": z.tolist()}, DATA, jacobian=jacobian, sig_figs=18
    )
    a, b = (A, B) if jacobian else (A - 1, B - 1)
    value = a * np.log(theta) + b * np.log1p(-theta) - 0.5 * ((z / SD) ** 2).sum()
    assert list(found.columns) == ["lp__", "g_theta", "g_z.1", "g_z.2"]
    expected = [value, a - (a + b) * theta, *(-z / SD**2)]
    np.testing.assert_allclose(found.to_numpy()[0], expected, rtol=1e-12)


def test_log_prob_at_many_unconstrained_parameters(ask, tmp_path):
    points = np.array([[0.3, 0.5, -2.0], [-1.0, 0.0, 3.0]])
    (tmp_path / "at.json").write_text(json.dumps({"params_r": points.tolist()}))
    done = ask(
        "log_prob unconstrained_params=at.json data file=data.json output sig_figs=18"
    )
    assert done.returncode == 0, done.stderr
    theta = 1 / (1 + np.exp(-points[:, 0]))
    expected = A * np.log(theta) + B * np.log1p(-theta)
    expected -= 0.5 * ((points[:, 1:] / SD) ** 2).sum(axis=1)
    np.testing.assert_allclose(
        read_csv(tmp_path / "output.csv")[2][:, 0], expected, rtol=1e-12
    )


def test_diagnose_compares_gradients(model):
    table = model.diagnose(inits={"theta": 0.3, "z": [0.5, -2]}, data=DATA, sig_figs=12)
    # Stan prints this table with six figures.
    np.testing.assert_allclose(table["value"], [logit(0.3), 0.5, -2], rtol=1e-5)
    expected = [A - (A + B) * 0.3, -0.5, 2 / 9]
    np.testing.assert_allclose(table["model"], expected, rtol=1e-5)
    np.testing.assert_allclose(table["finite_diff"], expected, rtol=1e-5)
    assert (abs(table["error"]) < 1e-6).all()


def test_output_opens_and_ends_as_that_of_cmdstan(ask, tmp_path):
    done = ask("sample num_samples=2 num_warmup=20 data file=data.json random seed=4")
    assert done.returncode == 0, done.stderr
    comments = read_csv(tmp_path / "output.csv")[0]
    settings = done.stdout.split("\n\n")[0].splitlines()
    assert comments[:4] == [
        "# stan_version_major = 2",
        "# stan_version_minor = 39",
        "# stan_version_patch = 0",
        "# model = driver_test_model",
    ]
    assert re.fullmatch(r"# start_datetime = [-\d]+ [:\d]+ UTC", comments[4])
    assert comments[5 : 5 + len(settings)] == [f"# {line}" for line in settings]
    assert settings[:13] == [
        "method = sample (Default)",
        "  sample",
        "    num_samples = 2",
        "    num_warmup = 20",
        "    save_warmup = false (Default)",
        "    thin = 1 (Default)",
        "    adapt",
        "      engaged = true (Default)",
        "      gamma = 0.05 (Default)",
        "      delta = 0.8 (Default)",
        "      kappa = 0.75 (Default)",
        "      t0 = 10 (Default)",
        "      init_buffer = 75 (Default)",
    ]
    rest = comments[5 + len(settings) :]
    assert rest[0] == "# stanc_version = stanc3 v2.39.0"
    assert rest[2] == "# Adaptation terminated"
    assert rest[3].startswith("# Step size = ")
    assert rest[4] == "# Diagonal elements of inverse mass matrix:"
    assert re.match(r"#  Elapsed Time: [\d.]+ seconds \(Warm-up\)", rest[7])


def test_configuration_and_metric_are_saved_as_json(ask, tmp_path):
    done = ask(
        "sample num_samples=2 num_warmup=20 adapt save_metric=1 delta=0.9 id=7 "
        "data file=data.json output file=o.csv save_cmdstan_config=1"
    )
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "o_config.json").read_text())
    assert config["model_name"] == "driver_test_model"
    assert config["id"] == 7
    assert config["data"] == {"file": "data.json"}
    sample = config["method"]["sample"]
    assert config["method"]["value"] == "sample"
    assert sample["num_samples"] == 2
    assert sample["save_warmup"] is False
    assert sample["adapt"]["delta"] == 0.9
    assert sample["algorithm"]["hmc"]["metric"] == {"value": "diag_e"}
    metric = json.loads((tmp_path / "o_metric.json").read_text())
    assert metric["metric_type"] == "diag_e"
    assert len(metric["inv_metric"]) == 3
    stepsize = read_csv(tmp_path / "o.csv")[2][0, 2]
    assert metric["stepsize"] == pytest.approx(stepsize, rel=1e-5)


def test_significant_figures_and_refresh(ask, tmp_path):
    command = (
        "sample num_samples=30 num_warmup=30 num_chains=2 data file=data.json "
        "random seed=4 output file=o.csv"
    )
    few = ask(f"{command} sig_figs=3 refresh=20")
    assert re.findall(r"Chain \[1\] Iteration: +(\d+) / 60", few.stdout) == [
        *("1", "20", "31", "50", "60")
    ]
    short = read_csv(tmp_path / "o_2.csv")[2]
    silent = ask(f"{command} sig_figs=18 refresh=0")
    assert "Iteration" not in silent.stdout
    long = read_csv(tmp_path / "o_2.csv")[2]
    assert (short != long).any()
    np.testing.assert_array_equal(
        short, [[float(f"{value:.3g}") for value in row] for row in long]
    )


def test_help_names_arguments_and_their_values(ask):
    done = ask("sample adapt help")
    assert done.returncode == 0
    assert "Valid subarguments: engaged, gamma, delta" in done.stdout
    done = ask("help-all")
    assert done.returncode == 0
    assert "delta=<double>" in done.stdout
    assert "0 < delta < 1" in done.stdout


DATA_GIVEN = "data file=data.json"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", ""),
        ("id=2", "A method must be specified!"),
        ("samples", "samples is either mistyped or misplaced."),
        ("sample num_sample=3", "num_sample=3 is either mistyped or misplaced."),
        (
            "sample max_depth=3",
            "method=sample algorithm=hmc engine=nuts max_depth=<int>",
        ),
        ("sample num_samples=-3", '-3 is not a valid value for "num_samples"'),
        ("sample num_samples=1.5", '1.5 is not a valid value for "num_samples"'),
        ("sample num_samples=", ' is not a valid value for "num_samples"'),
        ("sample num_samples=9999999999", 'is not a valid value for "num_samples"'),
        ("sample adapt delta=1", '1 is not a valid value for "delta"'),
        ("sample adapt delta=nan", 'nan is not a valid value for "delta"'),
        ("sample algorithm=gibbs", "Valid values: hmc, fixed_param"),
        ("sample save_warmup=maybe", "[0, 1, false, true]"),
        ("sample num_threads=2", "STAN_THREADS=true"),
        ("sample random seed=4294967296", '"seed"'),
        ("sample id=1 id=2", "id=2 is either mistyped or misplaced."),
        ("sample data file=no.json", 'Cannot read file "no.json": No such file'),
        ("sample data file=.", 'Cannot read file "."'),
        ("sample data file=data.csv", "must end in .json or .R"),
        ("sample data file=broken.json", 'Error reading file "broken.json"'),
        ("sample data file=empty.json", 'Error reading file "empty.json"'),
        ("sample", "variable does not exist"),
        (
            "sample data file=wrong.json",
            "y[2] is 2, but must be less than or equal to 1",
        ),
        (f"sample {DATA_GIVEN} init=no.json", 'Cannot read file "no.json"'),
        (f"sample {DATA_GIVEN} init=-1", "init must be a file or a number >= 0"),
        (f"sample {DATA_GIVEN} init=outside.json", "nitialization"),
        ("sample data file=impossible.json", "nothing is possible here"),
        (f"sample {DATA_GIVEN} output file=no/o.csv", 'Cannot write file "no/o.csv"'),
        (f"sample {DATA_GIVEN} output file=full.csv", 'Cannot write file "full.csv"'),
        (
            f"sample {DATA_GIVEN} output draws_file=full.csv",
            'Cannot write file "full.csv"',
        ),
        (f"sample num_warmup=0 {DATA_GIVEN}", "num_warmup"),
        (f"sample adapt engaged=0 save_metric=1 {DATA_GIVEN}", "save_metric"),
        (f"sample algorithm=hmc metric_file=short.json {DATA_GIVEN}", "inv_metric"),
        (f"sample num_chains=2 algorithm=hmc engine=static {DATA_GIVEN}", "static"),
        (f"laplace {DATA_GIVEN}", "Missing argument mode"),
        (f"laplace mode=draws.csv {DATA_GIVEN}", "not the output of method optimize"),
        (f"generate_quantities {DATA_GIVEN}", "Missing argument fitted_params"),
        (
            f"generate_quantities fitted_params=draws.csv {DATA_GIVEN}",
            "its columns are not the parameters",
        ),
        (
            f"generate_quantities fitted_params=cut.csv {DATA_GIVEN}",
            "line 3 does not have 3 numbers",
        ),
        (f"log_prob {DATA_GIVEN}", "either the constrained or the unconstrained"),
        (
            f"log_prob unconstrained_params=short.json {DATA_GIVEN}",
            "the model has 3 parameters but 2 were found",
        ),
    ],
)
def test_what_cannot_be_done_fails_with_a_message(ask, tmp_path, command, message):
    for name, text in {
        "data.csv": "N,y\n",
        "broken.json": '{"N": 10, "y": [1,',
        "empty.json": "",
        "wrong.json": json.dumps(DATA | {"N": 2, "y": [1, 2]}),
        "impossible.json": json.dumps(DATA | {"impossible": 1}),
        "outside.json": json.dumps({"theta": 1.5}),
        "short.json": json.dumps({"inv_metric": [1, 1], "params_r": [1, 1]}),
        "draws.csv": "lp__,other\n0,1\n",
        "cut.csv": "theta,z.1,z.2\n0.1,1,1\n0.1,1\n",
    }.items():
        (tmp_path / name).write_text(text)
    os.symlink("/dev/full", tmp_path / "full.csv")
    done = ask(command)
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
