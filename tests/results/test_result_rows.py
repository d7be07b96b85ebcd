"""The columns of a row, and files that are damaged, newer, or of other sweeps."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_up_store import row

from clsearch.results import rows as row_files
from clsearch.results.objects import StoreError


def test_columns_are_typed_and_settings_canonical() -> None:
    table = row_files.rows_table(
        [
            row(
                eval_setting={"b": 1, "a": 0.5},
                started_at="2026-01-02T03:04:05+01:00",
                numerics={"engine": 1},
                param_rank=4,
                param_rate=0.5,
                param_layers=("q", "v"),
            )
        ],
        {"rank": int, "rate": float, "layers": tuple, "unused": str},
    )
    assert table.column_names[: len(row_files.ROW_COLUMNS)] == list(row_files.ROW_COLUMNS)
    one = table.to_pylist()[0]
    assert one["schema_version"] == row_files.SCHEMA_VERSION
    assert one["eval_setting"] == '{"a":0.5,"b":1}'
    assert one["numerics"] == '{"engine":1}'
    assert one["started_at"] == datetime.datetime(2026, 1, 2, 2, 4, 5, tzinfo=datetime.UTC)
    assert (one["param_rank"], one["param_rate"], one["param_layers"]) == (4, 0.5, '["q","v"]')
    assert one["param_unused"] is None
    again = row_files.decode(row_files.encode(table), "here")
    assert again.equals(table)


@pytest.mark.parametrize("over", [{"correct": None}, {"colour": "red"}, {"phase": "final"}])
def test_mistakes_of_the_caller(over: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"correct|colour|final"):
        row_files.rows_table([row(**over)], {})


def test_damaged_files_are_named() -> None:
    data = row_files.encode(row_files.rows_table([row()], {}))
    for broken in (data[: len(data) // 2], b"", b"nonsense", data[:200] + b"\0" * 50 + data[250:-300]):
        with pytest.raises(StoreError, match=r"row file s3://b/rows/x\.parquet is damaged"):
            row_files.decode(broken, "s3://b/rows/x.parquet")


def test_newer_schema_and_foreign_files() -> None:
    table = row_files.rows_table([row()], {})
    newer = table.set_column(0, "schema_version", pa.array([row_files.SCHEMA_VERSION + 1], pa.int32()))
    with pytest.raises(StoreError, match="install a newer"):
        row_files.decode(row_files.encode(newer), "x")
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), buffer)
    with pytest.raises(StoreError, match="not written by clsearch"):
        row_files.decode(buffer.getvalue().to_pybytes(), "x")


def test_files_of_several_sweeps_make_one_table() -> None:
    first = row_files.rows_table([row(param_rate=1)], {"rate": int})
    second = row_files.rows_table([row(param_rate=0.5, param_name="b")], {"rate": float, "name": str})
    older = first.drop_columns(["git_dirty", "device"])
    both = row_files.unite([("a", first), ("b", second), ("c", older)])
    assert both["param_rate"].to_pylist() == [1.0, 0.5, 1.0]
    assert both["param_name"].to_pylist() == [None, "b", None]
    assert both.num_rows == 3
    clash = row_files.rows_table([row(param_name=3)], {"name": int})
    with pytest.raises(StoreError, match=r"row file d.*param_name"):
        row_files.unite([("b", second), ("d", clash)])
    assert row_files.unite([]).num_rows == 0
    assert "correct" in row_files.unite([]).column_names


def test_difference_names_the_first_contradiction() -> None:
    rows = [row(task_evaluated=1), row(task_evaluated=2, correct=2)]
    stored = row_files.rows_table(rows, {})
    assert (
        row_files.difference(stored, row_files.rows_table([{**one, "device": "gpu"} for one in rows[::-1]], {})) is None
    )
    other = row_files.rows_table([rows[0], {**rows[1], "correct": 1}], {})
    said = row_files.difference(stored, other)
    assert said is not None
    assert "task_evaluated 2" in said
    assert "correct is 2 in the store and 1 now" in said
    assert "2 rows are stored and 1" in (row_files.difference(stored, row_files.rows_table(rows[:1], {})) or "")
