"""The objective from rows: each eval setting by itself, validation only, by the protocol, ranked in its direction."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from made_up_store import row

from clsearch.execution.objective import ranked, validation_scores
from clsearch.results.permitted import ExcludedError, UnfinishedError
from clsearch.results.reported import scores_on_test
from clsearch.results.rows import rows_table
from clsearch.spec.protocols import Protocol

LOW, HIGH = {"threshold": 0.1}, {"threshold": 0.2}
END, FIRST = Protocol(), Protocol("first_tasks", tasks=2)
Rows = list[dict[str, Any]]


def matrix(setting: dict[str, float], values: list[list[int]], split: str = "validation", **over: Any) -> Rows:
    return [
        row(**over, tasks_total=len(values[0]), task_learned=t, task_evaluated=i, eval_setting=setting, split=split,
            correct=right, count=10)
        for t, line in enumerate(values, 1)
        for i, right in enumerate(line, 1)
    ]  # fmt: skip


def table(*parts: Rows) -> pa.Table:
    return rows_table([one for part in parts for one in part], {})


def test_each_eval_setting_has_its_own_matrix() -> None:
    rows = table(matrix(LOW, [[10, 0], [8, 6]]), matrix(HIGH, [[10, 0], [2, 2]]))
    assert validation_scores(rows, END, "final_acc_micro", [HIGH, LOW]) == [20.0, 70.0]


def test_test_rows_change_nothing_and_are_reported_elsewhere() -> None:
    validation, test = matrix(LOW, [[10, 0], [8, 6]]), matrix(LOW, [[1, 1], [1, 1]], split="test")
    alone = validation_scores(table(validation), END, "average", [LOW])
    assert validation_scores(table(test, validation), END, "average", [LOW]) == alone == [60.0]
    assert scores_on_test(table(test, validation), "average", [LOW]) == [10.0]
    with pytest.raises(UnfinishedError, match="no validation rows"):
        validation_scores(table(test), END, "average", [LOW])


def test_entries_that_the_protocol_excludes_change_nothing() -> None:
    seen = [[10, 0, 1], [8, 6, 2], [0, 0, 0]]
    other = [[10, 0, 9], [8, 6, 9], [9, 9, 9]]
    scores = [validation_scores(table(matrix(LOW, values)), FIRST, "average", [LOW]) for values in (seen, other)]
    assert scores == [[60.0], [60.0]]


def test_a_setting_without_rows_or_with_unfinished_ones_is_an_error() -> None:
    rows = table(matrix(LOW, [[10, 0], [8, 6]]))
    with pytest.raises(UnfinishedError, match=r"no validation rows under eval setting {'threshold': 0\.2}"):
        validation_scores(rows, END, "average", [LOW, HIGH])
    with pytest.raises(UnfinishedError, match="task 2 of 2"):
        validation_scores(table(matrix(LOW, [[10, 0]])), END, "final_acc_micro", [LOW])
    assert math.isnan(scores_on_test(rows, "average", [LOW])[0])


def test_rows_of_several_sequences_are_a_mistake() -> None:
    rows = table(matrix(LOW, [[10, 0], [8, 6]]), matrix(LOW, [[9, 0], [8, 6]], run_seed=1))
    with pytest.raises(ValueError, match="several sequences"):
        validation_scores(rows, END, "average", [LOW])


def test_published_has_one_eval_setting_and_its_figure() -> None:
    rows = table(matrix(LOW, [[10, 0], [8, 6]]), matrix(HIGH, [[10, 0], [2, 2]]))
    assert validation_scores(rows, Protocol("published"), "average", [LOW]) == [60.0]
    with pytest.raises(ExcludedError, match="chooses nothing"):
        validation_scores(rows, Protocol("published"), "average", [LOW, HIGH])


def test_ranked_leaves_out_nan_and_keeps_the_first_of_equals() -> None:
    scores = [1.0, math.nan, 3.0, 3.0]
    assert ranked(scores, "max") == [2, 3, 0]
    assert ranked(scores, "min") == [0, 2, 3]
