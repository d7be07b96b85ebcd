"""The objective from rows: each eval setting by itself, one split only, ranked in the sweep's direction."""

from __future__ import annotations

import math

import pyarrow as pa

from clsearch.execution.objective import ranked, score_settings

LOW, HIGH = {"threshold": 0.1}, {"threshold": 0.2}


def rows(*entries: tuple[str, str, int, int, int]) -> pa.Table:
    names = ("split", "eval_setting", "task_learned", "task_evaluated", "correct")
    return pa.Table.from_pylist([{**dict(zip(names, entry, strict=True)), "count": 10} for entry in entries])


def matrix(setting: str, split: str, values: list[list[int]]) -> list[tuple[str, str, int, int, int]]:
    return [(split, setting, t + 1, i + 1, values[t][i]) for t in range(2) for i in range(2)]


def test_each_eval_setting_has_its_own_matrix() -> None:
    table = rows(
        *matrix('{"threshold":0.1}', "validation", [[10, 0], [8, 6]]),
        *matrix('{"threshold":0.2}', "validation", [[10, 0], [2, 2]]),
    )
    assert score_settings(table, 2, "final_acc_micro", [HIGH, LOW], "validation") == [20.0, 70.0]


def test_rows_of_the_other_split_change_nothing() -> None:
    validation = matrix('{"threshold":0.1}', "validation", [[10, 0], [8, 6]])
    test = matrix('{"threshold":0.1}', "test", [[1, 1], [1, 1]])
    alone = score_settings(rows(*validation), 2, "average", [LOW], "validation")
    assert score_settings(rows(*test, *validation), 2, "average", [LOW], "validation") == alone == [60.0]


def test_a_setting_without_rows_is_no_number() -> None:
    table = rows(*matrix('{"threshold":0.1}', "validation", [[10, 0], [8, 6]]))
    (score,) = score_settings(table, 2, "average", [HIGH], "validation")
    assert math.isnan(score)


def test_an_unfinished_sequence_is_no_number() -> None:
    table = rows(*matrix('{"threshold":0.1}', "validation", [[10, 0], [8, 6]])[:2])
    (score,) = score_settings(table, 2, "final_acc_micro", [LOW], "validation")
    assert math.isnan(score)


def test_ranked_leaves_out_nan_and_keeps_the_first_of_equals() -> None:
    scores = [1.0, math.nan, 3.0, 3.0]
    assert ranked(scores, "max") == [2, 3, 0]
    assert ranked(scores, "min") == [0, 2, 3]
