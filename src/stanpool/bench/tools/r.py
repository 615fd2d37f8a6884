"""Packages of R: brms, whose programs stanli or rstan runs, and lme4.

R reads the rows from a file and the formula as it is; brms is told the same priors.
What it writes is its own: a program in Stan, and data. rstan samples in one process.
lme4 estimates one point, of which only the time is compared.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.arrays import Array
from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling
from stanpool.bench.tools.tool import Drawn, Tool
from stanpool.bench.tools.written import means, plain_model
from stanpool.engine.interpreter.engine import Stanli
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings
from stanpool.model.terms.names import GroupNames

if TYPE_CHECKING:
    import pandas as pd

_FAMILIES = {
    "gaussian": "gaussian()",
    "bernoulli": "bernoulli()",
    "ordinal": "cumulative()",
    "negative_binomial": "negbinomial()",
}
_ESTIMATORS = {
    "gaussian": "lme4::lmer(f, d)",
    "bernoulli": "lme4::glmer(f, d, family = binomial)",
    "negative_binomial": "lme4::glmer.nb(f, d, weights = w)",
    "ordinal": "ordinal::clmm(f, data = transform(d, y = factor(y)))",
}
_READ = """
d <- read.csv("rows.csv", stringsAsFactors = TRUE)
for (name in c(WORDS)) d[[name]] <- factor(d[[name]])
"""
_BRMS = (
    """
suppressMessages(library(brms))
"""
    + _READ
    + """
p <- c(PRIORS)
f <- bf(FORMULA)
writeLines(make_stancode(f, data = d, family = FAMILY, prior = p), "program.stan")
s <- make_standata(f, data = d, family = FAMILY, prior = p)
s <- s[!grepl("^(prior_only|J_[0-9]+_dummy)$", names(s))]
class(s) <- "list"
s$prior_only <- 0L
for (name in grep("^(J|W|Z)_", names(s))) s[[name]] <- as.array(c(s[[name]]))
for (name in c("Y", "weights", "offsets", "se")) {
  if (name %in% names(s)) s[[name]] <- as.array(c(s[[name]]))
}
writeLines(jsonlite::toJSON(s, auto_unbox = TRUE, digits = NA, matrix = "rowmajor"),
           "data.json")
e <- brm(f, data = d, family = FAMILY, prior = p, empty = TRUE)
writeLines(jsonlite::toJSON(list(groups = e$ranef[, c("id", "group", "coef")],
                                 predictors = colnames(s$X))), "names.json")
"""
)
_RSTAN = """
suppressMessages(library(rstan))
rstan_options(boost_lib = "/usr/include", auto_write = TRUE)
s <- jsonlite::fromJSON("data.json")
if (!is.null(s$X)) s$X <- matrix(s$X, nrow = s$N)
start <- proc.time()
m <- stan_model("program.stan")
compiled <- proc.time()
DRAW
fitted <- proc.time()
writeLines(jsonlite::toJSON(list(
  compile = (compiled - start)[["elapsed"]],
  compile_cpu = sum((compiled - start)[c(1, 2, 4, 5)]),
  fit = (fitted - compiled)[["elapsed"]],
  fit_cpu = sum((fitted - compiled)[c(1, 2, 4, 5)])), auto_unbox = TRUE), "times.json")
"""
_DRAW = """
r <- sampling(m, data = s, chains = CHAINS, iter = ITER, warmup = WARMUP, seed = SEED,
              cores = 1, refresh = 0)
a <- as.array(r)
writeLines(dimnames(a)[[3]], "columns.txt")
writeBin(as.vector(a), "draws.bin")
total <- function(name, with_warmup) sum(sapply(
  get_sampler_params(r, with_warmup), function(x) sum(x[, name])))
writeLines(as.character(c(total("divergent__", FALSE), total("n_leapfrog__", TRUE),
                          total("n_leapfrog__", FALSE))), "sampler.txt")
"""
_LME4 = (
    _READ
    + """
suppressMessages(library(lme4))
f <- FORMULA
start <- proc.time()
m <- suppressWarnings(ESTIMATE)
spent <- proc.time() - start
writeLines(jsonlite::toJSON(list(fit = spent[["elapsed"]],
  fit_cpu = sum(spent[c(1, 2, 4, 5)])), auto_unbox = TRUE), "times.json")
