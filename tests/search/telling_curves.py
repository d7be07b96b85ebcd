"""The known curves with reports that tell them: what a scheduler decides by agrees with the rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import known_curves
import numpy as np

from clsearch.learning.request import SequenceRequest, SequenceResult, TaskReport
from clsearch.results.metrics import METRICS
from clsearch.results.store import Store

Report = Callable[[TaskReport], None]


def learn(request: SequenceRequest, store: Store, workers: Any, report: Report) -> SequenceResult:
    """As `known_curves.learn`, with the metric of the best eval setting so far in each report."""

    def tell(task: TaskReport) -> None:
        t = np.arange(1, task.task + 1)
        count = np.full((task.task, task.task), known_curves.COUNT)
        figures = [
            float(
                METRICS[request.metric](
                    [[known_curves.correct(request, e, i, j, "validation") for j in t] for i in t], count
                )
            )
            for e in request.eval_settings
        ]
        report(replace(task, metric=max(figures)))

    return known_curves.learn(request, store, workers, tell)


def learn_slowly_from_task_3(request: SequenceRequest, store: Store, workers: Any, report: Report) -> SequenceResult:
    """The same; after its second task a trial takes an hour, unless its setting is the published one."""

    def tell(task: TaskReport) -> None:
        report(task)
        if task.task == 2 and request.trial:
            time.sleep(3600)

    return learn(request, store, workers, tell)
