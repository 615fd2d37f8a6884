"""Hierarchical models in three pooling templates, on real Stan.

Importing does nothing: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stanpool import engine, exact, plots
    from stanpool.calibration import Calibration, sbc
    from stanpool.comparison import Comparison, compare_fits, compare_parameterizations
    from stanpool.constructors import complete_pooling, no_pooling, partial_pooling
    from stanpool.crossval import CrossValidation, kfold, loo
    from stanpool.datasets import list_datasets, load_dataset
    from stanpool.diagnostics import Advice, Diagnosis, Finding
    from stanpool.errors import (
        ArgumentError,
        CompileError,
        DataError,
        EngineError,
        ImportanceWarning,
        NestingWarning,
        OutcomeWarning,
        OutOfMemoryError,
        PriorWarning,
        RankWarning,
        SamplingError,
        SpecError,
        StanpoolError,
        StorageError,
        StorageWarning,
    )
    from stanpool.fit import Fit, Model, load
    from stanpool.ladder import PoolingLadder, compare_pooling
    from stanpool.pooling_report import report_comparison
    from stanpool.program import neals_funnel
    from stanpool.ranking import Ranking, compare
    from stanpool.scale_priors import ScalePriorComparison, compare_scale_priors
    from stanpool.simulate import prior_predictive
    from stanpool.spec import GroupTerm, Prior
    from stanpool.validation import Validation, validate

__version__ = "0.1.0"

_HOMES = {
    "calibration": ("Calibration", "sbc"),
    "comparison": ("Comparison", "compare_fits", "compare_parameterizations"),
    "constructors": ("complete_pooling", "no_pooling", "partial_pooling"),
    "crossval": ("CrossValidation", "kfold", "loo"),
    "datasets": ("list_datasets", "load_dataset"),
    "diagnostics": ("Advice", "Diagnosis", "Finding"),
    "errors": (
        "ArgumentError",
        "CompileError",
        "DataError",
        "EngineError",
        "ImportanceWarning",
        "NestingWarning",
        "OutOfMemoryError",
        "OutcomeWarning",
        "PriorWarning",
        "RankWarning",
        "RankWarning",
        "SamplingError",
        "SpecError",
        "StanpoolError",
        "StorageError",
        "StorageWarning",
    ),
    "fit": ("Fit", "Model", "load"),
    "ladder": ("PoolingLadder", "compare_pooling"),
    "program": ("neals_funnel",),
    "ranking": ("Ranking", "compare"),
    "pooling_report": ("report_comparison",),
    "scale_priors": ("ScalePriorComparison", "compare_scale_priors"),
    "simulate": ("prior_predictive",),
    "spec": ("GroupTerm", "Prior"),
    "validation": ("Validation", "validate"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("engine", "exact", "plots")

__all__ = [
    "Advice",
    "ArgumentError",
    "Calibration",
    "Comparison",
    "CompileError",
    "CrossValidation",
    "DataError",
    "Diagnosis",
    "EngineError",
    "Finding",
    "Fit",
    "GroupTerm",
    "ImportanceWarning",
    "Model",
    "NestingWarning",
    "OutOfMemoryError",
    "OutcomeWarning",
    "PoolingLadder",
    "Prior",
    "PriorWarning",
    "RankWarning",
    "Ranking",
    "SamplingError",
    "ScalePriorComparison",
    "SpecError",
    "StanpoolError",
    "StorageError",
    "StorageWarning",
    "Validation",
    "compare",
    "compare_fits",
    "compare_parameterizations",
    "compare_pooling",
    "compare_scale_priors",
    "complete_pooling",
    "engine",
    "exact",
    "kfold",
    "list_datasets",
    "load",
    "load_dataset",
    "loo",
    "neals_funnel",
    "no_pooling",
    "partial_pooling",
    "plots",
    "prior_predictive",
    "report_comparison",
    "sbc",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load a public name where it is first used."""
    if name in _MODULES:
        return import_module(f"stanpool.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'stanpool' has no attribute {name!r}")
    value = getattr(import_module(f"stanpool.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
