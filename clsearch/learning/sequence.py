"""One task sequence: for each task learn, checkpoint, evaluate, write rows; what the store holds is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from clsearch.backbones.load import PRECISIONS, load_backbone, weights_digest
from clsearch.benchmarks.streams import Stream, Task, open_stream
from clsearch.errors import UsageError
from clsearch.layers.workers import Workers
from clsearch.learning.checkpoint import Checkpoint, DamagedCheckpointError, decode, encode
from clsearch.learning.evaluation import count_correct
from clsearch.learning.optimisation import preparation
from clsearch.learning.request import SequenceRequest, SequenceResult, TaskReport
from clsearch.learning.rows import Counts, StageRows, stored_counts
from clsearch.learning.stages import examples_of, make_method, own_device, stage_keys
from clsearch.learning.task_data import LearningData
from clsearch.methods.base import Method, TaskInfo
from clsearch.results.metrics import LOWER_IS_BETTER, METRICS
from clsearch.results.store import Store, StoreError
from clsearch.spec.families import check_families
from clsearch.spec.settings import MethodSettings, make_settings

Report = Callable[[TaskReport], None]
RESUMPTIONS = 3  # how often a sequence looks for its place again when a checkpoint vanishes under it


class _CheckpointGoneError(Exception):
    """A checkpoint that was there a moment ago is not there any more."""


@dataclass
class _Sequence:
    """What the stages of one sequence share."""

    request: SequenceRequest
    store: Store
    workers: Workers
    settings: MethodSettings
    stream: Stream[Any]
    backbone: Any
    keys: tuple[str, ...]
    progress: Callable[[int, int, int], None] | None
    correct: np.ndarray[Any, Any] = field(init=False)  # [eval setting, task learned, task evaluated], first split
    count: np.ndarray[Any, Any] = field(init=False)

    def __post_init__(self) -> None:
        total = len(self.stream.tasks)
        self.correct = np.zeros((len(self.request.eval_settings), total, total), dtype=np.int64)
        self.count = np.zeros_like(self.correct)
        device = next(self.backbone.parameters()).device
        self.prepare = preparation(self.stream.normalize, PRECISIONS[self.request.precision], device)


def run_sequence(
    request: SequenceRequest,
    store: Store,
    workers: Workers | None = None,
    report: Report = lambda _: None,
    progress: Callable[[int, int, int], None] | None = None,
) -> SequenceResult:
    """Bring every stage of the sequence, and its rows, into the store.

    Args:
        report: told of each task after its rows are in the store, in task order, stored ones included (rank 0 only).
        progress: told (task, steps done, steps in all) while a task is learned.

    Raises:
        UsageError: unknown names, missing files or weights.
        StoreError: a damaged checkpoint or row file, or rows that contradict those already there.
        DivergedError: the loss is no number any more.
    """
    workers = workers or Workers()
    for _ in range(RESUMPTIONS):
        sequence = _open(request, store, workers, progress)
        try:
            return _bring_stages(sequence, report)
        except _CheckpointGoneError:
            # Another attempt at the same trial was alive after all and went on (`keep: last` removes what it passed):
            # whatever it has written since is found by looking again.
            continue
    raise StoreError(f"{store.uri}: checkpoints of trial {request.trial} vanish while they are read; is it run twice?")


def _open(
    request: SequenceRequest, store: Store, workers: Workers, progress: Callable[[int, int, int], None] | None
) -> _Sequence:
    """Check what is asked, and load the stream and the backbone; raises UsageError."""
    settings = make_settings(request.method, request.settings, f"method '{request.method}'")
    check_families(request.method, request.backbone, request.benchmark)
    stream: Stream[Any] = open_stream(
        request.benchmark, request.order_seed, with_test="test" in request.splits, tasks=request.max_tasks
    )
    backbone = load_backbone(request.backbone, request.precision)
    if backbone.image_size != stream.image_size:
        raise UsageError(
            f"backbone '{request.backbone}' takes images of {backbone.image_size} px, "
            f"benchmark '{request.benchmark}' gives {stream.image_size} px"
        )
    keys = stage_keys(request, settings, stream, weights_digest(backbone))
    return _Sequence(request, store, workers, settings, stream, backbone.to(own_device()), keys, progress)


def _bring_stages(sequence: _Sequence, report: Report) -> SequenceResult:
    request, store, workers, keys = sequence.request, sequence.store, sequence.workers, sequence.keys
    method = make_method(request, sequence.settings, sequence.stream, sequence.backbone, workers)
    found = [_read_stored(sequence, t, key) for t, key in enumerate(keys, 1)] if not workers.rank else None
    missing: list[list[int]] = workers.broadcast(found)
    done = [not lacking for lacking in missing]
    resumed = _resume_from(sequence, keys, done)
    records: list[dict[str, Any]] = []
    if resumed:
        last = _load(sequence, method, keys[resumed - 1]).record
        records = [*last["before"], last]
    reports: list[TaskReport] = []
    for t, key in enumerate(keys, 1):
        learn_seconds = evaluate_seconds = 0.0
        reused = t <= resumed or all(done)
        if not reused:
            learn_seconds, record, reused = _learn(sequence, method, sequence.stream.tasks[t - 1], key, records)
            records.append(record)
        if not done[t - 1]:
            evaluate_seconds = _evaluate(sequence, method, t, key, records[t - 1], missing[t - 1])
        if request.keep == "last" and not all(done) and t >= max(resumed, 2) and not workers.rank:
            store.delete(store.stage_path(keys[t - 2]))
        reports.append(TaskReport(t, len(keys), _live(sequence, t), learn_seconds, evaluate_seconds, reused))
        if not workers.rank:
            report(reports[-1])
    return SequenceResult(
        tasks_total=len(keys),
        stages_learned=sum(not told.reused for told in reports),
        stages_reused=sum(told.reused for told in reports),
        learn_seconds=sum(told.learn_seconds for told in reports),
        evaluate_seconds=sum(told.evaluate_seconds for told in reports),
        records=tuple({name: value for name, value in record.items() if name != "before"} for record in records),
    )


def _read_stored(sequence: _Sequence, t: int, key: str) -> list[int]:
    """The eval settings whose rows of stage t are not in the store; takes over the counts of those that are."""
    missing = []
    for i, eval_setting in enumerate(sequence.request.eval_settings):
        counts = stored_counts(sequence.store, sequence.request, t, eval_setting, key)
        if counts is None:
            missing.append(i)
            continue
        for evaluated, correct, count in counts:
            sequence.correct[i, t - 1, evaluated - 1] = correct
            sequence.count[i, t - 1, evaluated - 1] = count
    return missing


def _resume_from(sequence: _Sequence, keys: tuple[str, ...], done: list[bool]) -> int:
    """The stage to load before going on: 0 for a fresh start, or where every row is there and nothing is needed."""
    if all(done) or sequence.request.keep == "none":
        return 0
    first = done.index(False) + 1
    exists = sequence.workers.broadcast(
        [sequence.store.exists(sequence.store.stage_path(key)) for key in keys[:first]]
        if not sequence.workers.rank
        else None
    )
    # The first stage that lacks rows must be evaluated, so it or one before it is where learning goes on.
    return max((t for t in range(1, first + 1) if exists[t - 1]), default=0)


def _load(sequence: _Sequence, method: Method, key: str) -> Checkpoint:
    """Take up a stage. Rank 0 reads it for all workers, so that all of them find it, or find it gone."""
    store, workers = sequence.store, sequence.workers
    path = store.stage_path(key)
    data = workers.broadcast(_get_or_none(store, path) if not workers.rank else None)
    if data is None:
        raise _CheckpointGoneError(path)
    try:
        checkpoint = decode(data)
        method.load_state(checkpoint.state)
    except (DamagedCheckpointError, KeyError) as error:
        raise StoreError(
            f"checkpoint {store.uri}/{path} is damaged ({error}): remove it, and the same command learns it again"
        ) from error
    return checkpoint


def _get_or_none(store: Store, path: str) -> bytes | None:
    try:
        return store.get(path)
    except FileNotFoundError:
        return None


def _learn(
    sequence: _Sequence, method: Method, task: Task, key: str, before: list[dict[str, Any]]
) -> tuple[float, dict[str, Any], bool]:
    """Learn one task, or take it from the store; seconds, the stage's record, and whether it was there already."""
    request, store, workers = sequence.request, sequence.store, sequence.workers
    path = store.stage_path(key)
    keeps = request.keep != "none"
    if keeps and workers.broadcast(store.exists(path) if not workers.rank else None):
        return 0.0, _load(sequence, method, key).record, True
    begun = time.perf_counter()
    data = LearningData(task, sequence.settings, request.run_seed, sequence.prepare, workers)
    method.begin_task(TaskInfo(task.index, task.name, task.classes), data)
    trained = method.trained_parameters()
    if method.parameter_groups():
        told = sequence.progress
        data.fit(method, None if told is None else lambda step, steps: told(task.index, step, steps))
    method.end_task(data)
    seconds = time.perf_counter() - begun
    record = {
        "task": task.index,
        "task_name": task.name,
        "trained_parameters": trained,
        "stored_parameters": method.stored_parameters(),
        "learn_seconds": seconds,
        "method": method.record(),
        # A checkpoint tells of the whole way to it: with `keep: last` it is the only one left.
        "before": [{name: value for name, value in record.items() if name != "before"} for record in before],
    }
    if keeps:
        state = method.state()
        written = workers.broadcast(store.put(path, encode(Checkpoint(state, record))) if not workers.rank else None)
        if not written:
            # Somebody else learned it meanwhile; that checkpoint counts, so that rows agree with what is stored.
            record = _load(sequence, method, key).record
    return seconds, record, False


