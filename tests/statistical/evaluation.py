"""Stan programs at given parameters, compiled in plain doubles, many at a time.

``evaluate.hpp`` says why: what a test of densities needs of a program compiles in a
small part of the time that its executable takes, where many are compiled together.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import stanio

from stanpool.engine.install.cache import cache_folder, publish
from stanpool.engine.install.embedded import DESCRIPTION, set_up
from stanpool.engine.process import run
from stanpool.engine.values.program import StanProgram
from together import in_batches

# A compiler takes 1 GB of memory for the headers, and 50 MB more for each program.
TOGETHER = 20
FLAGS = ("-std=c++17", "-O0", "-w", "-D_REENTRANT", "-DBOOST_DISABLE_ASSERTS")


class Evaluator:
    """Evaluates Stan programs; those that are foreseen are compiled together."""

    def __init__(self, foreseen: Iterable[StanProgram] = ()) -> None:
        self._foreseen = set(foreseen)
        self._executables: dict[StanProgram, Path] = {}

    def __call__(
        self, program: StanProgram, data: Mapping[str, Any], at: Mapping[str, Any]
    ) -> dict[str, np.ndarray]:
        """Return the log density at ``at``, as ``lp__``, and what a draw would hold.

        The density has its constants, and no Jacobian.
        """
        if program not in self._executables:
            self._compile({program} | self._foreseen - self._executables.keys())
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch, name) for name in ("data.json", "parameters.json")]
            for file, values in zip(files, (data, at), strict=True):
                file.write_text(stanio.dump_stan_json(dict(values)))
            command = [self._executables[program], address(program), *files]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        header, row = done.stdout.splitlines()
        draw = np.array([row.split(",")], dtype=float)
        variables = stanio.parse_header(header).items()
        return {name: variable.extract_reshape(draw)[0] for name, variable in variables}

    def _compile(self, programs: Iterable[StanProgram]) -> None:
        batches = list(in_batches(programs, TOGETHER))
        # Processes that test together begin with different ones.
        first = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        for batch in batches[first % len(batches) :] + batches[: first % len(batches)]:
            self._executables |= dict.fromkeys(batch, compile_batch(batch))


def compile_batch(programs: Sequence[StanProgram]) -> Path:
    """Return the executable that evaluates programs, compiled now or earlier."""
    home = set_up(progress=False)
    own = Path(__file__).with_name("evaluate.hpp").read_text()
    names = {address(each): each for each in programs}
    entries = ", ".join(f'{{"{n}", evaluate<{n}_namespace::{n}>}}' for n in names)
    source = [*dict.fromkeys(each.header for each in programs), own]
    for name in names:
        source += [f"#define stan_model {name}", f'#include "{name}.hpp"']
        source += ["#undef stan_model"]
    source += [f"int main(int, char** given) {{ return run({{{entries}}}, given); }}\n"]

    def build(folder: Path) -> None:
        for name, program in names.items():
            file = folder / f"{name}.stan"
            file.write_text(program.compiled)
            options = ["--allow-undefined", f"--name={name}"]
            hpp = file.with_suffix(".hpp")
            run([str(home / "bin" / "stanc"), *options, f"--o={hpp}", str(file)])
        main = folder / "main.cpp"
        main.write_text("\n".join(source))
        run(
            [
                *("sh", "-c", '. make/compiler && cxx "$@"', "sh", *FLAGS),
                *("-Iinclude", str(main), "-o", str(folder / "evaluate")),
                *("-Llib", "-ltbb", "-lpthread", f"-Wl,-rpath,{home / 'lib'}"),
            ],
            cwd=home,
        )
        for left in [*folder.glob("*.hpp"), main]:
            left.unlink()

    parts = [json.loads((home / DESCRIPTION).read_text())["identity"], *source, *names]
    key = hashlib.sha256("\n".join(map(str, [*parts, *FLAGS])).encode()).hexdigest()
    return publish(cache_folder() / "programs" / key, build) / "evaluate"


def address(program: StanProgram) -> str:
    """Name a program by what it is."""
    text = program.compiled + program.header
    return "p" + hashlib.sha256(text.encode()).hexdigest()[:16]
