"""Families of ordered categories, and the estimates that R's packages publish."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import stanpool as sp
from stanpool.data.likelihood import log_likelihood

# By R 4.2.2 from the 72 ratings of wine: four cutpoints, temp and contact, and the log
# likelihood. ordinal: clm(rating ~ temp + contact) of the package ordinal. sratio: glm
# of whether a rating that reached a step stops there, a row for each. acat: glm of
# Poisson counts of each row's categories, with an effect of each row and each category,
# and the category's number times temp and contact.
ESTIMATES = {
    ("ordinal", "cloglog"): (
        (-1.7400824, 0.2963291, 1.7288553, 2.5967970, 1.6057601, 0.8597137),
        -86.6340792,
    ),
    ("sratio", "logit"): (
        (-1.4820545, 0.8929962, 2.6771938, 3.5464842, 2.2285558, 1.2389482),
        -86.1797040,
    ),
    ("sratio", "probit"): (
        (-0.8554065, 0.5312519, 1.5868624, 2.0998233, 1.3223398, 0.7291554),
        -85.7004244,
    ),
    ("sratio", "cloglog"): (
        (-1.7400832, 0.1564949, 1.4561194, 2.0523830, 1.6057602, 0.8597099),
        -86.6340792,
    ),
    ("acat", "logit"): (
        (-0.9899046, 0.8901058, 2.5158369, 2.7850441, 1.6884843, 0.9648536),
        -85.64416,
    ),
}


def wine() -> pd.DataFrame:
    data = sp.load_dataset("wine")
    return data.assign(rating=pd.Categorical(data["rating"], ordered=True))


@pytest.mark.parametrize(("family", "link"), ESTIMATES)
def test_estimates_are_those_of_r(family: str, link: str) -> None:
    model = sp.Model("rating ~ temp + contact", wine(), family=family, link=link)
    theirs, expected = ESTIMATES[family, link]

    def loss(at: Any) -> float:
        eta = model.design.X @ at[4:]
        known = {"cutpoint": at[:4]}
        return -float(log_likelihood(model.spec, model.design, eta, known).sum())

    assert -loss(np.array(theirs)) == pytest.approx(expected, abs=1e-5)
    found = optimize.minimize(loss, np.array(theirs) + 0.1, method="BFGS")
    np.testing.assert_allclose(found.x, theirs, atol=2e-4)
