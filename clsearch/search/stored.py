"""Which rows of a job a store has, by the names of its row files: what has all of them is not learned again."""

from __future__ import annotations

from collections.abc import Set

from clsearch.execution.job import Job
from clsearch.results.layout import rows_path
from clsearch.results.store import Store
from clsearch.spec.keys import eval_hash
from clsearch.spec.sweep import SweepSpec


def tasks_without_rows(spec: SweepSpec, job: Job, names: Set[str]) -> tuple[int, ...]:
    """The tasks of a job after which the row file of some eval setting is not among `names`; none: it is stored."""
    tasks = range(1, spec.course(job.phase).tasks + 1)
    return tuple(task for task in tasks if not names_of_rows(spec, job, task) <= names)


def stored_by_now(store: Store, spec: SweepSpec, job: Job) -> bool:
    """Whether a job has all of its rows, from one listing of its own."""
    name = min(names_of_rows(spec, job, 1))
    return not tasks_without_rows(spec, job, {*store.list(name[: name.rindex("-t") + len("-t")])})


def names_of_rows(spec: SweepSpec, job: Job, task: int) -> set[str]:
    """The row files that a job writes after a task, one for each of its eval settings."""
    place = (spec.name, job.trial, job.phase, job.order_seed, job.run_seed, task)
    return {rows_path(*place, eval_hash(setting)) for setting in job.eval_settings}
