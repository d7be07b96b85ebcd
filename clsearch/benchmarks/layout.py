"""From pools to tasks: the label map, the order, and each task's share of the split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clsearch.benchmarks.catalogue import BenchmarkInfo
from clsearch.benchmarks.examples import Labels, Listing, Place, Pool, Reader
from clsearch.benchmarks.orders import blocks, order
from clsearch.benchmarks.splits import Split, split_pool
from clsearch.errors import UsageError


@dataclass(frozen=True, eq=False)
class TaskPlan:
    """A task before any image is opened; the split's labels are global."""

    index: int  # from 1
    name: str
    classes: tuple[int, ...]
    split: Split
    open: Callable[[Sequence[Place]], Reader]


@dataclass(frozen=True, eq=False)
class Layout:
    """All tasks of a benchmark in one order, with the names and templates of its label space."""

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    plans: tuple[TaskPlan, ...]


def lay_out(info: BenchmarkInfo, pools: tuple[Pool, ...], order_seed: int) -> Layout:
    """The tasks in the order of the seed; the split itself does not depend on it.

    Raises UsageError where the pools are not what the catalogue promises: number of classes or domains, an id twice.
    """
    for pool in pools:
        if pool.template.count("{}") != 1:
            raise UsageError(f"{info.name}: template '{pool.template}' of '{pool.name}' needs one placeholder {{}}")
    _check_ids(info, pools)
    if info.kind == "class_incremental":
        return _by_classes(info, pools[0], order_seed)
    check_domains(info, len(pools))
    ordered = tuple(pools[i] for i in order(len(pools), order_seed))
    return _by_domains(info, ordered)


def _by_classes(info: BenchmarkInfo, pool: Pool, order_seed: int) -> Layout:
    check_classes(info, len(pool.class_names))
    class_order = order(info.classes, order_seed)
    position = np.argsort(np.asarray(class_order))  # local label -> place in the order
    split = _relabel(split_pool(pool, info.rule), position)
    plans = []
    for index, classes in enumerate(blocks(info.classes, info.tasks, info.name), start=1):
        name = f"classes {classes[0]}-{classes[-1]}"
        plans.append(TaskPlan(index, name, classes, _restrict(split, classes), pool.open))
    names = tuple(pool.class_names[label] for label in class_order)
    return Layout(names, (pool.template,) * len(names), tuple(plans))


def _by_domains(info: BenchmarkInfo, pools: tuple[Pool, ...]) -> Layout:
    shared = info.kind == "domain_incremental"
    names: list[str] = []
    templates: list[str] = []
    plans = []
    for index, pool in enumerate(pools, start=1):
        if shared and names and tuple(names) != pool.class_names:
            raise UsageError(f"{info.name}: domain '{pool.name}' has other classes than domain '{pools[0].name}'")
        start = 0 if shared else len(names)
        if start == len(names):
            names += pool.class_names
            templates += [pool.template] * len(pool.class_names)
        labels = np.arange(start, start + len(pool.class_names))
        split = _relabel(split_pool(pool, info.rule), labels)
        plans.append(TaskPlan(index, pool.name, tuple(labels.tolist()), split, pool.open))
    check_classes(info, len(names))
    return Layout(tuple(names), tuple(templates), tuple(plans))


def _relabel(split: Split, label_map: Labels) -> Split:
    return _each(split, lambda listing: replace(listing, labels=label_map[listing.labels]))


def _restrict(split: Split, classes: tuple[int, ...]) -> Split:
    return _each(split, lambda listing: listing.select(np.flatnonzero(np.isin(listing.labels, classes))))


def _each(split: Split, change: Callable[[Listing], Listing]) -> Split:
    return replace(
        split,
        train=change(split.train),
        inner=change(split.inner),
        validation=change(split.validation),
        test=change(split.test),
    )


def check_domains(info: BenchmarkInfo, domains: int) -> None:
    """Raises UsageError where the files have another number of domains than the catalogue promises."""
    if domains != info.tasks:
        raise UsageError(f"benchmark '{info.name}' should have {info.tasks} domains, its files have {domains}")


def check_classes(info: BenchmarkInfo, classes: int) -> None:
    """Raises UsageError where the files have another number of classes than the catalogue promises."""
    if classes != info.classes:
        raise UsageError(f"benchmark '{info.name}' should have {info.classes} classes, its files have {classes}")


def _check_ids(info: BenchmarkInfo, pools: tuple[Pool, ...]) -> None:
    """Every domain has its own name and every image stands in one list; raises UsageError otherwise."""
    names = [pool.name for pool in pools]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{info.name}: domain '{twice}' is listed twice")
    owner: dict[str, str] = {}
    for pool in pools:
        for part, listing in (("train", pool.train), ("validation", pool.validation), ("test", pool.test)):
            for name in () if listing is None else listing.ids:
                if name in owner:
                    again = f"{part} of {pool.name}"
                    raise UsageError(f"{info.name}: image '{name}' is listed in {owner[name]} and again in {again}")
                owner[name] = f"{part} of {pool.name}"
