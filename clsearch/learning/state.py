"""What the stages of one sequence share while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clsearch.backbones.load import PRECISIONS
from clsearch.benchmarks.streams import Stream
from clsearch.layers.workers import Workers
from clsearch.learning.keys import Stage
from clsearch.learning.known import Known
from clsearch.learning.optimisation import preparation
from clsearch.learning.request import SequenceRequest
from clsearch.results.store import Store
from clsearch.spec.settings import MethodSettings


@dataclass
class SequenceState:
    """One sequence: what is asked, what it is learned with, and what is known of it."""

    request: SequenceRequest
    store: Store
    workers: Workers
    settings: MethodSettings
    stream: Stream[Any]
    backbone: Any
    stages: tuple[Stage, ...]
    known: Known  # rank 0's alone knows anything
    progress: Callable[[int, int, int], None] | None
    correct: np.ndarray[Any, Any] = field(init=False)  # [eval setting, task learned, task evaluated], first split
    count: np.ndarray[Any, Any] = field(init=False)
    written: set[int] = field(init=False, default_factory=set)  # the tasks whose checkpoints this run has written

    def __post_init__(self) -> None:
        total = len(self.stages)
        self.correct = np.zeros((len(self.request.eval_settings), total, total), dtype=np.int64)
        self.count = np.zeros_like(self.correct)
        device = next(self.backbone.parameters()).device
        self.prepare = preparation(self.stream.normalize, PRECISIONS[self.request.precision], device)

    def path(self, task: int) -> str:
        """Where the checkpoint of a task's stage belongs."""
        return self.store.stage_path(self.stages[task - 1].key)


def alone(record: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's record without those of the stages before it."""
    return {name: value for name, value in record.items() if name != "before"}
