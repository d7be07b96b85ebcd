"""One task sequence: for each task learn, checkpoint, evaluate, write rows; what the store holds is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clsearch.backbones.load import load_backbone, weights_digest
from clsearch.errors import UsageError
from clsearch.layers.workers import Workers
from clsearch.learning.checkpoint import Checkpoint, DamagedCheckpointError, decode, encode
from clsearch.learning.keys import request_settings, request_stages, request_stream, resume_point
from clsearch.learning.known import Known, Wanted, look_up
from clsearch.learning.measure import live_metric, measure, write_rows
from clsearch.learning.memory import forget_peak, peak_gb
from clsearch.learning.request import SequenceRequest, SequenceResult, TaskReport
from clsearch.learning.stages import make_method, own_device
from clsearch.learning.state import SequenceState, alone
from clsearch.learning.task_data import LearningData
from clsearch.methods.base import Method, TaskInfo
from clsearch.results.counts import note_weights
from clsearch.results.store import Store, StoreError
from clsearch.spec.families import check_families
from clsearch.spec.settings import forks

Report = Callable[[TaskReport], None]
RESUMPTIONS = 3  # how often a sequence looks for its place again when a checkpoint vanishes under it


class _CheckpointGoneError(Exception):
    """A checkpoint that was there a moment ago is not there any more."""


def run_sequence(
    request: SequenceRequest,
    store: Store,
    workers: Workers | None = None,
    report: Report = lambda _: None,
    progress: Callable[[int, int, int], None] | None = None,
) -> SequenceResult:
    """Bring the rows of every stage of the sequence into the store.

    A stage that anybody has measured under the same eval settings on the same tasks is neither learned nor measured:
    its rows are written from its counts, and it leaves no checkpoint. What lacks counts is measured on the stage's
    checkpoint, where there is one; else learning goes on from the latest before it.

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
) -> SequenceState:
    """Check what is asked, load the stream and the backbone, and look up what is known; raises UsageError."""
    settings = request_settings(request)
    check_families(request.method, request.backbone, request.benchmark)
    stream = request_stream(request)
    backbone = load_backbone(request.backbone, request.precision)
    if backbone.image_size != stream.image_size:
        raise UsageError(
            f"backbone '{request.backbone}' takes images of {backbone.image_size} px, "
            f"benchmark '{request.benchmark}' gives {stream.image_size} px"
        )
    weights = weights_digest(backbone)
    stages = request_stages(request, stream, weights)
    known = Known(request)
    if not workers.rank:
        note_weights(store, request.backbone, request.precision, weights)
        known = look_up(store, request, stages)
    return SequenceState(request, store, workers, settings, stream, backbone.to(own_device()), stages, known, progress)


def _bring_stages(sequence: SequenceState, report: Report) -> SequenceResult:
    request, store, workers, known = sequence.request, sequence.store, sequence.workers, sequence.known
    total = len(sequence.stages)
    wanted: list[Wanted] = workers.broadcast([known.wanted(t) for t in range(1, total + 1)])
    unknown = [t for t, lacking in enumerate(wanted, 1) if lacking]
    method, resumed, records = _take_up(sequence, unknown)
    reports: list[TaskReport] = []
    for t in range(1, total + 1):
        learn_seconds = evaluate_seconds = 0.0
        reused = True
        if method is not None and resumed < t <= unknown[-1]:
            learn_seconds, record, reused = _learn(sequence, method, t, records)
            records.append(record)
        if method is not None and wanted[t - 1]:
            evaluate_seconds = measure(sequence, method, t, records[t - 1], wanted[t - 1])
        if not workers.rank:
            write_rows(sequence, t)
            passed = t - 1 in sequence.written and t <= unknown[-1]
            if request.keep == "last" and passed and not forks(request.method, t):
                store.delete(sequence.path(t - 1))
        workers.barrier()
        reports.append(TaskReport(t, total, live_metric(sequence, t), learn_seconds, evaluate_seconds, reused))
        if not workers.rank:
            report(reports[-1])
    told = [*records, *(known.record(t) for t in range(len(records) + 1, total + 1))]
    return SequenceResult(
        tasks_total=total,
        stages_learned=sum(not told.reused for told in reports),
        stages_reused=sum(told.reused for told in reports),
        learn_seconds=sum(told.learn_seconds for told in reports),
        evaluate_seconds=sum(told.evaluate_seconds for told in reports),
        records=tuple(alone(record) for record in told if record is not None),
    )


def _take_up(sequence: SequenceState, unknown: list[int]) -> tuple[Method | None, int, list[dict[str, Any]]]:
    """The method where learning goes on, the stage it is at, and the records up to there.

    No method at all where every stage is known.
    """
    if not unknown:
        return None, 0, []
    store, workers = sequence.store, sequence.workers
    method = make_method(sequence.request, sequence.settings, sequence.stream, sequence.backbone, workers)
    found = resume_point(unknown[0], lambda t: store.exists(sequence.path(t))) if not workers.rank else 0
    resumed: int = workers.broadcast(found)
    if not resumed:
        return method, 0, []
    last = _load(sequence, method, resumed).record
    return method, resumed, [*last["before"], last]


def _load(sequence: SequenceState, method: Method, t: int) -> Checkpoint:
    """Take up a stage. Rank 0 reads it for all workers, so that all of them find it, or find it gone."""
    store, workers, path = sequence.store, sequence.workers, sequence.path(t)
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
    sequence: SequenceState, method: Method, t: int, before: list[dict[str, Any]]
) -> tuple[float, dict[str, Any], bool]:
    """Learn one task, or take it from the store; seconds, the stage's record, and whether it was there already."""
    request, store, workers = sequence.request, sequence.store, sequence.workers
    task, path = sequence.stream.tasks[t - 1], sequence.path(t)
    if workers.broadcast(store.exists(path) if not workers.rank else None):
        return 0.0, _load(sequence, method, t).record, True
    begun = time.perf_counter()
    forget_peak(own_device())
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
        "memory_gb": workers.largest(peak_gb(own_device())),
        "method": method.record(),
        # A checkpoint tells of the whole way to it: with `keep: last` it is the only one left.
        "before": [alone(record) for record in before],
    }
    if request.keep != "none":
        state = method.state()
        written = workers.broadcast(store.put(path, encode(Checkpoint(state, record))) if not workers.rank else None)
        if written:
            sequence.written.add(t)
        else:
            # Somebody else learned it meanwhile; that checkpoint counts, so that rows agree with what is stored.
            record = _load(sequence, method, t).record
    return seconds, record, False
