"""The one interval that this project states: of a mean of paired differences, by Student's t."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def t_interval(differences: ArrayLike) -> tuple[float, float]:
    """The mean of paired differences, and the half-width of its 95 % t interval, n - 1 degrees (NaN for one pair)."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        return float(values.mean()), math.nan
    from scipy.special import stdtrit  # 0.3 s, which a store without confirmed pairs need not pay

    return float(values.mean()), float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(n)
