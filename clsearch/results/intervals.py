"""What this project states of paired differences, by Student's t: the mean's interval, and one test against zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def points(values: ArrayLike) -> NDArray[np.float64]:
    """Percentage points without the last digits: scores are ratios of counts, below 1e-9 they differ by rounding."""
    rounded: NDArray[np.float64] = np.round(np.asarray(values, dtype=np.float64), 9).astype(np.float64)
    return rounded


def t_interval(differences: ArrayLike) -> tuple[float, float]:
    """The mean of paired differences, and the half-width of its 95 % t interval, n - 1 degrees (NaN for one pair)."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n < 2:
        return float(values.mean()), math.nan
    from scipy.special import stdtrit  # 0.3 s, which a store without confirmed pairs need not pay

    return float(values.mean()), float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(n)


def t_test(differences: ArrayLike) -> float:
    """Two-sided p of the paired t test that the mean difference is zero, as `scipy.stats.ttest_rel` has it.

    Differences that are all zero separate nothing (p = 1); others that are all alike leave no doubt (p = 0).

    Raises:
        ValueError: fewer than two differences.
    """
    values = points(differences)
    n = len(values)
    if n < 2:
        raise ValueError(f"a paired t test takes at least two pairs, not {n}")
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    if spread == 0.0 or np.ptp(values) == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / (spread / math.sqrt(n))))


@dataclass(frozen=True)
class Gap:
    """The mean of paired differences over `pairs` pairs of seeds, and its 95 % t interval (None for one pair)."""

    mean: float
    low: float | None
    high: float | None
    pairs: int


def paired_gap(differences: ArrayLike) -> Gap:
    """The gap that these differences show, one for each pair of seeds."""
    mean, half = t_interval(differences)
    low, high = (None, None) if math.isnan(half) else (mean - half, mean + half)
    return Gap(mean, low, high, len(np.asarray(differences)))
