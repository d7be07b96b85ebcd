"""The rows of one stage: made once, written once, and read back by a run that finds them there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clsearch.benchmarks.streams import Stream, Task
from clsearch.learning.request import SequenceRequest
from clsearch.results.counts import StageCounts
from clsearch.results.layout import rows_path
from clsearch.results.rows import decode, rows_table
from clsearch.results.store import Store, StoreError
from clsearch.spec.keys import ENGINE_NUMERICS, eval_hash
from clsearch.spec.settings import MethodSettings


@dataclass(frozen=True)
class StageRows:
    """What all rows of a stage have in common: whose they are. What was measured, and where, comes with the counts."""

    request: SequenceRequest
    stream: Stream[Any]
    settings: MethodSettings
    task_learned: int
    key: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def write(
        self, store: Store, eval_setting: Mapping[str, Any], tasks: Sequence[Task], counts: Mapping[str, StageCounts]
    ) -> None:
        """Put the rows of one eval setting from its counts by split.

        Raises StoreConflict where other counts are there already.
        """
        request = self.request
        rows = [self._row(eval_setting, task, found, i) for found in counts.values() for i, task in enumerate(tasks)]
        types = {name: type(value) for name, value in {**request.parameters, **eval_setting}.items()}
        store.put_rows(stage_rows_path(request, self.task_learned, eval_setting), rows_table(rows, types))

    def _row(self, eval_setting: Mapping[str, Any], task: Task, found: StageCounts, position: int) -> dict[str, Any]:
        request = self.request
        return {
            "sweep": request.sweep,
            "trial": request.trial,
            "phase": request.phase,
            "protocol": request.protocol,
            "method": request.method,
            "backbone": request.backbone,
            "benchmark": request.benchmark,
            "order_seed": request.order_seed,
            "run_seed": request.run_seed,
            "tasks_total": self.stream.tasks_total,
            "task_learned": self.task_learned,
            "task_evaluated": task.index,
            "task_name": task.name,
            "split": found.split,
            "validation_source": task.validation_source,
            "eval_setting": dict(eval_setting),
            "correct": found.correct[position],
            "count": found.count[position],
            "stage_key": self.key,
            "numerics": {"engine": ENGINE_NUMERICS, request.method: self.settings.numerics},
            "trained_parameters": found.record["trained_parameters"],
            "stored_parameters": found.record["stored_parameters"],
            "train_seconds": found.record["learn_seconds"],
            "memory_gb": found.record.get("memory_gb"),  # of a stage learned before it was measured: not known
            "eval_seconds": found.eval_seconds,
            "workers": found.workers,
            "device": found.device,
            "attempt": request.attempt,
            "started_at": self.started_at,
            "data_digest": self.stream.digest,
            "setting": dataclasses.asdict(self.settings),
            **found.source,
            **{f"param_{name}": value for name, value in {**request.parameters, **eval_setting}.items()},
        }


def stage_rows_path(request: SequenceRequest, task: int, eval_setting: Mapping[str, Any]) -> str:
    """Where the rows of one stage under one eval setting belong."""
    return rows_path(
        request.sweep, request.trial, request.phase, request.order_seed, request.run_seed, task, eval_hash(eval_setting)
    )


def known_rows(store: Store, request: SequenceRequest) -> set[str]:
    """The paths of the row files that the request's trial has in its phase and under its seeds (one listing)."""
    path = stage_rows_path(request, 1, request.eval_settings[0])
    return {*store.list(path[: path.rindex("-t") + len("-t")])}


def stored_counts(
    store: Store, request: SequenceRequest, task: int, eval_setting: Mapping[str, Any], key: str
) -> list[tuple[int, int, int]] | None:
    """(task evaluated, correct, count) of the first split, if the stage's rows are there; None if they are not.

    Raises StoreError where the file is damaged, or holds another stage's rows: the data, the weights, a numerics
    version or the form of keys changed under the sweep's name.
    """
    path = stage_rows_path(request, task, eval_setting)
    try:
        table = decode(store.get(path), f"{store.uri}/{path}")
    except FileNotFoundError:
        return None
    rows = table.to_pylist()
    if any(row["stage_key"] != key for row in rows):
        raise StoreError(
            f"row file {store.uri}/{path} belongs to another stage than this command would learn: data, weights, a "
            "numerics version or the form of its keys (see CHANGELOG.md) have changed since. Give the sweep another "
            "name to learn anew; the old rows stay"
        )
    wanted = [row for row in rows if row["split"] == request.splits[0]]
    return [(row["task_evaluated"], row["correct"], row["count"]) for row in wanted] if wanted else None
