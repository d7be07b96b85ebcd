"""Class orders, domain orders, and how an order is cut into tasks."""

from __future__ import annotations

import numpy as np

from clsearch.errors import UsageError


def order(count: int, order_seed: int) -> tuple[int, ...]:
    """The order of `count` classes or domains: as published for seed 0, else PILOT's permutation for that seed."""
    if order_seed < 0 or order_seed >= 2**32:
        raise UsageError(f"order seed must lie in 0..{2**32 - 1}, not {order_seed}")
    if order_seed == 0:
        return tuple(range(count))
    return tuple(int(i) for i in np.random.RandomState(order_seed).permutation(count))


def blocks(count: int, tasks: int, where: str) -> tuple[tuple[int, ...], ...]:
    """Labels 0..count-1 cut into equal runs, one a task; raises UsageError where they do not divide."""
    if tasks < 1 or count % tasks:
        raise UsageError(f"{where}: {count} classes cannot be divided into {tasks} tasks of equal size")
    size = count // tasks
    return tuple(tuple(range(start, start + size)) for start in range(0, count, size))
