"""Where tables of complete trials are kept: in a store, in one Parquet file, in the package.

The one-file form has the standard row columns of one sweep, and that sweep's name and identity in the metadata of the
file's schema (`clsearch.sweep`, `clsearch.identity`), so that it says by itself what was asked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clsearch.errors import UsageError, nearest
from clsearch.results.objects import StoreError
from clsearch.results.permitted import CHOOSING_PHASES
from clsearch.results.rows import decode
from clsearch.results.store import Store, open_store

FOLDER = Path(__file__).parents[1] / "tables"  # shipped with the package
_SWEEP, _IDENTITY = b"clsearch.sweep", b"clsearch.identity"
# A file's rows keep this order, so that the same sweep gives the same bytes.
_ORDER = ("trial", "phase", "order_seed", "run_seed", "task_learned", "split", "eval_setting", "task_evaluated")


@dataclass(frozen=True)
class TableRows:
    """Rows of one sweep, and what was asked of it."""

    where: str  # as a message names it
    sweep: str
    identity: Mapping[str, Any]
    rows: pa.Table


def known_tables() -> list[str]:
    """The names of the tables in the package, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.parquet"))


def validation_rows(where: str, sweep: str | None = None, columns: Collection[str] | None = None) -> TableRows:
    """The validation rows of phases search and race: all by which anything may be chosen.

    Args:
        where: the name of a table in the package, the path of a `.parquet` file that `write_table` made, or a store.
        sweep: needed where a store has several.
        columns: only these and some more that are needed to find the rows; None: all.

    Raises:
        UsageError: there is no such table, file, store or sweep; an object that cannot be read. The message names it.
    """
    found = _read(where, sweep, columns, {"phase": CHOOSING_PHASES, "split": ("validation",)})
    if not found.rows.num_rows:
        raise UsageError(f"{found.where} has no validation rows of phase search: run the sweep, or name another")
    return found


def rows_with_test_for_the_audit(where: str, sweep: str | None = None) -> TableRows:
    """Validation rows AND THE TEST ROWS of phase analysis. For the audit alone: nothing may be chosen by them.

    Arguments and errors as of `validation_rows`.
    """
    return _read(where, sweep, None, {"phase": (*CHOOSING_PHASES, "analysis")})


def write_table(store: Store, sweep: str | None, path: Path, trials: Collection[int]) -> str:
    """Write the rows of these trials' phases search, race and analysis as one file; returns the sweep's name.

    Raises:
        UsageError: there is no such sweep, or the file is there already.
    """
    name, identity = _identity(store, sweep)
    rows = store.read_rows(name, phase=(*CHOOSING_PHASES, "analysis"), trial=sorted(trials))
    data = table_bytes(name, identity, rows)
    if path.suffix != ".parquet":
        raise UsageError(f"a table's file ends in .parquet, unlike '{path}'")
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError(f"{path} is there already: remove it, or give another name") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    return name


def table_bytes(sweep: str, identity: Mapping[str, Any], rows: pa.Table) -> bytes:
    """The one-file form of a sweep's rows."""
    rows = rows.sort_by([(name, "ascending") for name in _ORDER])
    metadata = {_SWEEP: sweep.encode(), _IDENTITY: json.dumps(identity, sort_keys=True).encode()}
    buffer = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(metadata), buffer, compression="zstd", compression_level=19)
    return bytes(buffer.getvalue())


def _read(
    where: str, sweep: str | None, columns: Collection[str] | None, wanted: Mapping[str, Collection[str]]
) -> TableRows:
    file = _file(where)
    if file is None:
        store = _store(where)
        name, identity = _identity(store, sweep)
        return TableRows(
            f"sweep '{name}' in {store.uri}", name, identity, store.read_rows(name, columns=columns, **wanted)
        )
    try:
        data = file.read_bytes()
        metadata = pq.ParquetFile(pa.BufferReader(data)).schema_arrow.metadata or {}
    except OSError as error:
        raise UsageError(f"table {file}: cannot be read: {error.strerror}") from None
    except pa.ArrowException:
        raise StoreError(f"table {file} is damaged: it is no Parquet file; make it anew") from None
    if not metadata.keys() >= {_SWEEP, _IDENTITY}:
        raise StoreError(
            f"{file} is not a table of clsearch: it does not say which sweep its rows are of; "
            "make one with python -m clsearch.replay URI --export FILE"
        )
    name = metadata[_SWEEP].decode()
    if sweep is not None and sweep != name:
        raise UsageError(f"table {file} holds sweep '{name}', not '{sweep}'")
    rows = decode(data, str(file), None if columns is None else {*columns, *wanted})
    for column, values in wanted.items():
        rows = rows.filter(pc.is_in(rows[column], value_set=pa.array(list(values), type=pa.string())))
    return TableRows(f"table {file}", name, json.loads(metadata[_IDENTITY]), rows)


def _file(where: str) -> Path | None:
    """The Parquet file that `where` names; None for a store."""
    if where in known_tables():
        return FOLDER / f"{where}.parquet"
    if where.endswith(".parquet") and "://" not in where:
        return Path(where).expanduser()
    return None


def _store(where: str) -> Store:
    store = open_store(where, create=False)
    try:
        store.require()
    except StoreError as error:
        if "/" in where:
            raise
        raise UsageError(
            f"there is no table '{where}' in the package ({nearest(where, known_tables())}), and {error}"
        ) from None
    return store


def _identity(store: Store, sweep: str | None) -> tuple[str, Mapping[str, Any]]:
    names = store.sweep_names()
    if sweep is None and len(names) != 1:
        what = "holds no sweep" if not names else f"holds several sweeps: name one of {', '.join(names)}"
        raise UsageError(f"{store.uri} {what}")
    name = names[0] if sweep is None else sweep
    if name not in names:
        raise UsageError(f"{store.uri} has no sweep '{name}': {nearest(name, names)}")
    try:
        return name, store.get_json(store.sweep_path(name))
    except FileNotFoundError:
        raise UsageError(
            f"sweep '{name}' in {store.uri} has rows but no identity: nothing says what was searched"
        ) from None
