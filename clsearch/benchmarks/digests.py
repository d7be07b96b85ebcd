"""Digests of what a task is: they key stages, so they hold all that learning and evaluation read, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from clsearch.benchmarks.catalogue import BenchmarkInfo
from clsearch.benchmarks.examples import Listing
from clsearch.benchmarks.layout import Layout, TaskPlan
from clsearch.benchmarks.transforms import TransformSet
from clsearch.spec.keys import digest


def layout_digests(info: BenchmarkInfo, layout: Layout, transforms: TransformSet) -> tuple[tuple[str, ...], str]:
    """The digest of each task, and one of the whole stream, test examples included."""
    tasks = tuple(digest(_task_facts(info, layout, plan, transforms)) for plan in layout.plans)
    tests = [_examples(plan.split.test) for plan in layout.plans]
    return tasks, digest([tasks, tests, layout.class_names, layout.templates])


def evaluation_digests(
    info: BenchmarkInfo, layout: Layout, transforms: TransformSet
) -> tuple[dict[Literal["validation", "test"], str], ...]:
    """For each task, a digest of what is seen of it when a model is evaluated on it, by split."""
    seen = {"transforms": dataclasses.asdict(transforms), "image_size": info.image_size}
    return tuple(
        {
            "validation": digest([_examples(plan.split.validation), seen]),
            "test": digest([_examples(plan.split.test), seen]),
        }
        for plan in layout.plans
    )


def _task_facts(info: BenchmarkInfo, layout: Layout, plan: TaskPlan, transforms: TransformSet) -> dict[str, Any]:
    # Under class increments later classes do not exist yet; elsewhere every name is known from the start.
    known = max(plan.classes) + 1 if info.kind == "class_incremental" else len(layout.class_names)
    return {
        "kind": info.kind,
        "train": _examples(plan.split.train),
        "inner": _examples(plan.split.inner),
        "validation": _examples(plan.split.validation),
        "classes": plan.classes,
        "class_names": layout.class_names[:known],
        "templates": layout.templates[:known],
        "transforms": dataclasses.asdict(transforms),
        "image_size": info.image_size,
        "shots": info.rule.shots,
    }


def _examples(listing: Listing) -> list[Any]:
    return [listing.ids, listing.labels.tolist(), listing.marks]