"""
)
_SCALES = (("sigma", "sigma"), ("phi", "shape"))  # ours, and brms's
_OLD_ARRAY = re.compile(
    r"^(\s*)((?:int|real|vector|row_vector|matrix)(?:<[^>]*>)?(?:\[[^\]]*\])?)\s+"
    r"(\w+)\[([^\]]*)\];",
    re.MULTILINE,
)
_OLD_ARGUMENT = re.compile(r"\b(int|real)\[\] (\w+)")


@cache
def r_packages(names: tuple[str, ...]) -> list[str]:
    """Return the packages of R that are not installed; all without R."""
    if which("Rscript") is None:
        return list(names)
    code = "cat(rownames(installed.packages()))"
    found = subprocess.run(["Rscript", "-e", code], capture_output=True, check=False)
    return [name for name in names if name not in found.stdout.decode().split()]


@dataclass(frozen=True, eq=False)
class _InR:
    """A model in R, and the folder of its files."""

    plain: Model
    benchmark: Benchmark
    folder: tempfile.TemporaryDirectory[str]

    @property
    def path(self) -> Path:
        return Path(self.folder.name)

    def run(self, script: str, **words: object) -> None:
        """Run a script in the folder, with words in capitals replaced."""
        for word, text in words.items():
            script = re.sub(rf"\b{word.upper()}\b", str(text).replace("\\", ""), script)
        (self.path / "script.R").write_text(script, "utf-8")
        subprocess.run(["Rscript", "script.R"], cwd=self.path, check=True)

    def read(self, name: str) -> Any:
        return json.loads((self.path / name).read_text("utf-8"))


def _build(benchmark: Benchmark, data: pd.DataFrame) -> _InR:
    folder = tempfile.TemporaryDirectory()
    data.to_csv(Path(folder.name) / "rows.csv", index=False)
    return _InR(plain_model(benchmark, data), benchmark, folder)


def _words(built: _InR) -> dict[str, str]:
    """Return what scripts are told: the formula, and which columns are factors."""
    factors = {name.partition("[")[0] for name in built.plain.design.coefficients}
    words = [
        f'"{name}"'
        for name in sorted(factors)
        if f"{name}[" in " ".join(built.plain.design.coefficients) and ":" not in name
    ]
    return {"words": ", ".join(words), "formula": built.benchmark.formula}


def _r_name(coefficient: str) -> str:
    """Return how R calls a coefficient: ``dept[3]`` is ``dept3``."""
    return re.sub(r"[\[\]]", "", coefficient)


def _priors(built: _InR) -> str:
    """Write the priors in force for brms."""
    design, lines = built.plain.design, []

    def state(name: str, **options: str) -> None:
        stated = ", ".join(f'{key} = "{value}"' for key, value in options.items())
        prior = str(built.plain.priors[name].prior)
        lines.append(f'set_prior("{prior}", {stated})')

    if not design.categories:
        state("Intercept", **{"class": "Intercept"})
    for name in design.coefficients:
        state(f"beta[{name}]", **{"class": "b", "coef": _r_name(name)})
    for factor in design.factors:
        names = GroupNames.of(factor.factor)
        for name in factor.coefficients:
            where = {"class": "sd", "group": factor.factor, "coef": _r_name(name)}
            state(f"{names.tau}[{name}]", **where)
        if names.Omega in [row.parameter for row in built.plain.priors]:
            state(names.Omega, **{"class": "cor", "group": factor.factor})
    stated = [row.parameter for row in built.plain.priors]
    for name, theirs in _SCALES:
        if name in stated:
            state(name, **{"class": theirs})
    cutpoints = [name for name in stated if name.startswith("cutpoint")]
    if cutpoints:
        state(cutpoints[0], **{"class": "Intercept"})
    return ",\n  ".join(lines)


def _write(built: _InR, _: Sampling) -> _InR:
    """Have brms write its program and data."""
    family = _FAMILIES[built.benchmark.family]
    built.run(_BRMS, priors=_priors(built), family=family, **_words(built))
    return built


def _fit_stanli(built: _InR, sampling: Sampling, seed: int) -> Drawn:
    """Interpret the program of brms by stanli, after Stan's present syntax."""
    source = (built.path / "program.stan").read_text("utf-8")
    source = _OLD_ARRAY.sub(r"\1array[\4] \2 \3;", source)
    source = _OLD_ARGUMENT.sub(r"array[] \1 \2", source)
    settings = SampleSettings(
        chains=sampling.chains,
        draws=sampling.draws,
        warmup=1000 if sampling.warmup is None else sampling.warmup,
        seed=seed,
        parallel_chains=min(sampling.chains, sampling.cores),
        save_warmup=True,
        engine="stanli",
    )
    program = StanProgram("brms", source)
    with Stanli().load(program, built.read("data.json"), progress=False) as loaded:
        raw = loaded.sample(settings, progress=False)
        steps = [
            int(part.sampler_variable("n_leapfrog__").sum())
            for part in (raw.of_warmup, raw.after_warmup)
        ]
        after = raw.after_warmup
        draws = {name: after.stan_variable(name) for name in _drawn_of(built)}
    diverging = int(after.sampler_variable("divergent__").sum())
    return Drawn(draws, diverging, sum(steps), steps[0])


