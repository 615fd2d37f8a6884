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

if TYPE_CHECKING:
    from stanpool.data.design.design import Design


def latent_of(design: Design) -> LatentDesign | None:
    """Return who has scores and loadings on latent factors, if anyone."""
    found = [term for term in design.special if isinstance(term, LatentDesign)]
    return found[0] if found else None


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
