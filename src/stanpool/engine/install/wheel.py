"""Fetch a wheel from the user's package index, check it, unpack what is needed."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from stanpool.base.errors import EngineError
from stanpool.engine.process import run

WHERE_STANLI_IS = (
    "Linux with glibc 2.28 or newer on x86-64 and aarch64, macOS, Windows on x86-64"
)


@dataclass(frozen=True)
class Wheel:
    """A wheel of one project and version for this platform.

    Attributes
    ----------
    platform
        The platform tag that pip is asked for.
    digests
        SHA-256 of every wheel that will do, the fetched one first.
    python
        The version of CPython that the fetched one is for. It need not be the one that
        runs: the wheel is unpacked and never imported.
    """

    project: str
    version: str
    platform: str
    digests: tuple[str, ...]
    python: str

    @property
    def name(self) -> str:
        """``project-version``."""
        return f"{self.project}-{self.version}"


_REFUSED_BY_PIP = re.compile(r"Got\s+([0-9a-f]{64})")

# Those of all CPythons hold the same headers and stanc, and libraries made alike.
_HTTPSTAN = {
    ("Linux", "x86_64"): Wheel(
        "httpstan",
        "4.17.0",
        "manylinux2014_x86_64",
        (
            "7f73e29a415718ddc45e4703c0253a9d4adc6a21aa7110ccf36821a0f94202cd",
            "b05349967ad19a6970d4392732653b8ad98839cb3cb7a7e8a493ae70a264988e",
            "c118898d4f6c0f724748a8fcefab1a27f79d6c76a717e1e1e89838dd3719f3d2",
        ),
        "3.12",
    ),
    ("Darwin", "arm64"): Wheel(
        "httpstan",
        "4.17.0",
        "macosx_14_0_arm64",
        (
            "ce276d71c7bfe82f1c3f84f19a472dbccbbd3f23b265f7d09b68dd611457fad3",
            "f1559fce9ae4aaff28e5faaad368591a43d158869b378fc0ed2fea9731ee8510",
            "5a6cb7afec68f81b2595b4cfacaa53c09386ad8bf9dec477ac79a141e7516658",
        ),
        "3.12",
    ),
    # The last version that has wheels for these machines.
    ("Darwin", "x86_64"): Wheel(
        "httpstan",
        "4.13.0",
        "macosx_13_0_x86_64",
        (
            "d0c0807843d75629f61876319d5715e6a4efcc0c7b55fdbaa970baa86e7d2b09",
            "d74077e482391586da9510847bd56cb7feb6fbed8b32bfc741c9067f1bb5cd17",
            "046cc66f0adbf7e149361ccaa76a0e1478ed865490d1288eb91ef5007d4de590",
            "dfb5bc019969659d46ad3e4db93bf4c1cebb787f9b7fd32ca66fc38beca6c861",
        ),
        "3.11",
    ),
}
_STAN_OF_HTTPSTAN = {"4.17.0": "2.39.0", "4.13.0": "2.35.0"}

_ZIGLANG = {
    ("Linux", "x86_64"): Wheel(
        "ziglang",
        "0.12.1",
        "manylinux2010_x86_64",
        ("dcde948140b9e5776c2295b9b808fb4950df7ecadaecb54623dd701502be2017",),
        "3.11",
    ),
    ("Darwin", "arm64"): Wheel(
        "ziglang",
        "0.12.1",
        "macosx_12_0_arm64",
        ("e166297bc3fa4e8f7e4f8ca4fdd3e20fc6821a27fd3b6ca04268654a5003a8ba",),
        "3.11",
    ),
    ("Darwin", "x86_64"): Wheel(
        "ziglang",
        "0.12.1",
        "macosx_12_0_x86_64",
        ("5164d25349441c890b8cf928317a533e3338e3603285c394001ea12ba6af7687",),
        "3.11",
    ),
}


def httpstan() -> Wheel:
    """Return the wheel that carries Stan: headers, libraries and stanc."""
    return _for_this_platform(_HTTPSTAN)


def stan_version() -> str:
    """Return the version of Stan that the wheel for this platform carries."""
    return _STAN_OF_HTTPSTAN[httpstan().version]


def ziglang() -> Wheel:
    """Return the wheel that carries a C++ compiler."""
    return _for_this_platform(_ZIGLANG)


def check_given(files: Sequence[Path]) -> None:
    """Check that wheel files are ones that are known.

    Raises
    ------
    EngineError
        For the first that is not.
    """
    known = {*httpstan().digests, *ziglang().digests}
    for file in files:
        if sha256(file) not in known:
            raise EngineError(
                f"{str(file)!r} is not a wheel that the engine can be made of: its "
                f"SHA-256 is {sha256(file)}. Give the published wheel of "
                f"{httpstan().project} {httpstan().version} for {httpstan().platform} "
                f"(any CPython), or of {ziglang().project} {ziglang().version}."
            )


def _for_this_platform(known: Mapping[tuple[str, str], Wheel]) -> Wheel:
    here = (platform.system(), platform.machine())
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    if here not in known or musl:
        raise EngineError(
            f"the embedded engine does not exist for {here[0]} on {here[1]}"
            f"{' with musl' if musl else ''}: httpstan has wheels for Linux with glibc "
            "on x86-64 and for macOS only. `stanpool setup --official` installs "
            "CmdStan, and on Windows a C++ compiler; or see the CmdStan installation "
            "guide of the Stan project. stanpool then finds it by itself. Without a "
            "compiler, engine='stanli' fits models where there is a wheel of stanli: "
            f"{WHERE_STANLI_IS}."
        )
    return known[here]


def unpack(
    wheel: Wheel,
    keep: Callable[[str], bool],
    folder: Path,
    *,
    files: Sequence[Path] = (),
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Fill ``folder`` with the members of the wheel that ``keep`` accepts.

    Parameters
    ----------
    files
        Wheel files that the user gives; one of them is used if its SHA-256 fits,
        and nothing is fetched then.

    Raises
    ------
    EngineError
        If the wheel cannot be fetched or is not the one that is known.
    """
    given = next((file for file in files if sha256(file) in wheel.digests), None)
    if given:
        _extract(given, keep, folder)
        return
    with tempfile.TemporaryDirectory(dir=folder) as download:
        _extract(_fetch(wheel, Path(download), tick), keep, folder)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(wheel: Wheel, folder: Path, tick: Callable[[], None]) -> Path:
    # By digest, not by version alone: an index may have several files of one version,
    # built anew later, and which of them pip would take is anyone's guess.
    hashes = "".join(f" --hash=sha256:{digest}" for digest in wheel.digests)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{wheel.project}=={wheel.version}{hashes}\n", "utf-8")
    try:
        run(
            [
                *pip_command(),
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--no-deps",
                "--only-binary=:all:",
                f"--platform={wheel.platform}",
                f"--python-version={wheel.python}",
                "--implementation=cp",
                f"--abi=cp{wheel.python.replace('.', '')}",
                "--abi=none",
                f"--dest={folder}",
                "--require-hashes",
                f"--requirement={wanted}",
            ],
            cwd=folder,  # not the user's: Python, pip and uv read files of theirs there
            env=_pip_environment(),
            tick=tick,
        )
    except EngineError as error:
        if other := _REFUSED_BY_PIP.search(str(error)):
            raise _other_file(wheel, other[1]) from error
        raise EngineError(
            f"cannot fetch {wheel.name} from the package index.\n{error}\n"
            "Check the network and pip's index settings. On a machine without a "
            f"network, copy the wheel of {wheel.project} {wheel.version} for "
            f"{wheel.platform} there and run `stanpool setup --wheel FILE`."
        ) from error
    file = next(folder.glob("*.whl"))
    if (digest := sha256(file)) not in wheel.digests:  # whichever pip it was
        file.unlink()
        raise _other_file(wheel, digest)
    return file


