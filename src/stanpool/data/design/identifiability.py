"""Predictors that the data cannot tell apart."""

from __future__ import annotations

import numpy as np

from stanpool.data.design.design import FactorDesign
from stanpool.data.design.rank import COLLINEAR, about_means


def is_reproduced_by_groups(
    column: np.ndarray, factor: FactorDesign, ones: np.ndarray | None
) -> bool:
    """Whether groups with coefficients of their own can reproduce a column."""
    groups, z = factor.index, factor.Z
    if factor.varying[0] == "Intercept":
        # Only the variation counts: a column of large mean and small spread is not
        # a constant.
        column = about_means(column, ones)
        z = np.concatenate([z[:, :1], about_means(z[:, 1:], ones)], axis=1)
    size = np.sqrt(np.mean(z**2, axis=0))
    z = z / np.where(size > 0, size, 1.0)  # units do not matter
    gram = np.zeros((len(factor.labels), z.shape[1], z.shape[1]))
    cross = np.zeros((len(factor.labels), z.shape[1]))
    for a in range(z.shape[1]):
        cross[:, a] = np.bincount(groups, z[:, a] * column, len(factor.labels))
        for b in range(z.shape[1]):
            gram[:, a, b] = np.bincount(groups, z[:, a] * z[:, b], len(factor.labels))
    coefficients = np.einsum("jab,jb->ja", np.linalg.pinv(gram, hermitian=True), cross)
    left = column - np.einsum("nq,nq->n", z, coefficients[groups])
    return float(left @ left) <= COLLINEAR * float(column @ column)
