"""The engines that run Stan programs: CmdStan, found or set up, and stanli."""

from stanpool.engine.cmdstan.compile import compile_program, compile_programs
from stanpool.engine.cmdstan.run import sample
from stanpool.engine.install.cache import cache_folder, cache_size
from stanpool.engine.install.home import ensure, identity
from stanpool.engine.install.upkeep import Checkup, clean, doctor, setup
from stanpool.engine.values.settings import SampleSettings

__all__ = [
    "Checkup",
    "SampleSettings",
    "cache_folder",
    "cache_size",
    "clean",
    "compile_program",
    "compile_programs",
    "doctor",
    "ensure",
    "identity",
    "sample",
    "setup",
]
