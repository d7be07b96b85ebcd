"""Result rows: their columns, how they are written, and when two files say the same.

One row per (task learned, task evaluated, eval setting, split). A row holds counts, not percentages, so that micro and
macro averages and any later metric follow from it. Columns may be added; none is ever given another meaning.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clsearch.results.objects import StoreError
from clsearch.spec.keys import canonical_json

SCHEMA_VERSION = 1
PHASES = ("search", "race", "confirm", "analysis")

_COLUMNS: dict[str, pa.DataType] = {
    "schema_version": pa.int32(),
    "sweep": pa.string(),
    "trial": pa.int64(),
    "phase": pa.string(),  # one of PHASES
    "protocol": pa.string(),
    "method": pa.string(),
    "backbone": pa.string(),
    "benchmark": pa.string(),
    "order_seed": pa.int64(),
    "run_seed": pa.int64(),
    "tasks_total": pa.int32(),
    "task_learned": pa.int32(),  # 1-based
    "task_evaluated": pa.int32(),  # 1-based; above task_learned for cross-domain streams
    "task_name": pa.string(),  # of the task evaluated
    "split": pa.string(),  # validation | test
    "validation_source": pa.string(),
    "eval_setting": pa.string(),  # canonical JSON
    "correct": pa.int64(),
    "count": pa.int64(),
    "stage_key": pa.string(),
    "numerics": pa.string(),
    "trained_parameters": pa.int64(),
    "stored_parameters": pa.int64(),
    "train_seconds": pa.float64(),
    "memory_gb": pa.float64(),  # peak while the stage was learned, 1e9 bytes: of the GPU, else of the process
    "eval_seconds": pa.float64(),
    "workers": pa.int32(),
    "device": pa.string(),
    "attempt": pa.int32(),
    "started_at": pa.timestamp("us", tz="UTC"),
    "git_sha": pa.string(),
    "git_dirty": pa.bool_(),
    "lock_hash": pa.string(),
    "data_digest": pa.string(),
    "setting": pa.string(),  # canonical JSON: the full resolved setting
}
ROW_COLUMNS: tuple[str, ...] = tuple(_COLUMNS)
# Without these a row cannot be placed or counted; the rest may be null where it is not known.
_NEEDED = (
    *("sweep", "trial", "phase", "protocol", "method", "backbone", "benchmark", "order_seed", "run_seed"),
    *("tasks_total", "task_learned", "task_evaluated", "split", "eval_setting", "correct", "count", "stage_key"),
)
# Two files of one name must agree in these; seconds, device and the like may differ.
_PLACE = ("task_learned", "task_evaluated", "split", "eval_setting")
_AGREE = ("stage_key", "correct", "count")
_JSON_COLUMNS = ("eval_setting", "setting", "numerics")
_PARAMETER_TYPES: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    tuple: pa.string(),  # as JSON, as are lists
    list: pa.string(),
}


def row_schema(parameters: Mapping[str, type] | None = None) -> pa.Schema:
    """The columns of a row file: the project's, and one typed `param_<name>` per parameter of the sweep."""
    fields = [pa.field(name, kind, nullable=name not in _NEEDED) for name, kind in _COLUMNS.items()]
    for name, kind in sorted((parameters or {}).items()):
        fields.append(pa.field(f"param_{name}", _PARAMETER_TYPES[kind]))
    return pa.schema(fields)


def rows_table(rows: Sequence[Mapping[str, Any]], parameters: Mapping[str, type]) -> pa.Table:
    """Rows as a typed table.

    Args:
        rows: one mapping a row; keys are column names and `param_<name>`. `schema_version` is filled in; settings may
            be given as dicts (they become canonical JSON), `started_at` as datetime or ISO 8601 text.
        parameters: name -> bool, int, float, str or tuple, for every parameter of the sweep.

    Raises:
        ValueError: a needed column is missing or null, or a key is no column. A mistake of the caller, not the user.
    """
    schema = row_schema(parameters)
    for row in rows:
        unknown = set(row) - set(schema.names)
        missing = [name for name in _NEEDED if row.get(name) is None]
        if unknown or missing:
            raise ValueError(f"row: unknown columns {sorted(unknown)}, missing or null columns {missing}")
        if row["phase"] not in PHASES:
            raise ValueError(f"row: phase {row['phase']!r} is none of {PHASES}")
    return pa.Table.from_pylist([_encoded(row) for row in rows], schema=schema)


