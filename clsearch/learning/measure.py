"""A stage's figures: measured where nobody knows them, and the rows that are made of them."""

from __future__ import annotations

import time
from typing import Any

import torch

from clsearch.learning.evaluation import count_correct
from clsearch.learning.keys import full_eval_setting
from clsearch.learning.known import Wanted
from clsearch.learning.provenance import provenance
from clsearch.learning.rows import StageRows, stage_rows_path
from clsearch.learning.stages import examples_of, own_device
from clsearch.learning.state import SequenceState, alone
from clsearch.methods.base import Method
from clsearch.results.counts import StageCounts, put_counts
from clsearch.results.metrics import LOWER_IS_BETTER, METRICS


def measure(sequence: SequenceState, method: Method, t: int, record: dict[str, Any], wanted: Wanted) -> float:
    """Measure stage t as far as its counts are not known, and put them into the store; returns seconds."""
    request, stream, workers = sequence.request, sequence.stream, sequence.workers
    stage, evaluated = sequence.stages[t - 1], stream.evaluated(t)
    device = torch.cuda.get_device_name() if own_device().type == "cuda" else "cpu"
    source = provenance()
    begun = time.perf_counter()
    measured: dict[str, StageCounts] = {}
    for split, positions in wanted.items():
        started = time.perf_counter()
        sets = [examples_of(task, split) for task in evaluated]
        grid = [request.eval_settings[i] for i in positions]
        correct = count_correct(method, sets, grid, stream.candidates(t), sequence.prepare, workers)
        each = (time.perf_counter() - started) / len(grid)
        for i, right in zip(positions, correct, strict=True):
            counts = StageCounts(
                stage_key=stage.key,
                eval_setting=full_eval_setting(request, request.eval_settings[i]),
                split=split,
                correct=tuple(right),
                count=tuple(len(examples) for examples in sets),
                record=alone(record),
                eval_seconds=each,
                workers=workers.size,
                device=device,
                source=source,
            )
            sequence.known.counts[t, i, split] = measured[stage.counts[i, split]] = counts
    seconds = time.perf_counter() - begun
    if not workers.rank:
        store = sequence.store
        store.read_many(measured, lambda path: put_counts(store, path, measured[path]))
    return seconds


def write_rows(sequence: SequenceState, t: int) -> None:
    """Write the rows of stage t that are not there, from its counts, and take over the figures of all of them."""
    request, known = sequence.request, sequence.known
    evaluated = sequence.stream.evaluated(t)
    stage = StageRows(request, sequence.stream, sequence.settings, t, sequence.stages[t - 1].key)
    unwritten = {stage_rows_path(request, t, request.eval_settings[i]): i for i in known.unwritten(t)}

    def write(path: str) -> None:
        i = unwritten[path]
        stage.write(sequence.store, request.eval_settings[i], evaluated, known.by_split(t, i))

    sequence.store.read_many(unwritten, write)
    for i in unwritten.values():
        first = known.counts[t, i, request.splits[0]]
        known.rows[t, i] = list(zip((task.index for task in evaluated), first.correct, first.count, strict=True))
    for i in range(len(request.eval_settings)):
        for task, right, total in known.rows[t, i]:
            sequence.correct[i, t - 1, task - 1], sequence.count[i, t - 1, task - 1] = right, total


def live_metric(sequence: SequenceState, t: int) -> float:
    """The request's metric after task t, of the best eval setting so far."""
    metric = METRICS[sequence.request.metric]
    figures = [float(metric(c[:t, :t], n[:t, :t])) for c, n in zip(sequence.correct, sequence.count, strict=True)]
    best = min if sequence.request.metric in LOWER_IS_BETTER else max
    return best(figures)
