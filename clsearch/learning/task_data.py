"""A task's data as its method sees it: `train` and `inner`, and nothing else of any task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from torch import Tensor

from clsearch.benchmarks.streams import Task
from clsearch.layers.workers import Workers
from clsearch.learning.evaluation import EVALUATION_BATCH
from clsearch.learning.optimisation import fit, in_order
from clsearch.methods.base import Batch, Method
from clsearch.spec.settings import MethodSettings


class LearningData:
    """The views of one task that a method may look at (methods.base.TaskData).

    A method that does not read `inner` learns from it too, and has no such view.
    """

    def __init__(
        self,
        task: Task,
        settings: MethodSettings,
        run_seed: int,
        prepare: Callable[[Any], Tensor],
        workers: Workers,
    ) -> None:
        self._address = (run_seed, task.index)
        self._prepare, self._workers = prepare, workers
        self.train = task.learn.train if settings.reads_inner else task.learn.together()
        self._views = {"train": self.train} | ({"inner": task.learn.inner} if settings.reads_inner else {})

    def batches(self, view: Literal["train", "inner"]) -> Iterator[Batch]:
        """This worker's share of the view, batch by batch."""
        return in_order(self._views[view], EVALUATION_BATCH, self._prepare, (*self._address, view), self._workers)

    def fit(self, method: Method, progress: Callable[[int, int], None] | None = None) -> None:
        """Learn the task."""
        fit(method, self.train, self._prepare, (*self._address, "learn"), self._workers, progress=progress)

    def preliminary_fit(self, method: Method, epochs: int, purpose: str) -> None:
        """Train for some epochs at most, with draws of its own."""
        fit(method, self.train, self._prepare, (*self._address, purpose), self._workers, epochs=epochs)