def _drawn_of(built: _InR) -> list[str]:
    """Return the names of brms's variables that are compared."""
    design = built.plain.design
    stated = [row.parameter for row in built.plain.priors]
    wanted = ["b_Intercept", *(["b"] if design.coefficients else [])]
    groups = built.read("names.json")["groups"]
    for number in sorted({each["id"] for each in groups}):
        own = [each for each in groups if each["id"] == number]
        wanted += [f"sd_{number}", *(f"r_{number}_{k + 1}" for k in range(len(own)))]
        if GroupNames.of(own[0]["group"]).Omega in stated:
            wanted.append(f"Cor_{number}")
    wanted += [theirs for ours, theirs in _SCALES if ours in stated]
    return wanted


def _quantities(built: _InR, drawn: Drawn) -> dict[str, Array]:
    """Return the quantities of stanpool's posterior from brms's."""
    draws: Mapping[str, Array] = drawn.draws
    design, found = built.plain.design, {}
    listed = built.read("names.json")
    if design.coefficients:
        theirs = [name for name in listed["predictors"] if name != "Intercept"]
        places = [theirs.index(_r_name(name)) for name in design.coefficients]
        found["beta"] = draws["b"][..., places]
    found["cutpoint" if design.categories else "Intercept"] = draws["b_Intercept"]
    for number in sorted({each["id"] for each in listed["groups"]}):
        own = [each for each in listed["groups"] if each["id"] == number]
        names = GroupNames.of(own[0]["group"])
        factor = next(x for x in design.factors if x.factor == own[0]["group"])
        found[names.tau] = draws[f"sd_{number}"]
        if f"Cor_{number}" in draws:
            found[names.Omega] = draws[f"Cor_{number}"]
        u = [draws[f"r_{number}_{k + 1}"] for k in range(len(own))]
        found[names.b] = np.stack(u, axis=3) + means(
            found, factor.coefficients, design.coefficients
        )
    return found | {ours: draws[name] for ours, name in _SCALES if name in draws}


def _fit_rstan(built: _InR, sampling: Sampling, seed: int) -> Drawn:
    """Sample by rstan, as brms does by default."""
    warmup = 1000 if sampling.warmup is None else sampling.warmup
    start = time.perf_counter()
    before = _cpu_of_children()
    built.run(
        _RSTAN.replace("DRAW\n", _DRAW),
        chains=sampling.chains,
        iter=warmup + sampling.draws,
        warmup=warmup,
        seed=seed,
    )
    times = built.read("times.json")
    columns = (built.path / "columns.txt").read_text("utf-8").split()
    flat = np.fromfile(built.path / "draws.bin")
    array = flat.reshape(len(columns), sampling.chains, sampling.draws)
    draws = {name: _variable(array, columns, name) for name in _drawn_of(built)}
    diverging, every, after = map(
        int, map(float, (built.path / "sampler.txt").read_text("utf-8").split())
    )
    return Drawn(
        draws,
        diverging,
        every,
        every - after,
        compile_seconds=time.perf_counter() - start - times["fit"],
        compile_cpu_seconds=_cpu_of_children() - before - times["fit_cpu"],
    )


def _variable(array: Array, columns: list[str], name: str) -> Array:
    """Return ``(chain, draw, ...)`` of a variable from ``(column, chain, draw)``."""
    own = [k for k, each in enumerate(columns) if each.partition("[")[0] == name]
    found = np.moveaxis(array[own], 0, 2)
    if columns[own[0]] == name:
        return found[..., 0]
    shape = [int(each) for each in columns[own[-1]].partition("[")[2][:-1].split(",")]
    return found.reshape(*found.shape[:2], *shape[::-1]).transpose(
        0, 1, *range(1 + len(shape), 1, -1)
    )


def _fit_lme4(built: _InR, _: Sampling, __: int) -> Drawn:
    start, before = time.perf_counter(), _cpu_of_children()
    words = _words(built)
    words["formula"] = words["formula"].replace("| weights(w) ", "")  # told apart
    built.run(_LME4, estimate=_ESTIMATORS[built.benchmark.family], **words)
    times = built.read("times.json")
    return Drawn(
        None,
        compile_seconds=time.perf_counter() - start - times["fit"],
        compile_cpu_seconds=_cpu_of_children() - before - times["fit_cpu"],
    )


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _as_it_is(built: _InR, _: Sampling) -> _InR:
    return built


R = (
    Tool(
        "brms-stanli",
        "the program of brms, interpreted by stanli",
        ("R:brms", "R:jsonlite", "stanli"),
        _build,
        _write,
        _fit_stanli,
        _quantities,
    ),
    Tool(
        "brms",
        "the program of brms, compiled and sampled by rstan in one process",
        ("R:brms", "R:jsonlite", "R:rstan"),
        _build,
        _write,
        _fit_rstan,
        _quantities,
    ),
    Tool(
        "lme4",
        "a point estimate by lme4 (of ordinal outcomes, by clmm of ordinal)",
        ("R:lme4", "R:jsonlite", "R:ordinal"),
        _build,
        _as_it_is,
        _fit_lme4,
    ),
)
