"""Streams of tasks: what a sequence learns, in which order, and what may be looked at when.

A search gets a Stream[Task], and a Task has no test; only confirmation and analysis ask for a Stream[TestedTask].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar, overload

from clsearch.benchmarks.catalogue import BenchmarkInfo, Kind, benchmark_info, find_data_root, missing_files
from clsearch.benchmarks.digests import evaluation_digests, layout_digests
from clsearch.benchmarks.examples import ExampleSet, LearnData, Listing, Pool
from clsearch.benchmarks.layout import Layout, TaskPlan, lay_out
from clsearch.benchmarks.parts import cut
from clsearch.benchmarks.sources import read_pools
from clsearch.benchmarks.transforms import TRANSFORMS, Normalize
from clsearch.errors import UsageError
from clsearch.spec.protocols import Part

__all__ = ["ExampleSet", "LearnData", "Stream", "Task", "TestedTask", "build_stream", "open_stream"]


@dataclass(frozen=True, eq=False)
class Task:
    """One task of a stream: what a method may learn from, and what only the search may look at."""

    index: int  # from 1
    name: str
    classes: tuple[int, ...]  # global labels, ascending
    learn: LearnData
    validation: ExampleSet
    validation_source: str  # where validation comes from: "train", "own list" or "unused train images"


@dataclass(frozen=True, eq=False)
class TestedTask(Task):
    """A task as confirmation and analysis see it."""

    __test__ = False  # the name is not a pytest class

    test: ExampleSet


AnyTask = TypeVar("AnyTask", bound=Task, covariant=True)
SomeTask = TypeVar("SomeTask", bound=Task)


@dataclass(frozen=True, eq=False)
class Stream(Generic[AnyTask]):
    """The tasks of a benchmark (or of a part of it) in one order, or the first few of them.

    Labels and digests are those of the whole, which is the part where there is one.
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]  # by global label
    templates: tuple[str, ...]  # by global label
    tasks: tuple[AnyTask, ...]
    tasks_total: int  # of the benchmark or its part, whatever number this stream is limited to
    normalize: Normalize
    image_size: int
    digest: str  # of ids, labels, contents where hashed, split (test included) and transforms
    task_digests: tuple[str, ...]
    evaluation_digests: tuple[Mapping[Literal["validation", "test"], str], ...]  # of each task's examples, by split

    def task_digest(self, index: int) -> str:
        """What task `index` (from 1) is learned and validated on: examples, label map, transforms, templates."""
        return self.task_digests[index - 1]

    def seen_classes(self, t: int) -> tuple[int, ...]:
        """The global labels met in tasks 1..t, ascending."""
        return tuple(sorted({label for task in self.tasks[:t] for label in task.classes}))

    def evaluated(self, t: int) -> tuple[AnyTask, ...]:
        """The tasks that a model is measured on after task t: those it met, or all where none has to be met first."""
        return self.tasks if self.kind == "cross_domain" else self.tasks[:t]

    def candidates(self, t: int) -> tuple[int, ...]:
        """The labels a prediction after task t chooses among: all names where they are known from the start."""
        if self.kind == "cross_domain":
            return tuple(range(len(self.class_names)))
        return self.seen_classes(t)


@overload
def open_stream(
    benchmark: str,
    order_seed: int,
    *,
    with_test: Literal[False] = False,
    data_root: Path | None = None,
    tasks: int | None = None,
    part: Part | None = None,
) -> Stream[Task]: ...


@overload
def open_stream(
    benchmark: str,
    order_seed: int,
    *,
    with_test: Literal[True],
    data_root: Path | None = None,
    tasks: int | None = None,
    part: Part | None = None,
) -> Stream[TestedTask]: ...


@overload
def open_stream(
    benchmark: str,
    order_seed: int,
    *,
    with_test: bool,
    data_root: Path | None = None,
    tasks: int | None = None,
    part: Part | None = None,
) -> Stream[Task] | Stream[TestedTask]: ...


def open_stream(
    benchmark: str,
    order_seed: int,
    *,
    with_test: bool = False,
    data_root: Path | None = None,
    tasks: int | None = None,
    part: Part | None = None,
) -> Stream[Task] | Stream[TestedTask]:
    """The benchmark's stream in the order of `order_seed` (0: as published), limited to its first `tasks` tasks.

    With a part, the stream of those tasks alone, as of a benchmark that has no others. Lists, splits and hashes;
    decodes nothing. Raises UsageError: unknown benchmark, missing or wrong files, a number of tasks outside 1..T.
    """
    info = benchmark_info(benchmark)
    missing = missing_files(benchmark, data_root)
    if missing is not None:
        raise UsageError(missing)
    pools = read_pools(info, find_data_root(data_root))
    return build_stream(info, pools, order_seed, with_test=with_test, tasks=tasks, part=part)


def build_stream(
    info: BenchmarkInfo,
    pools: tuple[Pool, ...],
    order_seed: int,
    *,
    with_test: bool,
    tasks: int | None = None,
    part: Part | None = None,
) -> Stream[Task] | Stream[TestedTask]:
    """A stream from pools that a reader has listed; see open_stream."""
    if part is not None:
        info, pools = cut(info, pools, part)
        order_seed = 0 if order_seed == part.order_seed else order_seed
    limit = info.tasks if tasks is None else tasks
    if not 1 <= limit <= info.tasks:
        raise UsageError(f"benchmark '{info.name}' has {info.tasks} tasks; tasks={limit} must lie in 1..{info.tasks}")
    layout = lay_out(info, pools, order_seed)
    if with_test:
        return _stream(info, layout, tuple(_tested_task(plan) for plan in layout.plans[:limit]))
    return _stream(info, layout, tuple(_task(plan) for plan in layout.plans[:limit]))


def _stream(info: BenchmarkInfo, layout: Layout, tasks: tuple[SomeTask, ...]) -> Stream[SomeTask]:
    transforms = TRANSFORMS[info.transforms]
    task_digests, whole = layout_digests(info, layout, transforms)
    return Stream(
        name=info.name,
        kind=info.kind,
        class_names=layout.class_names,
        templates=layout.templates,
        tasks=tasks,
        tasks_total=info.tasks,
        normalize=transforms.normalize,
        image_size=info.image_size,
        digest=whole,
        task_digests=task_digests,
        evaluation_digests=evaluation_digests(info, layout, transforms),
    )


def _task(plan: TaskPlan) -> Task:
    split = plan.split
    learn = LearnData(train=_examples(plan, split.train), inner=_examples(plan, split.inner))
    return Task(plan.index, plan.name, plan.classes, learn, _examples(plan, split.validation), split.validation_source)


def _tested_task(plan: TaskPlan) -> TestedTask:
    task = _task(plan)
    test = _examples(plan, plan.split.test)
    return TestedTask(task.index, task.name, task.classes, task.learn, task.validation, task.validation_source, test)


def _examples(plan: TaskPlan, listing: Listing) -> ExampleSet:
    return ExampleSet(listing.ids, listing.labels, plan.open(listing.places))