def _encoded(row: Mapping[str, Any]) -> dict[str, Any]:
    encoded = {"schema_version": SCHEMA_VERSION, **row}
    for name, value in row.items():
        as_json = name in _JSON_COLUMNS and not isinstance(value, str | None)
        if as_json or (name.startswith("param_") and isinstance(value, tuple | list)):
            encoded[name] = canonical_json(value)
    started = row.get("started_at")
    if isinstance(started, str):
        started = datetime.fromisoformat(started)
    if isinstance(started, datetime):
        encoded["started_at"] = started.astimezone(UTC)
    return encoded


def encode(table: pa.Table) -> bytes:
    """The table as one Parquet object."""
    buffer = io.BytesIO()
    # A file has some ten rows: compression would make it larger and twice as slow to read, and the Arrow schema and the
    # statistics would be half of its bytes.
    pq.write_table(table, buffer, compression="none", write_statistics=False, store_schema=False)
    return buffer.getvalue()


def decode(data: bytes, name: str, columns: Collection[str] | None = None) -> pa.Table:
    """The table of a row file, or the given ones of its columns.

    Raises StoreError that names the file if it is damaged or of a newer schema.
    """
    wanted = None if columns is None else ["schema_version", *columns]
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(columns=wanted, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"row file {name} is damaged ({_first_line(error)}); the other rows are not: remove it and run its sweep "
            "again, which evaluates the stage anew"
        ) from error
    version = _newest_version(table)
    if version is None:
        raise StoreError(f"row file {name} was not written by clsearch: it has no schema_version; remove it")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"row file {name} has schema {version}, this clsearch reads up to {SCHEMA_VERSION}: install a newer one"
        )
    return table


def _newest_version(table: pa.Table) -> int | None:
    if "schema_version" not in table.column_names:
        return None
    return max((value for value in table["schema_version"].to_pylist() if value is not None), default=None)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120]


def unite(tables: Iterable[tuple[str, pa.Table]], columns: Collection[str] | None = None) -> pa.Table:
    """One table of many row files (named, for messages): columns that a file does not have are null in its rows.

    With `columns`, the table has these of the project's columns; else all, whether or not a file has them.

    A parameter that is an integer in one sweep and a float in another becomes a float; any other clash of types is
    StoreError, because one name has one type in the whole project.
    """
    named = list(tables)
    schema = row_schema()
    if columns is not None:
        schema = pa.schema([field for field in schema if field.name in columns or field.name == "schema_version"])
    different = {id(table.schema): (name, table.schema) for name, table in named}
    for name, other in {str(other): (name, other) for name, other in different.values()}.values():
        try:
            schema = pa.unify_schemas([schema, other.remove_metadata()], promote_options="permissive")
        except pa.ArrowException as error:
            raise StoreError(f"row file {name}: its columns do not fit the others' ({_first_line(error)})") from error
    loose = pa.schema([field.with_nullable(True) for field in schema])
    if not named:
        # Not schema.empty_table(), which imports pandas, where it is installed, at half a second.
        return pa.Table.from_arrays([pa.nulls(0, field.type) for field in loose], schema=loose)
    return pa.concat_tables([_cast(table, loose) for _, table in named])


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if table.schema.names == schema.names and table.schema.types == schema.types:
        return table.cast(schema)
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def difference(stored: pa.Table, written: pa.Table) -> str | None:
    """The first way in which two files of one name contradict each other, in words; None if they agree."""
    order = [(name, "ascending") for name in _PLACE]
    old, new = (table.select([*_PLACE, *_AGREE]).sort_by(order).to_pylist() for table in (stored, written))
    if [tuple(row[name] for name in _PLACE) for row in old] != [tuple(row[name] for name in _PLACE) for row in new]:
        return f"{len(old)} rows are stored and {len(new)} were to be written, of other tasks, splits or eval settings"
    for before, after in zip(old, new, strict=True):
        for name in _AGREE:
            if before[name] != after[name]:
                place = ", ".join(f"{key} {before[key]}" for key in _PLACE)
                return f"at {place}: {name} is {before[name]} in the store and {after[name]} now"
    return None
