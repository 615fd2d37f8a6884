"""The types of arrays that functions take and return, for annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Real numbers."""

Indices = NDArray[np.integer[Any]]
"""Places, such as the rows of the data or the group of each row, counted from 0."""
