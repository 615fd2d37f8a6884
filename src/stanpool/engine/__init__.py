"""Stan, found or set up, and driven through cmdstanpy."""

from stanpool.engine.cache import cache_folder, cache_size
from stanpool.engine.compile import compile_program, compile_programs
from stanpool.engine.home import ensure, identity
from stanpool.engine.run import SampleSettings, sample
from stanpool.engine.upkeep import Checkup, clean, doctor, setup

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
