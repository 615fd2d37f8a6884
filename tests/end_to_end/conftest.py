"""What tests of notebooks and of the documentation share: fits of few draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

# Enough for every line to run on draws of real programs. What a reader sees, and what
# --slow runs, is as long as the text says.
FEW = {"draws": 25, "warmup": 25, "max_treedepth": 3}


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every fit stop after a few draws, and list what each was asked for."""
    from stanpool.engine.cmdstan import run
    from stanpool.engine.interpreter import engine

    asked: list[Any] = []

    def limit(module: Any, name: str) -> None:
        arguments = getattr(module, name)

        def few(settings: Any) -> dict[str, Any]:
            asked.append(settings)
            return arguments(replace(settings, **FEW))

        monkeypatch.setattr(module, name, few)

    limit(run, "cmdstanpy_arguments")
    limit(engine, "arguments_of")
    return asked
