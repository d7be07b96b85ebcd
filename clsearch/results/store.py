"""The store: immutable facts under one URI, on a local folder or S3, laid out as `layout` says.

An object is encoded in memory and created once, exclusively: whole or not at all, and never over another.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from clsearch.errors import UsageError, nearest
from clsearch.results import layout
from clsearch.results import rows as row_files
from clsearch.results.layout import FOLDERS, NAMED_COLUMNS, RowName, checked_name, may_match, parse_row_name
from clsearch.results.local import LocalObjects
from clsearch.results.objects import Objects, Paths, StoreConflict, StoreError

__all__ = ["RowName", "Store", "StoreConflict", "StoreError", "open_store", "parse_row_name", "resolve_uri"]

S = TypeVar("S")
T = TypeVar("T")
_READERS = 16  # threads; a store in a bucket answers many small reads at once


class Store:
    """Objects by path, and what this project keeps in them. Safe to use from many threads and processes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.uri = objects.uri
        self.is_local = isinstance(objects, LocalObjects)

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    # Objects

    def put(self, path: str, data: bytes) -> bool:
        """Create an object: True if this call wrote it, False if it was there already (and stays as it was)."""
        return self._objects.put(path, data)

    def get(self, path: str) -> bytes:
        """The object's bytes; raises FileNotFoundError."""
        return self._objects.get(path)

    def exists(self, path: str) -> bool:
        """Whether the object is there."""
        return self._objects.exists(path)

    def list(self, prefix: str) -> Paths:
        """Every path that starts with `prefix`, sorted; never cached."""
        return self._objects.list(prefix)

    def delete(self, path: str) -> None:
        """Remove a checkpoint (`keep: last | none`); nothing else is ever removed by a sweep."""
        self._objects.delete(path)

    def put_json(self, path: str, value: Any) -> bool:
        """Create a JSON object; as `put`."""
        return self.put(path, (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode())

    def get_json(self, path: str) -> Any:
        """The value of a JSON object; raises FileNotFoundError, or StoreError naming an object that is damaged."""
        try:
            return json.loads(self.get(path))
        except ValueError as error:
            raise StoreError(
                f"object {self.uri}/{path} is damaged (not JSON: {error}); remove or restore it"
            ) from error

    def read_many(self, items: Iterable[S], read: Callable[[S], T]) -> Sequence[T]:
        """`read(item)` of each item (mostly a path), several at a time, in their order; the first error is raised."""
        items = [*items]
        if len(items) < 2:
            return [read(item) for item in items]
        with ThreadPoolExecutor(min(_READERS, len(items)), thread_name_prefix="clsearch-store") as pool:
            return [*pool.map(read, items)]

    # Paths

    sweep_path = staticmethod(layout.sweep_path)
    claim_path = staticmethod(layout.claim_path)
    attempt_path = staticmethod(layout.attempt_path)
    end_path = staticmethod(layout.end_path)
    outcome_path = staticmethod(layout.outcome_path)
    race_failure_path = staticmethod(layout.race_failure_path)
    verdict_path = staticmethod(layout.verdict_path)
    stage_path = staticmethod(layout.stage_path)
    rows_path = staticmethod(layout.rows_path)

    # Rows

    def put_rows(self, path: str, table: pa.Table) -> bool:
        """Create a row file at a path of `rows_path`: True if written, False if it was there and says the same.

        Raises:
            StoreConflict: the file that is there has another stage key or other counts.
        """
        if self.put(path, row_files.encode(table)):
            return True
        stored = row_files.decode(self.get(path), f"{self.uri}/{path}")
        differs = row_files.difference(stored, table)
        if differs:
            raise StoreConflict(
                f"row file {self.uri}/{path} is there already and contradicts what was measured now, {differs}; "
                "one of the two was computed by changed code under the same numerics version, or on damaged data"
            )
        return False

    def row_names(self, sweep: str | None = None) -> Paths:
        """The paths of the row files of one sweep, or of all; files of other names are not ours and left out."""
        prefix = f"rows/{checked_name(sweep)}/" if sweep is not None else "rows/"
        return [path for path in self.list(prefix) if parse_row_name(path)]

    def read_rows(
        self, sweep: str | None = None, *, columns: Collection[str] | None = None, **filters: Any
    ) -> pa.Table:
        """The rows of one sweep, or of all, in one table in the order of the files' names.

        Args:
            sweep: a sweep's name; unknown names give no rows.
            columns: only these (and schema_version), which is quicker; None: all.
            filters: column = value or column = a collection of values.

        Raises:
            StoreError: a row file is damaged or of a newer schema; the message names it.
            UsageError: a filter names no column.
        """
        wanted = {name: _collection(value) for name, value in filters.items()}
        read_columns = None if columns is None else {*columns, *wanted}
        names = [path for path in self.row_names(sweep) if may_match(path, wanted)]

        def read(path: str) -> tuple[str, pa.Table]:
            name = f"{self.uri}/{path}"
            try:
                return name, row_files.decode(self.get(path), name, read_columns)
            except FileNotFoundError:
                raise StoreError(f"row file {name} was removed while it was to be read; run this again") from None

        table = row_files.unite(self.read_many(names, read), read_columns)
        for name in wanted:
            if name not in table.column_names:
                raise UsageError(f"rows have no column '{name}': {nearest(name, table.column_names)}")
        masks = [
            pc.is_in(table[name], value_set=pa.array(values, type=table[name].type))
            for name, values in wanted.items()
            if name not in NAMED_COLUMNS  # done by the files' names
        ]
        return table.filter(reduce(pc.and_, masks)) if masks else table

    def sweep_names(self) -> Paths:
        """Every sweep that left anything here: its identity, a trial or a row."""
        found = {path.removeprefix("sweeps/").removesuffix(".json") for path in self.list("sweeps/")}
        for folder in ("trials/", "rows/"):
            found |= {path.split("/")[1] for path in self.list(folder) if path.count("/") > 1}
        return sorted(found)

    # The place

    def require(self) -> None:
        """Raises StoreError unless this is a store: something of ours is here, or at least nothing else is."""
        top = self._objects.top()
        if any(folder in top for folder in FOLDERS):
            return
        if self.is_local and not Path(self.uri).is_dir():
            raise StoreError(f"{self.uri} is not a store: there is no such folder")
        if any(name != "selftest/" for name in top):
            raise StoreError(f"{self.uri} is not a store: it holds files, but neither sweeps nor rows")

    def self_test(self) -> None:
        """Create one object twice; raises StoreError unless the first is written and the second refused."""
        path = f"selftest/{uuid.uuid4().hex}"
        first, second = self.put(path, b"first"), self.put(path, b"second")
        self.delete(path)
        if not first or second:
            raise StoreError(
                f"store {self.uri}: it lets a second writer overwrite an object (no conditional PUT), "
                "so two trials could destroy each other's results; use another server or a newer version of it"
            )


def resolve_uri(uri: str | None = None) -> str:
    """One absolute URI: what is given (`storage=`), else CLSEARCH_STORE, else ~/clsearch/store.

    Always absolute, because a relative path would land in Ray's copy of the working directory.
    """
    chosen = uri if uri is not None else os.environ.get("CLSEARCH_STORE") or "~/clsearch/store"
    if not chosen.strip():
        raise UsageError("storage: is empty; give a folder or s3://bucket/prefix")
    scheme, separator, rest = chosen.partition("://")
    if not separator:
        return os.path.abspath(os.path.expanduser(chosen))
    if scheme == "file":
        return os.path.abspath("/" + rest.lstrip("/"))
    if scheme == "s3" and rest.strip("/"):
        return f"s3://{rest.rstrip('/')}"
    # Only the scheme is repeated: what follows may hold a password.
    raise UsageError(f"storage: '{scheme}://...' names no store; give a folder or s3://bucket/prefix")


def open_store(uri: str | None = None, *, create: bool = True) -> Store:
    """The store at `resolve_uri(uri)`.

    With `create` it is tested to be writable and exclusive (one object written twice), and a local folder is made.
    Without, nothing is written and a folder that does not exist reads as an empty store (see `Store.require`).

    Raises:
        UsageError: the place cannot be reached, read or written; one sentence, without credentials.
    """
    store = Store(_objects(resolve_uri(uri)))
    store._objects.check_readable()
    if create:
        store.self_test()
    return store


def _objects(uri: str) -> Objects:
    if uri.startswith("s3://"):
        from clsearch.results.s3 import (
            S3Objects,  # with s3fs, half a second that local stores need not pay
        )

        return S3Objects(uri)
    return LocalObjects(Path(uri))


def _collection(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Collection) and not isinstance(value, str | bytes) else [value]
