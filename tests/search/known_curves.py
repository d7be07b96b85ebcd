"""Learners with known curves, in place of `run_sequence`: every row and stage is written, nothing is trained."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.errors import UsageError
from clsearch.learning.request import SequenceRequest, SequenceResult, TaskReport
from clsearch.results.rows import rows_table
from clsearch.results.store import Store
from clsearch.spec.keys import eval_hash, stage_key

COUNT = 1000


def correct(request: SequenceRequest, eval_setting: dict[str, Any], learned: int, evaluated: int, split: str) -> int:
    """Of COUNT images: best at learning rate 1e-3, worse with time, a little noise by seeds; test is 10 below."""
    rate = float(request.settings["learning_rate"])
    value = 800 - int(100 * abs(rate - 1e-3) / 1e-3) - 20 * (learned - evaluated) + 3 * (request.run_seed % 5)
    value += 5 if eval_setting.get("threshold") == 0.1 else 0
    return max(0, value - (10 if split == "test" else 0))


def tasks_of(request: SequenceRequest) -> tuple[int, int]:
    """How many tasks the request learns, and how many its sequence has."""
    total = benchmark_info(request.benchmark).tasks
    if request.part is not None:
        total = request.part.size(total)
    return request.max_tasks or total, total


def learn(request: SequenceRequest, store: Store, workers: Any, report: Callable[[TaskReport], None]) -> SequenceResult:
    """Write what `run_sequence` would write; stages that the store has count as reused."""
    key, reused = None, 0
    tasks, _ = tasks_of(request)
    for task in range(1, tasks + 1):
        facts = {"settings": json.dumps(request.parameters, sort_keys=True), "task": task, "seed": request.run_seed}
        key = stage_key(key, facts)
        known = not store.put(store.stage_path(key), b"a stage")
        reused += known
        for eval_setting in request.eval_settings:
            rows = [
                _row(request, key, eval_setting, task, evaluated, split)
                for split in request.splits
                for evaluated in range(1, tasks + 1)
            ]
            types = {name: type(value) for name, value in request.parameters.items()}
            place = (request.trial, request.phase, request.order_seed, request.run_seed, task, eval_hash(eval_setting))
            store.put_rows(store.rows_path(request.sweep, *place), rows_table(rows, types))
        report(TaskReport(task, tasks, 70.0 + task, 0.01, 0.01, known))
    return SequenceResult(tasks, tasks - reused, reused, 0.0, 0.0, ())


def learn_slowly(request: SequenceRequest, store: Store, workers: Any, report: Any) -> SequenceResult:
    """As `learn`, with a pause after every write of the trial, its outcome and its end included."""
    put = store.put

    def put_and_pause(path: str, data: bytes) -> bool:
        written = put(path, data)
        time.sleep(0.01)
        return written

    store.put = put_and_pause  # type: ignore[method-assign]
    return learn(request, store, workers, report)


def raise_in_trial_1(request: SequenceRequest, store: Store, workers: Any, report: Any) -> SequenceResult:
    """Trial 1 raises; its message holds a secret of the environment."""
    if request.trial == 1:
        raise RuntimeError(f"the loss is no number (key {os.environ['AWS_SECRET_ACCESS_KEY']})")
    return learn(request, store, workers, report)


def refuse_trial_1(request: SequenceRequest, store: Store, workers: Any, report: Any) -> SequenceResult:
    """Trial 1 has a setting that the method refuses."""
    if request.trial == 1:
        raise UsageError("setting 'new_rank' is too large here")
    return learn(request, store, workers, report)


def refuse_all(request: SequenceRequest, store: Store, workers: Any, report: Any) -> SequenceResult:
    """Weights are not in the cache, whatever the setting."""
    raise UsageError("weights of 'clip_vit_b16_openai' are not in the cache and there is no network")


def die_once_in_trial_1(request: SequenceRequest, store: Store, workers: Any, report: Any) -> SequenceResult:
    """The process of trial 1 goes away at its first attempt."""
    if request.trial == 1 and request.attempt == 1:
        os._exit(1)
    return learn(request, store, workers, report)


def die_always_in_trial_1(request: SequenceRequest, store: Store, workers: Any, report: Any) -> SequenceResult:
    """The process of trial 1 goes away at every attempt."""
    if request.trial == 1:
        os._exit(1)
    return learn(request, store, workers, report)


def _row(
    request: SequenceRequest, key: str, eval_setting: dict[str, Any], learned: int, evaluated: int, split: str
) -> dict[str, Any]:
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
        "tasks_total": tasks_of(request)[1],
        "task_learned": learned,
        "task_evaluated": evaluated,
        "split": split,
        "eval_setting": eval_setting,
        "correct": correct(request, eval_setting, learned, evaluated, split),
        "count": COUNT,
        "stage_key": key,
        "attempt": request.attempt,
        "started_at": datetime.now(UTC),
        **{f"param_{name}": value for name, value in request.parameters.items()},
    }
