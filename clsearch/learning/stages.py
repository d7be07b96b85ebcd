"""What a request makes of each task: the stage's key, the method that learns it, the examples it is measured on."""

from __future__ import annotations

from typing import Any, Literal

import torch

from clsearch.benchmarks.streams import Stream, Task, TestedTask
from clsearch.layers.workers import Workers
from clsearch.learning.request import SequenceRequest
from clsearch.methods import METHODS
from clsearch.methods.base import Method, StreamInfo
from clsearch.spec.keys import stage_key
from clsearch.spec.settings import MethodSettings, acts, fields


def own_device() -> torch.device:
    """The GPU this process was given (Ray hides the others), else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def stage_keys(
    request: SequenceRequest, settings: MethodSettings, stream: Stream[Any], weights: str
) -> tuple[str, ...]:
    """The key of every stage, in task order (see the design's contract): what learns it, from what, on what."""
    acting = {name: getattr(settings, name) for name in fields(request.method) if acts(request.method, name) != "eval"}
    facts: dict[str, Any] = {
        "method": request.method,
        "numerics": settings.numerics,
        "settings": acting,
        "backbone": request.backbone,
        "weights": weights,
        "precision": request.precision,
        "run_seed": request.run_seed,
        "order_seed": request.order_seed,
    }
    if settings.reads_tasks_total:
        facts["tasks_total"] = stream.tasks_total
    keys: list[str] = []
    for task in stream.tasks:
        keys.append(stage_key(keys[-1] if keys else None, facts | {"data": stream.task_digest(task.index)}))
    return tuple(keys)


def make_method(
    request: SequenceRequest, settings: MethodSettings, stream: Stream[Any], backbone: Any, workers: Workers
) -> Method:
    """The request's method on a backbone of its own, before its first task."""
    total = stream.tasks_total if settings.reads_tasks_total else None
    info = StreamInfo(stream.class_names, stream.templates, total)
    return METHODS[request.method](settings, backbone, info, request.run_seed, workers)


def examples_of(task: Task, split: Literal["validation", "test"]) -> Any:
    """The task's examples of a split; `test` exists only on a task that was opened for confirmation."""
    if split == "validation":
        return task.validation
    if not isinstance(task, TestedTask):
        raise TypeError("this stream was opened without test images")
    return task.test
