"""The options that are one of a few words, as types.

Signatures name these types, so that editors offer the words and type checkers refuse
others. When a function is called, ``base.arguments`` checks its arguments against the
same words, and so do the choices of the command line. The families are no such type:
their table, ``language.family``, can be added to.
"""

from __future__ import annotations

from typing import Literal

Pooling = Literal["complete", "none", "partial"]
Parameterization = Literal["auto", "centered", "noncentered", "adaptive", "marginal"]
Link = Literal["identity", "log", "logit", "probit", "cloglog", "tan_half"]

Groups = Literal["fitted", "redrawn"]
NewGroups = Literal["error", "population", "resample", "zero"]
PredictionKind = Literal["linpred", "epred", "predict"]
EffectGroups = Literal["fitted", "population", "none"]
EffectKind = Literal["epred", "linpred"]
SlopeKind = Literal["dydx", "eyex", "eydx", "dyex"]
GridKind = Literal["mean", "median", "balanced", "counterfactual"]
Comparison = Literal[
    "difference", "ratio", "log_ratio", "lift", "odds_ratio", "log_odds_ratio"
]
Cross = Literal["both", "interaction"]
Unit = Literal["row", "group"]
At = Literal["zero", "center"]
Threads = Literal["auto"]

Method = Literal["nuts", "pathfinder", "laplace", "optimize"]
EngineName = Literal["cmdstan", "stanli"]
EngineChoice = Literal["auto", "cmdstan", "stanli"]

EstimateFigure = Literal["interval", "halfeye"]
MapStatistic = Literal["mean", "sd", "probability"]
OutcomeFigure = Literal["density", "groups", "rootogram"]
RankFigure = Literal["ecdf", "histogram"]
ResidualKind = Literal["outcome", "quantile"]

POOLING_IN_WORDS: dict[Pooling, str] = {
    "complete": "complete pooling",
    "none": "no pooling",
    "partial": "partial pooling",
}

# Words of earlier versions that are still accepted, and the words that replaced them.
FORMER_WORDS = {"origins": "center"}
