"""SQL over a store's rows and trials."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from made_up_store import row, write_sequence, write_trial

import clsearch
from clsearch.query import main
from clsearch.results.store import Store, StoreError, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    write_trial(store, "alpha", 0, 60.0)
    write_trial(store, "alpha", 1, status=None)
    write_sequence(store, [[90, 20], [80, 60]])
    return store


SQL = "select task_learned as t, sum(correct) as c, max(started_at) as s from rows group by all order by t"


def test_formats(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, SQL]) == 0
    assert capsys.readouterr().out.splitlines() == ["t    c  s", "1  110", "2  140"]
    assert main([store.uri, SQL, "--format", "csv"]) == 0
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["t", "c", "s"],
        ["1", "110", ""],
        ["2", "140", ""],
    ]
    assert main([store.uri, SQL, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == {"t": 2, "c": 140, "s": None}


def test_trials_parameters_and_the_default_store(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLSEARCH_STORE", store.uri)
    sql = """select trial, status, objective, param_learning_rate as rate
             from trials left join (select distinct sweep, trial, param_learning_rate from rows) using (sweep, trial)
             order by trial"""
    assert main([sql, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"trial": 0, "status": "complete", "objective": 60.0, "rate": 0.5},
        {"trial": 1, "status": "running", "objective": None, "rate": None},
    ]


def test_values_that_json_does_not_know(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select timestamp '2026-01-02 03:04:05' as t, 1.50::decimal(9, 2) as d, 'a [bold]b' as s, [1, 2] as l"
    assert main([store.uri, sql, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"t": "2026-01-02T03:04:05", "d": 1.5, "s": "a [bold]b", "l": [1, 2]}
    ]
    assert main([store.uri, sql]) == 0
    assert "a [bold]b" in capsys.readouterr().out


@pytest.mark.parametrize("sql", ["selec 1", "select colour from rows", "select * from nothing"])
def test_sql_that_is_wrong(store: Store, sql: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, sql]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: SQL: ")
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_other_mistakes(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, "select 1", "--format", "md"]) == 2
    assert "--format: 'md' is unknown" in capsys.readouterr().err
    assert main([str(tmp_path / "nowhere"), "select 1"]) == 2
    assert "is not a store" in capsys.readouterr().err
    assert main([store.uri, "create table x as select 1"]) == 0
    assert capsys.readouterr().err == ""


def test_load(store: Store, tmp_path: Path) -> None:
    table = clsearch.load(store.uri, task_evaluated=2)
    assert table["correct"].to_pylist() == [20, 60]
    assert set(row()) <= set(table.column_names)
    with pytest.raises(StoreError):
        clsearch.load(str(tmp_path / "nowhere"))
