"""An engine in miniature, set up in a second: what a set-up does, without Stan.

The wheel holds stubs: an empty header, libraries with nothing in them and a stanc that
writes a C++ function. The real pip fetches it from a folder, the real compiler and
the real makefile build with it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from stanpool.engine.install import embedded, toolchain, wheel

STANC = """#!/bin/sh
for word; do
  case $word in
    --o=*) out=${word#--o=} ;;
    --filename-in-msg=*) said=${word#*=} ;;
    *) program=$word ;;
  esac
done
[ -n "${out-}" ] || exit 0 # asked for what it declares
grep -q slowly "$program" && sleep 1
grep -q refuse "$program" && { echo "Syntax error in '$said'" >&2; exit 1; }
{
  echo '#include <stan/model/model_header.hpp>'
  echo "const char* answer() { return \\"$(cat "$program") of $said\\"; }"
} > "$out"
"""

# Headers of the library of C++ would take most of the time, here and in the probe.
HEADER = """
#ifndef MODEL_HEADER
#define MODEL_HEADER
struct vector {};
#endif
"""

DRIVER = """
extern "C" int puts(const char*);
const char* answer();
int main() { puts(answer()); }
"""

PROBE = "int main() {}"

PLATFORM_TAG = "manylinux2014_x86_64"

# What a process of its own needs to know of the miniature.
SET_UP = """
import sys
from pathlib import Path
import miniature_engine
miniature_engine.pretend(Path(sys.argv[1]))
from stanpool.engine.install.embedded import set_up
print(set_up())
"""

COMPILE = """
import sys
from pathlib import Path
import miniature_engine
miniature_engine.pretend(Path(sys.argv[1]))
from stanpool.engine import compile_program
print(compile_program("42 slowly", name="program"))
"""


def forget(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Unset a variable, and what is set by an engine meanwhile when all is undone."""
    monkeypatch.setenv(variable, "")
    monkeypatch.delenv(variable)


def make_wheel(folder: Path) -> Path:
    """Write a wheel and a driver of stubs into ``folder``; return the wheel."""
    (folder / "driver").mkdir(parents=True)
    (folder / "driver" / "main.cpp").write_text(DRIVER)
    library = folder / "libtbb.so"
    subprocess.run(
        ["g++", "-shared", "-x", "c++", "/dev/null", "-o", library], check=True
    )
    empty_archive = b"!<arch>\n"
    members = {
        "httpstan/include/stan/model/model_header.hpp": HEADER.encode(),
        "httpstan/include/pybind11/pybind11.h": b"",
        "httpstan/include/boost/asio/asio.hpp": b"",
        "httpstan/include/boost/math/math.hpp": b"",
        "httpstan/stan_services.o": b"",
        "httpstan/stanc": STANC.encode(),
        "httpstan/lib/libtbb.so": library.read_bytes(),
        **{
            f"httpstan/lib/libsundials_{name}.a": empty_archive
            for name in ("nvecserial", "cvodes", "idas", "kinsol")
        },
        "httpstan-4.17.0.dist-info/METADATA": (
            b"Metadata-Version: 2.1\nName: httpstan\nVersion: 4.17.0\n"
        ),
        "httpstan-4.17.0.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"
            b"Tag: cp312-cp312-" + PLATFORM_TAG.encode() + b"\n"
        ),
    }
    record = "".join(
        f"{name},sha256={_record_digest(content)},{len(content)}\n"
        for name, content in members.items()
    )
    members["httpstan-4.17.0.dist-info/RECORD"] = record.encode()
    file = folder / f"httpstan-4.17.0-cp312-cp312-{PLATFORM_TAG}.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            information = zipfile.ZipInfo(name)
            executable = name in ("httpstan/stanc", "httpstan/lib/libtbb.so")
            information.external_attr = (0o755 if executable else 0o644) << 16
            archive.writestr(information, content)
    return file


def pretend(folder: Path) -> None:
    """Make this process take the miniature in ``folder`` for the published wheel."""
    file = next(folder.glob("*.whl"))
    here = (platform.system(), platform.machine())
    wheel._HTTPSTAN = {
        here: wheel.Wheel(
            "httpstan", "4.17.0", PLATFORM_TAG, (wheel.sha256(file),), "3.12"
        )
    }
    embedded._DRIVER = folder / "driver"
    toolchain._PROBE = PROBE


def start_set_up(
    folder: Path,
    environment: Mapping[str, str],
    cwd: Path | None = None,
    code: str = SET_UP,
) -> subprocess.Popen[str]:
    """Set the miniature up in a process of its own, or do other things with it."""
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "STANPOOL_ENGINE": "embedded",
            **index_of(folder),
            **environment,
        },
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def index_of(folder: Path) -> dict[str, str]:
    """Return the variables that make pip take wheels from ``folder`` alone."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
    }


def _record_digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
