"""Metrics of continual learning, from counts.

`correct` and `count` are arrays of shape (..., T, T): row t holds what was measured after task t+1 was learned, column
i the task evaluated; count 0 means not evaluated. All figures are percentages, or percentage points for differences.
A metric that needs an entry which was not evaluated is NaN, never an average over the rest. A true accuracy of 0.0 is
a number like any other. Leading axes are kept, so many matrices can be done at once; a prefix `[:t, :t]` is the state
after t tasks.

Definitions: Transfer, Average and Last as ZSCL's, RAIL's and MoRA's code computes them; the rest names its source.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Figures = np.float64 | Floats  # a number for one matrix, an array of numbers for many
Metric = Callable[[ArrayLike, ArrayLike], Figures]


def accuracy_matrix(correct: ArrayLike, count: ArrayLike) -> Floats:
    """a[..., t, i] in percent, NaN where not evaluated."""
    right, total = np.asarray(correct, dtype=np.float64), np.asarray(count, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, 100.0 * right / total, np.nan)


def acc_micro(correct: ArrayLike, count: ArrayLike) -> Floats:
    """(..., T): after each task, the share of right answers over all images of the tasks learned so far."""
    right, total = np.asarray(correct, dtype=np.float64), np.asarray(count, dtype=np.float64)
    learned = np.tri(total.shape[-1], dtype=bool)
    unknown = (learned & (total <= 0)).any(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = 100.0 * (right * learned).sum(axis=-1) / (total * learned).sum(axis=-1)
    return np.where(unknown, np.nan, share)


def acc_macro(correct: ArrayLike, count: ArrayLike) -> Floats:
    """(..., T): after each task, the mean of the accuracies on the tasks learned so far."""
    a = accuracy_matrix(correct, count)
    size = a.shape[-1]
    sums: Floats = np.where(np.tri(size, dtype=bool), a, 0.0).sum(axis=-1)
    return sums / np.arange(1, size + 1)


def final_acc_micro(correct: ArrayLike, count: ArrayLike) -> Figures:
    """acc_micro after the last task."""
    return _figures(acc_micro(correct, count)[..., -1])


def final_acc_macro(correct: ArrayLike, count: ArrayLike) -> Figures:
    """acc_macro after the last task."""
    return _figures(acc_macro(correct, count)[..., -1])


def aaa_micro(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Average incremental accuracy: the mean of acc_micro over all tasks."""
    return _mean(acc_micro(correct, count))


def aaa_macro(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Average incremental accuracy: the mean of acc_macro over all tasks."""
    return _mean(acc_macro(correct, count))


def transfer(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Mean over tasks j = 2..T of the mean accuracy on j before it was learned: a mean of column means."""
    a = accuracy_matrix(correct, count)
    size = a.shape[-1]
    if size < 2:
        return _nan(a)
    before = np.triu(np.ones((size, size), dtype=bool), k=1)
    columns = np.where(before, a, 0.0).sum(axis=-2)[..., 1:] / np.arange(1, size)
    return _mean(columns)


def average(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Mean over the whole matrix: every task after every stage, learned or not."""
    return _mean(accuracy_matrix(correct, count), axis=(-1, -2))


def last(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Mean accuracy over all tasks after the last."""
    return _mean(accuracy_matrix(correct, count)[..., -1, :])


def forgetting(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Mean over i < T of the best accuracy on i since it was learned (the last stage included) less the final one."""
    a = accuracy_matrix(correct, count)
    size = a.shape[-1]
    if size < 2:
        return _nan(a)
    best = np.where(np.tri(size, dtype=bool), a, -np.inf).max(axis=-2)
    return _mean((best - a[..., -1, :])[..., :-1])


def forgetting_coda(correct: ArrayLike, count: ArrayLike) -> Figures:
    """CODA-Prompt's: mean over stages t = 2..T of the mean drop, from t-1 to t, over the tasks learned before t."""
    a = accuracy_matrix(correct, count)
    size = a.shape[-1]
    if size < 2:
        return _nan(a)
    drops = np.where(np.tri(size - 1, size, dtype=bool), a[..., :-1, :] - a[..., 1:, :], 0.0)
    return _mean(drops.sum(axis=-1) / np.arange(1, size))


def bwt(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Backward transfer: mean over i < T of the final accuracy on i less that right after learning i."""
    a = accuracy_matrix(correct, count)
    if a.shape[-1] < 2:
        return _nan(a)
    return _mean((a[..., -1, :] - np.diagonal(a, axis1=-2, axis2=-1))[..., :-1])


def forgetting_first(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Avalanche's forgetting: -bwt."""
    return -bwt(correct, count)


def plasticity(correct: ArrayLike, count: ArrayLike) -> Figures:
    """Mean over tasks of the accuracy on each right after learning it (learning accuracy in MER, arXiv 1810.11910)."""
    return _mean(np.diagonal(accuracy_matrix(correct, count), axis1=-2, axis2=-1))


def fwt(correct: ArrayLike, count: ArrayLike, baseline: ArrayLike) -> Figures:
    """Forward transfer: mean over i > 1 of the accuracy on i just before learning it less the untrained `baseline`.

    Args:
        baseline: (T,) accuracy in percent of the untrained model on each task; its first entry is not used.
    """
    a = accuracy_matrix(correct, count)
    if a.shape[-1] < 2:
        return _nan(a)
    before = np.diagonal(a, offset=1, axis1=-2, axis2=-1)
    return _mean(before - np.asarray(baseline, dtype=np.float64)[..., 1:])


def _figures(values: Floats) -> Figures:
    figures: Figures = values[()]  # an array without axes becomes a number, which JSON knows
    return figures


def _mean(values: Floats, axis: int | tuple[int, int] = -1) -> Figures:
    return _figures(np.asarray(values.mean(axis=axis)))


def _nan(a: Floats) -> Figures:
    return _figures(np.full(a.shape[:-2], np.nan))


METRICS: dict[str, Metric] = {
    function.__name__: function
    for function in (
        final_acc_micro,
        final_acc_macro,
        aaa_micro,
        aaa_macro,
        transfer,
        average,
        last,
        forgetting,
        forgetting_coda,
        forgetting_first,
        bwt,
        plasticity,
    )
}
LOWER_IS_BETTER = frozenset({"forgetting", "forgetting_coda", "forgetting_first"})
