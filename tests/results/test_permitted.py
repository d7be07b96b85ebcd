"""What may choose a setting: validation rows of a choosing phase, cut to the protocol. All else fails."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from made_up_store import row

from clsearch.results.metrics import METRICS
from clsearch.results.permitted import (
    ExcludedError,
    UnfinishedError,
    ValidationMatrix,
    matrix_to_show,
    permitted_matrix,
    permitted_or_shown,
    permitted_so_far,
    score,
)
from clsearch.results.rows import rows_table
from clsearch.results.sequences import Measured, measured_sequences
from clsearch.spec.protocols import Protocol, read_protocol

TASKS, COUNT = 4, 100
END = Protocol()
FIRST = Protocol("first_tasks", tasks=2)


def sequence(stages: int = TASKS, ahead: bool = True, **over: Any) -> Measured:
    """A sequence of which entry (t, i) has 10 t + i right answers; `ahead`: also for tasks not learned yet."""
    rows = [
        row(**over, tasks_total=TASKS, task_learned=t, task_evaluated=i, correct=10 * t + i, count=COUNT)
        for t in range(1, stages + 1)
        for i in range(1, (TASKS if ahead else t) + 1)
    ]
    (measured,) = measured_sequences(rows_table(rows, {}))
    return measured


def entries(matrix: ValidationMatrix) -> list[list[int]]:
    return [[matrix.entry(t, i)[0] for i in range(1, matrix.tasks + 1)] for t in range(1, matrix.tasks + 1)]


def test_end_of_sequence_permits_the_whole_matrix_once_it_is_there() -> None:
    matrix = permitted_matrix(sequence(), END)
    assert matrix.tasks == TASKS
    assert matrix.entry(4, 1) == (41, COUNT)
    for stages in range(1, TASKS):
        with pytest.raises(UnfinishedError, match=f"task {stages + 1} of 4"):
            permitted_matrix(sequence(stages), END)


@pytest.mark.parametrize("kind", ["first_tasks", "disjoint_tasks"])
def test_k_tasks_permit_k_by_k_entries_and_wait_for_no_more(kind: Any) -> None:
    protocol = Protocol(kind, tasks=2)
    for stages in (2, 3, 4):
        assert entries(permitted_matrix(sequence(stages), protocol)) == [[11, 12], [21, 22]]
    with pytest.raises(UnfinishedError, match="task 2 of 2"):
        permitted_matrix(sequence(1), protocol)
    with pytest.raises(UnfinishedError, match="the sequence has 4 tasks"):
        permitted_matrix(sequence(), Protocol(kind, tasks=5))


@pytest.mark.parametrize("at", [(3, 1), (1, 3), (3, 3), (0, 1), (1, 0), (-1, 1)])
def test_an_entry_that_the_protocol_excludes_is_an_error(at: tuple[int, int]) -> None:
    with pytest.raises(ExcludedError, match=r"permitted tasks 1\.\.2"):
        permitted_matrix(sequence(), FIRST).entry(*at)


def test_nothing_outside_the_cut_is_reachable_from_it() -> None:
    matrix = permitted_matrix(sequence(), FIRST)
    assert matrix.correct.shape == matrix.count.shape == (2, 2)
    assert matrix.correct.base is None
    assert matrix.count.base is None
    with pytest.raises(ValueError, match="read-only"):
        matrix.correct[0, 0] = 0


def test_until_a_task_both_indices_are_cut() -> None:
    matrix = permitted_matrix(sequence(), Protocol("first_tasks", tasks=3))
    assert entries(matrix.until(2)) == [[11, 12], [21, 22]]
    assert entries(matrix.until(3)) == entries(matrix)
    for task in (0, 4):
        with pytest.raises(ExcludedError, match=r"permitted tasks 1\.\.3"):
            matrix.until(task)


def test_an_unfinished_sequence_is_compared_on_what_it_has() -> None:
    part = sequence(2)
    assert entries(permitted_so_far(part, END, 2)) == entries(permitted_matrix(sequence(), END).until(2))
    with pytest.raises(UnfinishedError, match="task 3 of 3"):
        permitted_so_far(part, END, 3)
    for protocol, task in ((END, 5), (FIRST, 3), (END, 0)):
        with pytest.raises(ExcludedError, match="outside the permitted"):
            permitted_so_far(sequence(), protocol, task)


@pytest.mark.parametrize("protocol", ["end_of_sequence", "first_tasks(2)", "disjoint_tasks(2)", "published"])
def test_test_rows_choose_nothing(protocol: str) -> None:
    asked = read_protocol(protocol, "")
    tested = sequence(split="test")
    for make in (
        lambda: permitted_matrix(tested, asked),
        lambda: permitted_so_far(tested, asked, 2),
        lambda: matrix_to_show(tested, asked),
    ):
        with pytest.raises(ExcludedError):
            make()


@pytest.mark.parametrize("phase", ["confirm", "analysis"])
def test_validation_rows_of_a_later_phase_choose_nothing(phase: str) -> None:
    with pytest.raises(ExcludedError, match=f"phase '{phase}'"):
        permitted_matrix(sequence(phase=phase), END)


def test_race_rows_choose_as_search_rows_do() -> None:
    assert entries(permitted_matrix(sequence(phase="race"), FIRST)) == [[11, 12], [21, 22]]


def test_cross_dataset_takes_rows_of_its_benchmark_alone() -> None:
    protocol = Protocol("cross_dataset", benchmark="nano_dil")
    assert permitted_matrix(sequence(benchmark="nano_dil"), protocol).tasks == TASKS
    with pytest.raises(ExcludedError, match="rows on 'nano_cil' choose nothing"):
        permitted_matrix(sequence(benchmark="nano_cil"), protocol)


def test_published_chooses_nothing_and_still_shows_its_figure() -> None:
    protocol = Protocol("published")
    for make in (permitted_matrix, lambda s, p: permitted_so_far(s, p, 1)):
        with pytest.raises(ExcludedError, match="nothing is chosen"):
            make(sequence(), protocol)
    assert matrix_to_show(sequence(), protocol).tasks == TASKS
    assert permitted_or_shown(sequence(), protocol).tasks == TASKS
    assert permitted_or_shown(sequence(), FIRST).tasks == 2
    with pytest.raises(ExcludedError, match="take permitted_matrix"):
        matrix_to_show(sequence(), FIRST)


def test_only_the_protocol_makes_a_matrix() -> None:
    whole = sequence()
    for stranger in (None, object(), "permitted"):
        with pytest.raises(TypeError, match=r"made by results\.permitted alone"):
            ValidationMatrix(whole.correct, whole.count, made_by=stranger)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(permitted_matrix(whole, FIRST), correct=whole.correct)


def test_scoring_takes_a_permitted_matrix_and_nothing_else() -> None:
    whole = sequence()
    cut = whole.correct[:2, :2], whole.count[:2, :2]
    for metric in ("average", "final_acc_micro", "forgetting"):
        assert score(permitted_matrix(whole, FIRST), metric) == float(METRICS[metric](*cut))
    for other in (whole, whole.correct, sequence(split="test")):
        with pytest.raises(TypeError, match="ValidationMatrix"):
            score(other, "average")  # type: ignore[arg-type]


def test_what_was_never_measured_is_no_number() -> None:
    """Class-incremental rows have no entry above the diagonal: whole they are, and metrics of the future are NaN."""
    matrix = permitted_matrix(sequence(ahead=False), END)
    assert math.isnan(score(matrix, "transfer"))
    assert score(matrix, "last") == np.mean([41, 42, 43, 44])
