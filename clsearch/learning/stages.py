"""What a request makes of each task: the method that learns it, the device, the examples it is measured on."""

from __future__ import annotations

from typing import Any, Literal

import torch

from clsearch.benchmarks.streams import Stream, Task, TestedTask
from clsearch.layers.workers import Workers
from clsearch.learning.request import SequenceRequest
from clsearch.methods import METHODS
from clsearch.methods.base import Method, StreamInfo
from clsearch.spec.settings import MethodSettings


def own_device() -> torch.device:
    """The GPU this process was given (Ray hides the others), else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
