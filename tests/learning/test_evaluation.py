"""Train once, evaluate many: M settings are M forward passes over images decoded once, and equal M evaluations."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
import torch

from clsearch.layers.workers import Workers
from clsearch.learning.evaluation import count_correct
from tests.methods.nano import Nano

GRID = [
    {"threshold": threshold, "temperature": temperature}
    for threshold in (0.0, 0.2, 0.5)
    for temperature in (0.01, 0.05, 0.2, 1.0)
]


ALL = range(9)  # the label space of nano_x_tail


@pytest.fixture(scope="module")
def learned() -> Nano:
    nano = Nano("mora", overrides={"iterations": 20, "learning_rate": 2e-2})
    nano.learn(1)
    nano.learn(2)
    return nano


def test_a_grid_equals_separate_evaluations_in_every_count(learned: Nano) -> None:
    sets = [task.validation for task in learned.stream.tasks]
    together = count_correct(learned.method, sets, GRID, ALL, learned.prepare, Workers())
    apart = [count_correct(learned.method, sets, [s], ALL, learned.prepare, Workers())[0] for s in GRID]
    assert together == apart
    assert len({tuple(counts) for counts in together}) > 1, "the grid must matter for this to mean anything"


def test_images_are_decoded_once_and_passed_forward_once_a_setting(learned: Nano) -> None:
    decoded: list[int] = []
    forwards: list[int] = []
    sets = [task.validation for task in learned.stream.tasks]

    def prepare(images: Any) -> torch.Tensor:
        decoded.append(len(images))
        return learned.prepare(images)

    hook = learned.backbone.model.visual.register_forward_hook(lambda *_: forwards.append(1))
    try:
        count_correct(learned.method, sets, GRID, ALL, prepare, Workers())
    finally:
        hook.remove()
    assert sum(decoded) == sum(len(examples) for examples in sets)
    assert len(forwards) == len(GRID) * len(decoded)


def test_the_first_of_equal_scores_answers() -> None:
    nano = Nano("frozen")
    nano.learn(1)
    nano.method.sums = torch.zeros_like(nano.method.sums)
    labels = nano.stream.tasks[0].validation.labels
    (counts,) = count_correct(nano.method, [nano.stream.tasks[0].validation], [{}], (0, 1), nano.prepare, Workers())
    assert counts == [int((labels == labels.min()).sum())]


def test_only_candidates_answer() -> None:
    """CLIP scores every name from the start; in a class-incremental stream only classes met may answer."""
    from clsearch.learning.request import SequenceRequest
    from clsearch.learning.sequence import run_sequence
    from clsearch.results.store import open_store

    nano = Nano("frozen_clip")
    examples = nano.stream.tasks[0].validation
    (few,) = count_correct(nano.method, [examples], [{}], nano.stream.tasks[0].classes, nano.prepare, Workers())
    (many,) = count_correct(nano.method, [examples], [{}], ALL, nano.prepare, Workers())
    assert few[0] >= many[0]
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        run_sequence(SequenceRequest("s", 0, "search", "p", "frozen", {}, "nano_clip", "nano_cil", 0, 0), store)
        first = [row for row in store.read_rows("s").to_pylist() if row["task_learned"] == 1]
    assert sum(row["correct"] for row in first) > 0, "with eight names to choose from, untrained CLIP answers {3, 4}"