def _other_file(wheel: Wheel, digest: str) -> EngineError:
    """Say that the index has served something else."""
    return EngineError(
        f"{wheel.name} from the package index has SHA-256 {digest}, expected "
        f"{wheel.digests[0]}. It was removed. Try again; if it happens again, the "
        "index serves a file that is not the published one: do not use it."
    )


def _pip_environment() -> dict[str, str]:
    """Let pip work outside of environments, and from the index that uv is told of."""
    variables = {"PIP_REQUIRE_VIRTUALENV": "false"}
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    if index and "PIP_INDEX_URL" not in os.environ:
        variables["PIP_INDEX_URL"] = index
    return variables


def pip_command() -> list[str]:
    """Return the words that run pip, also where this Python has none of its own.

    What is called pip in the current folder is none: anybody may have put it there.
    Environments made by uv have no pip; then the copy of pip that comes with Python
    (ensurepip) serves, without being installed; then uv's, then any on the path.

    Raises
    ------
    EngineError
        If there is no pip anywhere.
    """
    if _has_pip():
        return [sys.executable, "-P", "-m", "pip"]
    bundled = _bundled_pip()
    if bundled is not None:
        return [sys.executable, "-P", str(bundled / "pip")]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    for name in ("pip3", "pip"):
        if pip := shutil.which(name):
            return [pip]
    raise EngineError(
        "there is no pip to fetch the engine with: not in this Python "
        f"({sys.executable!r}) and not on the path. Install pip (`python -m ensurepip` "
        "or `uv pip install pip`), or fetch the wheel of "
        f"{httpstan().name} by hand and run `stanpool setup --wheel FILE`."
    )


def _has_pip() -> bool:
    """Say whether this Python has pip, by a look at where it installs packages."""
    return PathFinder.find_spec("pip", _trusted_path()) is not None


def _bundled_pip() -> Path | None:
    spec = PathFinder.find_spec("ensurepip", _trusted_path())
    if spec is None or spec.origin is None:
        return None
    wheels = sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))
    return wheels[-1] if wheels else None


def _trusted_path() -> list[str]:
    """Return where Python looks for modules, but for the current folder."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        here = None
    return [each for each in sys.path if each and Path(each).resolve() != here]


def _extract(file: Path, keep: Callable[[str], bool], folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if keep(member.filename) and not member.is_dir():
                path = archive.extract(member, folder)
                os.chmod(path, (member.external_attr >> 16 & 0o755) | 0o644)
