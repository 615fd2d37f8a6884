"""Latent factors, in the log density of a model.

Scores, and loadings over their scale, are normal about their means. As the factors may
be rotated, the loadings are given after the rotation that makes a triangle of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.predictors.latent_factors import LatentDesign
from stanpool.data.design.predictors.tensor_factors import TensorDesign

if TYPE_CHECKING:
    from stanpool.data.design.design import Design


def latent_of(design: Design) -> LatentDesign | None:
    """Return who has scores and loadings on latent factors, if anyone."""
    found = [term for term in design.special if isinstance(term, LatentDesign)]
    return found[0] if found else None


def tensor_of(design: Design) -> TensorDesign | None:
    """Return which levels of three columns or more have scores, if any."""
    found = [term for term in design.special if isinstance(term, TensorDesign)]
    return found[0] if found else None


def with_scores(tensor: TensorDesign, values: Mapping[str, Array]) -> dict[str, Array]:
    """Return the scales of factors, and the scores of all levels, by name.

    Scores have the directions of ``z_factors`` and given root mean squares, and so have
    products.
    """
    scores = [
        rms * z / np.sqrt(np.square(z).mean(axis=0))
        for rms, z in zip(values["score_rms"], _by_column(tensor, values), strict=True)
    ]
    scale = values["product_rms"] / values["score_rms"].prod(axis=0)
    return {"factor_scale": scale, "factor_scores": np.concatenate(scores)}


def _by_column(tensor: TensorDesign, values: Mapping[str, Array]) -> list[Array]:
    """Return what stands for the directions of the scores of each column."""
    ends = np.cumsum([len(each) for each in tensor.labels])[:-1]
    return np.split(values["z_factors"], ends)


def log_density_of_tensor(tensor: TensorDesign, values: Mapping[str, Array]) -> float:
    """Return the log density of normal scores, by their lengths and directions.

    A length is chi-distributed, with the levels as degrees of freedom. The length that
    directions are given with is normal about that of unit mean squares, and volume
    grows with its power J - 1. Scales change with the products in proportion.
    """
    total = float(np.log(values["factor_scale"] / values["product_rms"]).sum())
    for rms, z in zip(values["score_rms"], _by_column(tensor, values), strict=True):
        given = np.sqrt(np.square(z).mean(axis=0))
        own = (len(z) - 1) * np.log(rms / given) - 0.5 * len(z) * np.square(rms)
        total += float(np.sum(own - 0.5 * np.square((given - 1.0) / 0.1)))
    return total


def sums_of_products(tensor: TensorDesign, values: Mapping[str, Array]) -> Array:
    """Return the sums of products of the scores of the levels of rows, ``(N,)``."""
    total = np.zeros(len(tensor.index[0]))
    for r, scale in enumerate(values["factor_scale"]):
        first, product = 0, np.full(len(total), scale)
        for labels, index in zip(tensor.labels, tensor.index, strict=True):
            product *= values["factor_scores"][first + index, r]
            first += len(labels)
        total += product
    return total


def log_density_of_factors(design: Design, values: Mapping[str, Array]) -> float:
    """Return the log density of scores, and of loadings in a triangle.

    A square matrix is the triangle times a rotation, and its volume is theirs times the
    diagonal to the powers R - r, r from 1 [1]_. What rotates with the loadings has the
    same density wherever the rotation takes it.

    Parameters
    ----------
    design, values
        The model's data, and the parameters by name, in the user's units.

    References
    ----------
    .. [1] Muirhead (1982). Aspects of Multivariate Statistical Theory, theorem 3.2.14.
    """
    latent = latent_of(design)
    assert latent is not None
    scores, loadings = values["scores"], values["z_loadings"]
    rank = latent.rank
    powers = rank - 1 - np.arange(rank)
    volume = powers @ np.log(np.diag(loadings))
    if latent.means is not None:
        beta = values["beta_factors"].reshape(rank, -1).T
        of_scores, of_loadings = latent.means.levels
        scores = scores - of_scores @ beta
        loadings = loadings - of_loadings[latent.anchors] @ beta
    squares = np.sum(np.square(scores)) + np.sum(np.square(loadings))
    return float(volume - 0.5 * squares)


def products_of_rows(latent: LatentDesign, values: Mapping[str, Array]) -> Array:
    """Return the products of scores and loadings of rows, shape ``(N,)``."""
    # Those that anchor the rotation come first in Stan.
    loadings = np.empty(values["z_loadings"].shape)
    loadings[latent.anchors] = values["z_loadings"]
    product = values["scores"][latent.scored] * loadings[latent.loaded]
    return np.asarray(values["loading_scale"] * product.sum(axis=1))
