"""Stan, found or set up, and driven through cmdstanpy."""

from stanpool.engine.home import ensure

__all__ = ["ensure"]
