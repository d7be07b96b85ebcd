"""Parts of a benchmark: some of its tasks as a benchmark of their own, with no class and no domain of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from clsearch.benchmarks.catalogue import BenchmarkInfo
from clsearch.benchmarks.examples import Listing, Pool
from clsearch.benchmarks.layout import check_classes, check_domains
from clsearch.benchmarks.orders import order
from clsearch.errors import UsageError
from clsearch.spec.protocols import Part


def cut(info: BenchmarkInfo, pools: tuple[Pool, ...], part: Part) -> tuple[BenchmarkInfo, tuple[Pool, ...]]:
    """The benchmark of a part's tasks, and its pools; their natural order is the order of the part's seed.

    An example stays in the split it has in the whole. Raises UsageError where the pools are not what the catalogue
    promises, or where one half would be empty.
    """
    if not 1 <= part.tasks < info.tasks:
        raise UsageError(
            f"benchmark '{info.name}' has {info.tasks} tasks: the first {part.tasks} and the rest are no parts"
        )
    tasks = part.size(info.tasks)
    if info.kind == "class_incremental":
        (pool,) = pools
        check_classes(info, len(pool.class_names))
        classes = _half(order(info.classes, part.order_seed), part, info.classes // info.tasks)
        return replace(info, tasks=tasks, classes=len(classes)), (_with_classes(pool, classes),)
    check_domains(info, len(pools))
    chosen = tuple(pools[i] for i in _half(order(info.tasks, part.order_seed), part, 1))
    if info.kind == "domain_incremental":  # the domains share their classes
        return replace(info, tasks=tasks), chosen
    check_classes(info, sum(len(pool.class_names) for pool in pools))
    return replace(info, tasks=tasks, classes=sum(len(pool.class_names) for pool in chosen)), chosen


def _half(ordered: Sequence[int], part: Part, size: int) -> Sequence[int]:
    """The part's share of all classes or domains in order, `size` of them a task."""
    first = part.tasks * size
    return ordered[:first] if part.half == "first" else ordered[first:]


def _with_classes(pool: Pool, classes: Sequence[int]) -> Pool:
    """The pool with these classes alone, numbered in the order given."""
    number = np.full(len(pool.class_names), -1, dtype=np.int64)
    number[list(classes)] = np.arange(len(classes))

    def only(listing: Listing) -> Listing:
        kept = listing.select(np.flatnonzero(number[listing.labels] >= 0))
        return replace(kept, labels=number[kept.labels])

    return replace(
        pool,
        class_names=tuple(pool.class_names[label] for label in classes),
        train=only(pool.train),
        validation=None if pool.validation is None else only(pool.validation),
        test=only(pool.test),
    )
