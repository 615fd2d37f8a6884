"""Hierarchical models in three pooling templates, on real Stan.

Importing does nothing: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stanpool import engine, exact, plots
    from stanpool.api.constructors import complete_pooling, no_pooling, partial_pooling
    from stanpool.api.facade import Fit, Model, load
    from stanpool.api.several_outcomes import several_outcomes
    from stanpool.api.statistics import load_statistics, merge, reduce
    from stanpool.base.errors import (
        ArgumentError,
        CompileError,
        DataError,
        EffectWarning,
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
    from stanpool.data.datasets import list_datasets, load_dataset
    from stanpool.data.statistics.statistics import Statistics
    from stanpool.data.tables.episodes import split_times
    from stanpool.data.tables.outcomes import stack_outcomes
    from stanpool.inference.diagnostics import Advice, Diagnosis, Finding
    from stanpool.inference.evaluation.cross_validation import CrossValidation
    from stanpool.inference.evaluation.kfold import kfold
    from stanpool.inference.evaluation.loo import loo
    from stanpool.inference.prediction.prior_predictive import prior_predictive
    from stanpool.language.model_spec import GroupTerm
    from stanpool.language.prior import Prior
    from stanpool.model.program.render import neals_funnel
    from stanpool.studies.many.fit_many import fit_many
    from stanpool.studies.many.fits import Fits, load_fits
    from stanpool.studies.many.pooled import PooledDraws
    from stanpool.studies.model_table import ModelTable, table
    from stanpool.studies.parameterizations import (
        Comparison,
        compare_fits,
        compare_parameterizations,
    )
    from stanpool.studies.pooling.pooling_report import report_comparison
    from stanpool.studies.pooling.poolings import PoolingComparison, compare_pooling
    from stanpool.studies.ranking import Ranking, compare
    from stanpool.studies.scale_priors import ScalePriorComparison, compare_scale_priors
    from stanpool.studies.simulation.against_exact import Validation, validate
    from stanpool.studies.simulation.design import design
    from stanpool.studies.simulation.design_analysis import DesignAnalysis
    from stanpool.studies.simulation.simulation_based import Calibration, sbc

__version__ = "0.1.0"

_HOMES = {
    "api.constructors": ("complete_pooling", "no_pooling", "partial_pooling"),
    "api.facade": ("Fit", "Model", "load"),
    "api.several_outcomes": ("several_outcomes",),
    "api.statistics": ("load_statistics", "merge", "reduce"),
    "base.errors": (
        "ArgumentError",
        "CompileError",
        "DataError",
        "EffectWarning",
        "EngineError",
        "ImportanceWarning",
        "NestingWarning",
        "OutOfMemoryError",
        "OutcomeWarning",
        "PriorWarning",
        "RankWarning",
        "SamplingError",
        "SpecError",
        "StanpoolError",
        "StorageError",
        "StorageWarning",
    ),
    "data.datasets": ("list_datasets", "load_dataset"),
    "data.tables.episodes": ("split_times",),
    "data.tables.outcomes": ("stack_outcomes",),
    "data.statistics.statistics": ("Statistics",),
    "inference.diagnostics": ("Advice", "Diagnosis", "Finding"),
    "inference.evaluation.cross_validation": ("CrossValidation",),
    "inference.evaluation.kfold": ("kfold",),
    "inference.evaluation.loo": ("loo",),
    "inference.prediction.prior_predictive": ("prior_predictive",),
    "language.model_spec": ("GroupTerm",),
    "language.prior": ("Prior",),
    "model.program.render": ("neals_funnel",),
    "studies.simulation.against_exact": ("Validation", "validate"),
    "studies.simulation.design": ("design",),
    "studies.simulation.design_analysis": ("DesignAnalysis",),
    "studies.simulation.simulation_based": ("Calibration", "sbc"),
    "studies.many.fit_many": ("fit_many",),
    "studies.many.fits": ("Fits", "load_fits"),
    "studies.many.pooled": ("PooledDraws",),
    "studies.model_table": ("ModelTable", "table"),
    "studies.parameterizations": (
        "Comparison",
        "compare_fits",
        "compare_parameterizations",
    ),
    "studies.pooling.pooling_report": ("report_comparison",),
    "studies.pooling.poolings": ("PoolingComparison", "compare_pooling"),
    "studies.ranking": ("Ranking", "compare"),
    "studies.scale_priors": ("ScalePriorComparison", "compare_scale_priors"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = {
    "engine": "engine",
    "errors": "base.errors",
    "exact": "exact",
    "plots": "plots",
}
_FORMER_NAMES = {"PoolingLadder": "PoolingComparison"}

__all__ = [
    "Advice",
    "ArgumentError",
    "Calibration",
    "Comparison",
    "CompileError",
    "CrossValidation",
    "DataError",
    "DesignAnalysis",
    "Diagnosis",
    "EffectWarning",
    "EngineError",
    "Finding",
    "Fit",
    "Fits",
    "GroupTerm",
    "ImportanceWarning",
    "Model",
    "ModelTable",
    "NestingWarning",
    "OutOfMemoryError",
    "OutcomeWarning",
    "PooledDraws",
    "PoolingComparison",
    "Prior",
    "PriorWarning",
    "RankWarning",
    "Ranking",
    "SamplingError",
    "ScalePriorComparison",
    "SpecError",
    "StanpoolError",
    "Statistics",
    "StorageError",
    "StorageWarning",
    "Validation",
    "compare",
    "compare_fits",
    "compare_parameterizations",
    "compare_pooling",
    "compare_scale_priors",
    "complete_pooling",
    "design",
    "engine",
    "exact",
    "fit_many",
    "kfold",
    "list_datasets",
    "load",
    "load_dataset",
    "load_fits",
    "load_statistics",
    "loo",
    "merge",
    "neals_funnel",
    "no_pooling",
    "partial_pooling",
    "plots",
    "prior_predictive",
    "reduce",
    "report_comparison",
    "sbc",
    "several_outcomes",
    "split_times",
    "stack_outcomes",
    "table",
    "validate",
]


def __getattr__(name: str) -> Any:
    """Load a public name where it is first used."""
    if name in _MODULES:
        return import_module(f"stanpool.{_MODULES[name]}")
    if name in _FORMER_NAMES:
        warn_of_deprecation = import_module("stanpool.base.errors").warn_of_deprecation
        warn_of_deprecation(f"sp.{name}", since="0.1", instead=_FORMER_NAMES[name])
        name = _FORMER_NAMES[name]
    if name not in _HOME_OF:
        raise AttributeError(f"module 'stanpool' has no attribute {name!r}")
    value = getattr(import_module(f"stanpool.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
