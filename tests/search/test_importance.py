"""Importance: the parameter that moves a metric gets its share, the others do not, and nobody is counted twice."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_up_store import row, write_identity, write_sequence

from clsearch.errors import UsageError
from clsearch.importance import main
from clsearch.results.rows import rows_table
from clsearch.results.store import open_store
from clsearch.results.table_files import TableRows
from clsearch.search.importance import Importance, SweepImportance, sweep_importance

NAN = math.nan
UNIT = {"type": "float", "low": 0.001, "high": 1.0, "log": False, "step": None, "published": 0.5}
SPACE = {
    "learning_rate": UNIT,
    "temperature": UNIT,
    "new_rank": {"type": "int", "low": 1, "high": 32, "log": False, "step": None, "published": 16},
}
IDENTITY: dict[str, Any] = {
    "method": "mora",
    "benchmark": "nano_cil",
    "protocol": "end_of_sequence",
    "objective": {"metric": "final_acc_micro", "direction": "max"},
    "space": SPACE,
    "eval_grid": {},
}


def matrix(diagonal: float, final: float) -> list[list[float]]:
    """Two tasks: both learned to `diagonal`; the first one ends at `final`."""
    return [[diagonal, NAN], [final, diagonal]]


def found_in(cells: list[dict[str, Any]], **identity: Any) -> TableRows:
    """A sweep's rows: one cell a mapping of trial, setting, matrix and eval_setting."""
    rows = []
    for cell in cells:
        values = np.asarray(cell["matrix"])
        rows += [
            row(
                trial=cell["trial"],
                phase=cell.get("phase", "search"),
                setting=cell["setting"],
                eval_setting=cell.get("eval_setting", {}),
                task_learned=t + 1,
                task_evaluated=i + 1,
                correct=round(10 * values[t, i]),
                count=1000,
            )
            for t, i in np.argwhere(~np.isnan(values)).tolist()
        ]
    return TableRows("made up", "alpha", IDENTITY | identity, rows_table(rows, {}))


