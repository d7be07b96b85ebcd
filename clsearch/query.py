"""`python -m clsearch.query [URI] "select ... from rows ..."`: SQL (DuckDB) over a store's rows and trials."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from clsearch.errors import EXIT_USAGE, UsageError, nearest
from clsearch.results.store import Store, open_store
from clsearch.results.trials import TrialRecord, read_trials
from clsearch.spec.keys import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clsearch.query",
        description=f"{__doc__} Tables: rows (one per task learned, task evaluated, eval setting and split), trials.",
    )
    parser.add_argument("uri", nargs="?", help="a folder or s3://bucket/prefix; else CLSEARCH_STORE, ~/clsearch/store")
    parser.add_argument("sql", help="one statement")
    parser.add_argument("--format", default="table", help=", ".join(_FORMATS))
    asked = parser.parse_args(argv)
    try:
        if asked.format not in _FORMATS:
            raise UsageError(f"--format: '{asked.format}' is unknown: {nearest(asked.format, _FORMATS)}")
        store = open_store(asked.uri, create=False)
        store.require()
        found = run(store, asked.sql)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    if found is not None:
        print(_FORMATS[asked.format](found), end="")
    return 0


def run(store: Store, sql: str) -> pa.Table | None:
    """The result of one statement; None for a statement without one. Raises UsageError with DuckDB's sentence."""
    import duckdb

    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})  # nothing is downloaded
    connection.register("rows", store.read_rows())
    connection.register("trials", trials_table(read_trials(store)))
    try:
        relation = connection.sql(sql)
        return relation.to_arrow_table() if relation is not None else None
    except duckdb.Error as error:
        raise UsageError(f"SQL: {error}") from error


def trials_table(trials: Sequence[TrialRecord]) -> pa.Table:
    """One line per trial, its settings as JSON text."""
    import pyarrow as pa

    outcome = {
        "objective": pa.float64(),
        "tasks_learned": pa.int64(),
        "tasks_total": pa.int64(),
        "stages_reused": pa.int64(),
        "stages_learned": pa.int64(),
        "learn_seconds": pa.float64(),
        "evaluate_seconds": pa.float64(),
        "wall_seconds": pa.float64(),
        "finished_at": pa.string(),
        "cause": pa.string(),
    }
    texts = ("sweep", "status", "setting", "eval_setting", "claimed_at", "costs", "violations")
    schema = {"trial": pa.int64(), "attempts": pa.int64(), **dict.fromkeys(texts, pa.string()), **outcome}
    lines = []
    for trial in trials:
        claim, ended = trial.claim or {}, trial.outcome or {}
        lines.append(
            {
                "sweep": trial.sweep,
                "trial": trial.number,
                "status": trial.status,
                "attempts": trial.attempts,
                "setting": _json(claim.get("setting")),
                "eval_setting": _json(ended.get("eval_setting")),
                "claimed_at": claim.get("claimed_at"),
                "costs": _json(ended.get("costs")),
                "violations": _json(ended.get("violations") or None),
                **{name: ended.get(name) for name in outcome},
            }
        )
    order = ["sweep", "trial", "status", "attempts", "setting", "eval_setting", "claimed_at", *outcome]
    order += ["costs", "violations"]
    return pa.Table.from_pylist(lines, schema=pa.schema([(name, schema[name]) for name in order]))


def _json(value: Any) -> str | None:
    return canonical_json(value) if value is not None else None


def _as_table(found: pa.Table) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False)
    for field in found.schema:
        table.add_column(Text(field.name), justify="right" if _is_number(field.type) else "left")
    for row in _plain_rows(found):
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=None if terminal else 100_000, highlight=False, markup=False
    )
    console.print(table)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in str(printed).split("\n"))


def _is_number(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _plain_rows(found: pa.Table) -> list[tuple[Any, ...]]:
    columns = [column.to_pylist() for column in found.columns]
    return list(zip(*columns, strict=True))


def _as_csv(found: pa.Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(found.column_names)
    writer.writerows(_plain_rows(found))
    return text.getvalue()


def _as_json(found: pa.Table) -> str:
    rows = [dict(zip(found.column_names, row, strict=True)) for row in _plain_rows(found)]
    return json.dumps(rows, default=_to_json, indent=1, ensure_ascii=False) + "\n"


def _to_json(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


_FORMATS = {"table": _as_table, "csv": _as_csv, "json": _as_json}

if __name__ == "__main__":
    sys.exit(main())
