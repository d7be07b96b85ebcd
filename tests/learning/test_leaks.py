"""What a method that wants to cheat finds: no way from what it is given to validation, test or another task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from clsearch.benchmarks.examples import ExampleSet
from clsearch.benchmarks.streams import Stream, TestedTask, open_stream
from clsearch.layers.workers import Workers
from clsearch.learning.optimisation import preparation
from clsearch.learning.task_data import LearningData
from clsearch.methods.base import StreamInfo, TaskData, TaskInfo
from clsearch.spec.settings import make_settings


@pytest.fixture(scope="module")
def stream() -> Stream[TestedTask]:
    return open_stream("nano_cil", 0, with_test=True)


def given(stream: Stream[TestedTask], method: str) -> tuple[TaskInfo, LearningData, StreamInfo]:
    """All that a method is given when it learns task 2, opened with test images as a confirmation opens it."""
    task = stream.tasks[1]
    prepare = preparation(stream.normalize, torch.float32, torch.device("cpu"))
    data = LearningData(task, make_settings(method, {"batch": 4}), 0, prepare, Workers())
    return TaskInfo(2, task.name, task.classes), data, StreamInfo(stream.class_names, stream.templates, None)


class Cheat:
    """A method that tries to learn from what it must not see; each attempt is one line."""

    def by_view(self, task: TaskInfo, data: Any) -> Any:
        return list(data.batches("validation"))

    def by_test_view(self, task: TaskInfo, data: Any) -> Any:
        return list(data.batches("test"))

    def by_attribute(self, task: TaskInfo, data: Any) -> Any:
        return data.validation

    def by_task(self, task: Any, data: Any) -> Any:
        return task.validation

    def by_test(self, task: Any, data: Any) -> Any:
        return task.test

    def by_the_next_task(self, task: Any, data: Any) -> Any:
        return data.train.images(range(len(data.train), len(data.train) + 4))


ATTEMPTS = [name for name in vars(Cheat) if name.startswith("by_")]


@pytest.mark.parametrize("method", ["mora", "fm_lora"])  # without a view `inner`, and with one
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_every_attempt_fails(stream: Stream[TestedTask], method: str, attempt: str) -> None:
    task, data, _ = given(stream, method)
    cheat: Callable[[TaskInfo, TaskData], Any] = getattr(Cheat(), attempt)
    with pytest.raises((AttributeError, KeyError, IndexError)):
        cheat(task, data)


@pytest.mark.parametrize("method", ["mora", "fm_lora"])
def test_no_reference_leads_from_a_method_to_other_examples(stream: Stream[TestedTask], method: str) -> None:
    """Whatever can be reached from what it is given, private names and closures included."""
    reached = {name for examples in _reachable(given(stream, method)) for name in examples.ids}
    task = stream.tasks[1]
    assert reached == {*task.learn.train.ids, *task.learn.inner.ids}
    others = {name for t in stream.tasks for part in (t.validation, t.test) for name in part.ids}
    assert not reached & others
    assert others & {name for examples in _reachable(stream) for name in examples.ids}  # the search does find them


def _reachable(start: Any) -> Iterator[ExampleSet]:
    seen: set[int] = set()
    todo = [start]
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, (str, bytes, int, float, torch.Tensor, type)):
            continue
        seen.add(id(one))
        if isinstance(one, ExampleSet):
            yield one
        if isinstance(one, dict):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            todo += one
        else:
            todo += vars(one).values() if hasattr(one, "__dict__") else []
            todo += [cell.cell_contents for cell in getattr(one, "__closure__", None) or ()]
