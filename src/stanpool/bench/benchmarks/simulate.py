"""Data that are simulated, with fixed seeds.

They come in blocks of rows, each from a generator of its own, so that ten million rows
are written to a file without ever being in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 1_000_000


def simulated(
    sizes: np.ndarray,
    *,
    seed: int,
    beta: tuple[float, ...] = (),
    tau: tuple[float, ...] = (0.5,),
    sigma: float = 1.0,
    binary_outcome: bool = False,
    binary_predictors: bool = False,
) -> Iterator[pd.DataFrame]:
    """Simulate a hierarchical model: columns ``y``, ``x1``, ``x2``, ... and ``g``.

    Parameters
    ----------
    sizes
        Rows of each group, shape ``(J,)``; rows of all groups are mixed.
    seed
        Of the data, which are always the same.
    beta
        Population coefficients; the intercept is 1.
    tau
        Scales of the deviations of the groups' intercepts and first slopes.
    sigma
        Residual scale, of outcomes that are not binary.
    binary_outcome, binary_predictors
        Whether these are 0 or 1; normal otherwise.

    Examples
    --------
    >>> frame = next(simulated(np.array([2, 3]), seed=1, beta=(0.5,)))
    >>> frame.shape, list(frame.columns), sorted(frame["g"])
    ((5, 3), ['y', 'x1', 'g'], [0, 0, 1, 1, 1])
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    deviations = rng.normal(scale=tau, size=(len(sizes), len(tau)))
    groups = rng.permutation(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
    for start in range(0, len(groups), _BLOCK):
        g = groups[start : start + _BLOCK]
        rng = np.random.default_rng([seed, start])
        X = rng.normal(size=(len(g), len(beta)))
        if binary_predictors:
            X = (X > 0).astype(float)
        eta = 1.0 + X @ np.array(beta) + deviations[g, 0]
        for slope in range(1, len(tau)):
            eta += deviations[g, slope] * X[:, slope - 1]
        if binary_outcome:
            y: Any = rng.binomial(1, 1 / (1 + np.exp(-eta)))
        else:
            y = rng.normal(eta, sigma)
        columns = {f"x{k + 1}": X[:, k] for k in range(len(beta))}
        yield pd.DataFrame({"y": y, **columns, "g": g})


def crossed(students: int, lecturers: int, rows: int, *, seed: int) -> pd.DataFrame:
    """Simulate evaluations of lecturers by students, with the sizes of InstEval.

    Students have ability and lecturers quality; lectures belong to departments, may be
    services for other ones, and are some semesters old.

    Examples
    --------
    >>> crossed(30, 10, 200, seed=1).nunique()[["s", "d", "service"]].tolist()
    [30, 10, 2]
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    s = np.concatenate([np.arange(students), rng.integers(students, size=rows)])[:rows]
    d = np.concatenate([np.arange(lecturers), rng.integers(lecturers, size=rows)])[
        :rows
    ]
    service, dept = rng.integers(2, size=rows), d % 14
    studage, lectage = rng.integers(4, size=rows), rng.integers(6, size=rows)
    mean = 3.2 - 0.1 * service + 0.05 * (dept - 6.5) / 4 * (1 - service)
    mean += 0.03 * studage - 0.05 * lectage
    mean += rng.normal(scale=0.33, size=students)[s]
    mean += rng.normal(scale=0.51, size=lecturers)[d]
    y = rng.normal(mean, 1.18)
    words = {
        name: pd.Series(values).astype(str)
        for name, values in (
            ("service", service),
            ("dept", dept),
            ("studage", studage),
            ("lectage", lectage),
        )
    }
    return pd.DataFrame({"y": y, **words, "s": s, "d": d})


def ordinal(rows: int, groups: int, *, seed: int) -> pd.DataFrame:
    """Simulate answers in five ordered categories, ``y``, by the logit.

    Examples
    --------
    >>> sorted(ordinal(100, 5, seed=1)["y"].unique().tolist())
    [1, 2, 3, 4, 5]
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    g, X = rng.permutation(np.arange(rows) % groups), rng.normal(size=(rows, 3))
    eta = X @ [0.5, -0.3, 0.2] + rng.normal(scale=0.8, size=groups)[g]
    seen = (eta + rng.logistic(size=rows))[:, None] > [-2.0, -0.7, 0.5, 1.8]
    columns = {f"x{k + 1}": X[:, k] for k in range(3)}
    return pd.DataFrame({"y": seen.sum(axis=1) + 1, **columns, "g": g})


def counts(rows: int, groups: int, *, seed: int) -> pd.DataFrame:
    """Simulate overdispersed counts ``y`` with a log exposure and whole weights.

    Examples
    --------
    >>> list(counts(10, 5, seed=1).columns)
    ['y', 'x1', 'x2', 'log_time', 'w', 'g']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    g, X = rng.permutation(np.arange(rows) % groups), rng.normal(size=(rows, 2))
    log_time = np.log(rng.uniform(0.5, 4.0, size=rows))
    eta = 0.5 + X @ [0.3, -0.2] + rng.normal(scale=0.5, size=groups)[g] + log_time
    y = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, size=rows))
    w = rng.integers(1, 4, size=rows)
    return pd.DataFrame(
        {"y": y, "x1": X[:, 0], "x2": X[:, 1], "log_time": log_time, "w": w, "g": g}
    )


def slopes(groups: int, each: int, *, seed: int) -> pd.DataFrame:
    """Simulate an intercept and three slopes of each group, which are correlated.

    Examples
    --------
    >>> slopes(3, 4, seed=1).shape
    (12, 5)
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    g, X = np.repeat(np.arange(groups), each), rng.normal(size=(groups * each, 3))
    X -= X.mean(axis=0)
    correlations = 0.4 + 0.6 * np.eye(4)
    scales = np.array([0.8, 0.5, 0.3, 0.2])
    b = rng.multivariate_normal(
        [1.0, 0.5, -0.3, 0.2], correlations * np.outer(scales, scales), size=groups
    )
    y = rng.normal(b[g, 0] + (X * b[g, 1:]).sum(axis=1), 1.0)
    return pd.DataFrame({"y": y, **{f"x{k + 1}": X[:, k] for k in range(3)}, "g": g})


def memberships(rows: int, groups: int, *, seed: int) -> pd.DataFrame:
    """Simulate rows that belong to two groups, ``a`` and ``b``, half to each.

    Examples
    --------
    >>> list(memberships(10, 5, seed=1).columns)
    ['y', 'x1', 'a', 'b']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    a, b, x = rng.integers(groups, size=rows), rng.integers(groups, size=rows), None
    x, u = rng.normal(size=rows), rng.normal(scale=0.7, size=groups)
    y = rng.normal(1.0 + 0.5 * x + 0.5 * (u[a] + u[b]), 1.0)
    return pd.DataFrame({"y": y, "x1": x, "a": a, "b": b})


def predictors(rows: int, groups: int, columns: int, *, seed: int) -> pd.DataFrame:
    """Simulate many predictors, each correlated by a half with the next.

    Examples
    --------
    >>> predictors(10, 5, 3, seed=1).columns.tolist()
    ['y', 'x1', 'x2', 'x3', 'g']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(rows, columns + 1))
    X = (noise[:, 1:] + noise[:, :-1]) / 2**0.5
    g = rng.permutation(np.arange(rows) % groups)
    beta = rng.normal(scale=0.2, size=columns)
    y = rng.normal(1.0 + X @ beta + rng.normal(scale=0.7, size=groups)[g], 1.0)
    names = {f"x{k + 1}": X[:, k] for k in range(columns)}
    return pd.DataFrame({"y": y, **names, "g": g})


def studies(count: int, *, seed: int) -> pd.DataFrame:
    """Simulate effects of studies ``y`` with known standard errors ``se``.

    Examples
    --------
    >>> studies(3, seed=1).columns.tolist()
    ['y', 'se', 'study']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    se = rng.gamma(4.0, 0.05, size=count)
    y = rng.normal(0.3 + rng.normal(scale=0.15, size=count), se)
    return pd.DataFrame({"y": y, "se": se, "study": np.arange(count)})
