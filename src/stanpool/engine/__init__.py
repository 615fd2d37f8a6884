"""Stan, found or set up, and driven through cmdstanpy."""

from stanpool.engine.compile import compile_program
from stanpool.engine.home import ensure
from stanpool.engine.run import SampleSettings, sample

__all__ = ["SampleSettings", "compile_program", "ensure", "sample"]