def drawn(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Settings at random: learning_rate alone moves plasticity, temperature alone forgetting, new_rank nothing."""
    random = np.random.default_rng(seed)
    cells = []
    for trial in range(number):
        rate, temperature = random.uniform(0.001, 1, 2).tolist()
        setting = {"learning_rate": rate, "temperature": temperature, "new_rank": int(random.integers(1, 33))}
        learned = 90 - 40 * abs(rate - 0.7)
        cells.append({"trial": trial, "setting": setting, "matrix": matrix(learned, learned - 30 * temperature)})
    return cells


def first(found: SweepImportance, metric: str) -> Importance:
    return next(one for one in found.importances if one.metric == metric)


def test_the_only_parameter_that_matters_is_found() -> None:
    found = sweep_importance(found_in(drawn(48)))
    assert [one.metric for one in found.importances] == ["final_acc_micro", "forgetting", "plasticity"]
    for metric, name in (("plasticity", "learning_rate"), ("forgetting", "temperature")):
        best, *others = first(found, metric).shares
        assert best.parameter == name
        assert best.share > 0.6
        assert best.by_chance < 0.05
        assert all(other.by_chance > 0.05 for other in others)
        assert sum(share.share for share in first(found, metric).shares) == pytest.approx(1)
    assert first(found, "forgetting").better == "min"
    assert (found.trials, found.eval_settings, found.left_out) == (48, 1, 0)


def test_an_eval_parameter_is_a_parameter_of_cells() -> None:
    cells = [
        {**cell, "matrix": matrix(50 + shift, 50 + shift), "eval_setting": {"threshold": threshold, "fixed": 1}}
        for cell in drawn(30)
        for threshold, shift in ((0.2, 0.0), (0.4, 20.0 + cell["trial"] / 10), (0.6, 5.0))
    ]
    found = sweep_importance(found_in(cells, eval_grid={"threshold": [0.2, 0.4, 0.6]}), ["plasticity"])
    (importance,) = found.importances
    assert (importance.shares[0].parameter, found.trials, found.eval_settings) == ("threshold", 30, 3)
    assert importance.shares[0].share > 0.5
    assert importance.shares[0].by_chance < 0.05


def test_trials_without_a_conditional_parameter_are_left_out_for_it() -> None:
    space = {
        "routing": {
            "type": "choice",
            "choices": ["self_activated", "adaptive"],
            "labels": ["self_activated", "adaptive"],
            "published": "self_activated",
        },
        "temperature": UNIT | {"if": {"routing": ["self_activated"]}},
        "learning_rate": UNIT,
    }
    cells = drawn(40)
    for cell in cells:
        adaptive = cell["trial"] % 4 == 0
        cell["setting"]["routing"] = "adaptive" if adaptive else "self_activated"
        if adaptive:
            cell["matrix"] = matrix(80, 65)
    found = sweep_importance(found_in(cells, space=space), ["forgetting"])
    trials = {share.parameter: share.trials for share in found.importances[0].shares}
    assert trials == {"routing": 40, "learning_rate": 40, "temperature": 30}
    assert found.importances[0].shares[0].parameter == "temperature"


def test_a_float_on_a_step_is_the_value_that_its_condition_names() -> None:
    stepped = UNIT | {"low": 0.1, "high": 0.9, "step": 0.1}
    space = {"learning_rate": UNIT | {"if": {"temperature": [0.3]}}, "temperature": stepped}
    cells = drawn(20)
    for cell in cells:
        cell["setting"]["temperature"] = 0.1 + 0.2 if cell["trial"] % 2 else 0.5  # not the same float as 0.3
    found = sweep_importance(found_in(cells, space=space), ["plasticity"])
    assert {share.parameter: share.trials for share in found.importances[0].shares} == {
        "temperature": 20,
        "learning_rate": 10,
    }


def test_named_lists_are_weighed_by_name() -> None:
    facts = {"type": "choice", "choices": [[1, 2], [2, 4]], "labels": ["small", "large"], "published": [1, 2]}
    cells = [
        {
            "trial": trial,
            "setting": {"candidate_ranks": [2, 4] if trial % 2 else [1, 2], "learning_rate": 0.001 + (trial // 2) / 20},
            "matrix": matrix(50 + 10 * (trial % 2), 50),
        }
        for trial in range(20)
    ]
    identity = {"method": "fm_lora", "space": {"candidate_ranks": facts, "learning_rate": UNIT}}
    found = sweep_importance(found_in(cells, **identity), ["plasticity"])
    assert found.importances[0].shares[0].parameter == "candidate_ranks"


def test_unfinished_trials_and_other_phases_do_not_count() -> None:
    cells = drawn(22)
    cells[3]["matrix"] = [[50.0, NAN], [NAN, NAN]]
    clean = sweep_importance(found_in([cell for cell in cells if cell["trial"] != 3]))
    more = [*cells, {**cells[5], "phase": "race", "matrix": matrix(1, 1)}]
    found = sweep_importance(found_in(more))
    assert (found.trials, found.left_out) == (21, 1)
    assert found.importances == clean.importances


def test_first_tasks_are_weighed_by_what_the_protocol_permits() -> None:
    cells = [{**cell, "matrix": [[*one, NAN] for one in cell["matrix"]] + [[NAN] * 3]} for cell in drawn(30)]
    for cell in cells:
        assert len(cell["matrix"]) == 3
    rows = found_in(cells, protocol="first_tasks(2)")
    three = rows.rows.set_column(
        rows.rows.column_names.index("tasks_total"), "tasks_total", pa.array([3] * rows.rows.num_rows, pa.int32())
    )
    found = sweep_importance(TableRows("made up", "alpha", rows.identity, three))
    assert (found.trials, found.left_out) == (30, 0)
    assert first(found, "forgetting").shares[0].parameter == "temperature"


def test_what_cannot_be_weighed() -> None:
    same = [{**cell, "matrix": matrix(50, 50)} for cell in drawn(20)]
    found = sweep_importance(found_in(same), ["forgetting", "transfer"])
    assert [one.shares for one in found.importances] == [(), ()]
    with pytest.raises(UsageError, match="1 of its trials are complete"):
        sweep_importance(found_in(drawn(1)))
    with pytest.raises(UsageError, match="searched nothing"):
        sweep_importance(found_in(drawn(4), space={}))
    with pytest.raises(UsageError, match="searched nothing"):
        sweep_importance(found_in(drawn(4), protocol="published"))


def test_the_door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "store"))
    write_identity(store, "alpha", space=SPACE)
    for cell in drawn(6):
        write_sequence(store, cell["matrix"], trial=cell["trial"], setting=cell["setting"])
    assert main([store.uri, "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["sweep"], record["trials"], record["warning"]) == ("alpha", 6, True)
    assert {share["parameter"] for share in record["importances"][0]["shares"]} == set(SPACE)
    for form in ("table", "md"):
        assert main([store.uri, "--format", form, "--metric", "forgetting", "transfer"]) == 0
        shown = capsys.readouterr().out
        assert "alpha · mora on nano_cil · protocol end_of_sequence · 6 complete trials" in shown
        assert "transfer: not defined here" in shown
        assert "warning: with fewer than 20 trials" in shown
        assert "forgetting (min)" in shown
    for options, said in (
        (["--metric", "forgeting"], "--metric: 'forgeting' is unknown: did you mean 'forgetting'?"),
        (["--format", "jsn"], "did you mean 'json'?"),
        (["--sweep", "alpa"], "has no sweep 'alpa': did you mean 'alpha'?"),
    ):
        assert main([store.uri, *options]) == 2
        assert said in capsys.readouterr().err
