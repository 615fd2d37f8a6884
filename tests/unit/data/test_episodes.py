"""Times cut into intervals, as R's survival package cuts and analyses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from stanpool.data.likelihood import log_likelihood


def kidney() -> pd.DataFrame:
    data = sp.load_dataset("kidney")
    return data.assign(male=(data["sex"] == 1).astype(int))


# By survSplit of survival in R 4.2.2: the cuts; the rows, and the sums of exposure and
# of events in each interval. Of the second, entry is min(time / 2, age / 4).
SURV_SPLIT = (
    ([30, 100, 200], False, 154, [1802, 2248, 1827, 1847], [24, 11, 13, 10]),
    ([5, 100], True, 119, [30.75, 3329.5, 3674.0], [1, 34, 23]),
)


@pytest.mark.parametrize(("cuts", "enters", "rows", "exposures", "events"), SURV_SPLIT)
def test_rows_are_those_of_surv_split(
    cuts: list[float],
    enters: bool,
    rows: int,
    exposures: list[float],
    events: list[int],
) -> None:
    data = kidney().assign(entry=lambda x: np.minimum(x["time"] / 2, x["age"] / 4))
    entry = {"entry": "entry"} if enters else {}
    found = sp.split_times(data, time="time", event="status", cuts=cuts, **entry)
    assert len(found) == rows
    sums = found.groupby("interval", observed=True)[["exposure", "status"]].sum()
    assert sums["exposure"].tolist() == exposures
    assert sums["status"].tolist() == events
    if enters:
        assert (found["time"] - found["entry"] == found["exposure"]).all()


def test_the_likelihood_is_that_of_glm_and_of_exponential_pieces() -> None:
    """Of glm(status ~ 0 + part + male + age, poisson, offset = log(exposure))."""
    cuts = [30.0, 100.0, 200.0]
    data = sp.split_times(kidney(), time="time", event="status", cuts=cuts)
    formula = "status | exposure(exposure) ~ 0 + interval + male + age"
    model = sp.Model(formula, data, family="poisson")
    assert model.design.coefficients[:2] == ("interval[0 to 30]", "interval[30 to 100]")
    levels = np.array([-4.69451738652, -5.6009220387, -5.2236640434, -5.57315350526])
    beta = np.array([0.83114886935354, 0.00327474106946])
    eta = model.design.X @ np.concatenate([levels, beta]) + model.design.offset
    found = float(log_likelihood(model.spec, model.design, eta, {}).sum())
    assert found == pytest.approx(-138.808933358, abs=1e-7)
    # The density of each time is its hazard times the probability to reach it.
    rows = kidney()
    rate = np.exp(levels + (rows[["male", "age"]].to_numpy() @ beta)[:, None])
    edges = np.array([0.0, *cuts, np.inf])
    time = rows["time"].to_numpy()[:, None]
    spent = np.clip(time, edges[:-1], edges[1:]) - edges[:-1]
    at_end = rate[np.arange(len(rows)), np.searchsorted(cuts, time[:, 0])]
    densities = rows["status"] * np.log(at_end) - (rate * spent).sum(axis=1)
    events = data["status"] == 1
    constant = np.log(data.loc[events, "exposure"]).sum()
    assert found == pytest.approx(float(densities.sum()) + constant)


def test_with_a_cut_at_each_event_it_is_cox_regression() -> None:
    """Coefficients are those of coxph(ties = "breslow").

    It counts who is at risk at events, so that times are taken to be censored at the
    last event before.
    """
    data = kidney()
    cuts = np.array(sorted(data.loc[data["status"] == 1, "time"].unique()))
    last = np.searchsorted(cuts, data["time"], side="right") - 1
    data = data.assign(time=cuts[last])[last >= 0]
    long = sp.split_times(data, time="time", event="status", cuts=cuts)
    x = long[["male", "age"]].to_numpy(dtype=float)
    part, y = long["interval"].cat.codes.to_numpy(), long["status"].to_numpy()

    def profile(beta: np.ndarray) -> float:
        """Return the log likelihood at the best levels of all intervals."""
        risk = long["exposure"].to_numpy() * np.exp(x @ beta)
        events = np.bincount(part, y)
        share = events / np.bincount(part, risk)
        return float(stats.poisson.logpmf(y, share[part] * risk).sum())

    best = np.array([0.82099531457024, 0.00218151645287])
    for step in ([1e-3, 0.0], [0.0, 1e-4]):
        assert profile(best) > max(profile(best + step), profile(best - step))


def test_a_number_of_intervals_has_as_many_events_in_each() -> None:
    rng = np.random.default_rng(1)
    data = {"t": rng.exponential(size=400), "d": rng.integers(0, 2, 400)}
    found = sp.split_times(data, time="t", event="d", cuts=5)
    events = found.groupby("interval", observed=True)["d"].sum()
    assert len(events) == 5
    assert events.max() - events.min() <= 1
    assert found["d"].sum() == data["d"].sum()
    assert found["exposure"].sum() == pytest.approx(data["t"].sum())


@pytest.mark.parametrize(
    ("change", "options", "error", "said"),
    [
        ({}, {"time": "tme"}, sp.SpecError, "no column 'tme'.* mean 'time'"),
        ({}, {"cuts": [30, 20]}, sp.SpecError, "above 0 and ascend"),
        ({}, {"cuts": [0, 20]}, sp.SpecError, "above 0 and ascend"),
        ({}, {"cuts": 0}, sp.SpecError, "a whole number, 1 or more"),
        ({"status": [0, 0]}, {"cuts": 2}, sp.SpecError, "there must be events"),
        ({"time": [0.0, 5.0]}, {}, sp.DataError, "'time' must be positive.* row 0"),
        ({"status": [1, 2]}, {}, sp.DataError, "'status' must be 0 or 1.* row 1"),
        ({"time": [np.nan, 5.0]}, {}, sp.DataError, "missing value"),
        ({"interval": [1, 2]}, {}, sp.DataError, "which split_times makes"),
        (
            {"entry": [1.0, 9.0]},
            {"entry": "entry"},
            sp.DataError,
            "'time' must be above 'entry'.* row 1",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(
    change: dict[str, Any], options: dict[str, Any], error: type[Exception], said: str
) -> None:
    data = {"time": [3.0, 5.0], "status": [1, 0]} | change
    asked = {"time": "time", "event": "status", "cuts": [4]} | options
    with pytest.raises(error, match=said):
        sp.split_times(data, **asked)