def _evaluate(
    sequence: _Sequence, method: Method, t: int, key: str, record: dict[str, Any], missing: list[int]
) -> float:
    """Evaluate stage t under those eval settings whose rows are missing, and write them, one file an eval setting."""
    request, stream, workers = sequence.request, sequence.stream, sequence.workers
    begun = time.perf_counter()
    evaluated = [task for task in stream.tasks if stream.kind == "cross_domain" or task.index <= t]
    counts: dict[str, tuple[list[list[int]], list[int]]] = {}
    for split in request.splits:
        sets = [examples_of(task, split) for task in evaluated]
        grid = [request.eval_settings[i] for i in missing]
        correct = count_correct(method, sets, grid, stream.candidates(t), sequence.prepare, workers)
        counts[str(split)] = correct, [len(examples) for examples in sets]
    seconds = time.perf_counter() - begun
    if not workers.rank:
        device = torch.cuda.get_device_name() if own_device().type == "cuda" else "cpu"
        rows = StageRows(request, stream, sequence.settings, t, key, record, workers.size, device, seconds)
        for position, i in enumerate(missing):
            by_split: dict[str, Counts] = {split: (c[position], totals) for split, (c, totals) in counts.items()}
            rows.write(sequence.store, request.eval_settings[i], evaluated, by_split)
            first = by_split[request.splits[0]]
            for task, right, total in zip(evaluated, *first, strict=True):
                sequence.correct[i, t - 1, task.index - 1] = right
                sequence.count[i, t - 1, task.index - 1] = total
    workers.barrier()
    return seconds


def _live(sequence: _Sequence, t: int) -> float:
    """The request's metric after task t, of the best eval setting so far."""
    metric = METRICS[sequence.request.metric]
    figures = [float(metric(c[:t, :t], n[:t, :t])) for c, n in zip(sequence.correct, sequence.count, strict=True)]
    best = min if sequence.request.metric in LOWER_IS_BETTER else max
    return best(figures)
