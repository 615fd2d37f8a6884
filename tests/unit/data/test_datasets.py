"""The data sets that ship: there, described, and what their sources say they are."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from stanpool.base.system.files import shipped_folder

ROWS_AND_GROUPS = {
    "baseball": (18, "player", 18),
    "bcg": (13, "trial", 13),
    "cbpp": (56, "herd", 15),
    "classroom": (1190, "classid", 312),
    "eight_schools": (8, "school", 8),
    "grouseticks": (403, "BROOD", 118),
    "kidney": (76, "id", 38),
    "lip_cancer": (56, "county", 56),
    "penicillin": (144, "plate", 24),
    "radon": (919, "county", 85),
    "radon_all": (12_573, "fips", 468),
    "rats": (150, "rat", 30),
    "schools_homework": (260, "schid", 10),
    "scotssec": (3435, "primary", 148),
    "seeds": (21, "plate", 21),
    "sleepstudy": (180, "Subject", 18),
    "verbagg": (7584, "id", 316),
    "wine": (72, "judge", 9),
}


def test_all_are_listed() -> None:
    assert sp.list_datasets() == tuple(sorted(ROWS_AND_GROUPS))


@pytest.mark.parametrize("name", ROWS_AND_GROUPS)
def test_each_has_the_rows_and_groups_of_its_source(name: str) -> None:
    data = sp.load_dataset(name)
    rows, factor, groups = ROWS_AND_GROUPS[name]
    assert (len(data), data[factor].nunique()) == (rows, groups)


@pytest.mark.parametrize("name", ROWS_AND_GROUPS)
def test_each_says_where_it_is_from_and_what_its_columns_are(name: str) -> None:
    source = (shipped_folder("data") / name / "SOURCE.md").read_text()
    assert all(part in source for part in ("Citation:", "Source:", "Licence:"))
    # Two coded columns may share a line of the description.
    assert all(column in source for column in sp.load_dataset(name).columns)


def test_radon_gives_the_estimates_of_least_squares() -> None:
    radon = sp.load_dataset("radon")
    slope, intercept = np.polyfit(radon["floor"], radon["log_radon"], 1)
    assert radon["floor"].sum() == 153
    # Gelman and Hill (2007, p. 253): 1.33 and -0.61 by complete pooling.
    assert (round(intercept, 2), round(slope, 2)) == (1.33, -0.61)


def test_eight_schools_has_the_pooled_mean_of_the_book() -> None:
    schools = sp.load_dataset("eight_schools")
    weight = schools["sigma"] ** -2.0
    assert round(float((weight * schools["y"]).sum() / weight.sum()), 1) == 7.7


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(sp.SpecError, match=r"no data set 'radn'.*mean 'radon'\?"):
        sp.load_dataset("radn")


def test_each_call_gives_a_frame_of_its_own() -> None:
    mine = sp.load_dataset("radon")
    mine["floor"] = 9
    assert set(sp.load_dataset("radon")["floor"]) == {0, 1}
