"""The pocket benchmarks: encoded images in a Parquet file that is part of the package.

Each image is decoded and resized once in a process, when it is first asked for; there is no augmentation.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from clsearch.benchmarks.examples import Listing, Pixels, Place, Pool, Reader, Rows, make_listing
from clsearch.benchmarks.transforms import TransformSet, render
from clsearch.errors import UsageError

_COLUMNS = ("id", "image", "class_name", "domain", "split", "source", "licence")
_TEMPLATES = {"digits": 'a photo of the number: "{}".'}
_TEMPLATE = "a photo of a {}."


class _Table:
    """A file's rows, with the images decoded so far."""

    def __init__(self, path: Path, transforms: TransformSet, size: int) -> None:
        columns = _read_columns(path)
        self.path = path
        self.ids: list[str] = columns["id"]
        self.encoded: list[bytes] = columns["image"]
        self.class_names: list[str] = columns["class_name"]
        self.domains: list[str] = columns["domain"]
        self.splits: list[str] = columns["split"]
        self.marks = [hashlib.sha256(image).hexdigest()[:16] for image in self.encoded]
        self._transforms, self._size = transforms, size
        self._pixels = np.empty((len(self.ids), size, size, 3), dtype=np.uint8)
        self._decoded = np.zeros(len(self.ids), dtype=bool)

    def images(self, rows: Rows) -> Pixels:
        todo = np.unique(rows[~self._decoded[rows]])
        if len(todo):
            pictures = (partial(_decode, self.encoded[row]) for row in todo)
            names = [f"{self.ids[row]} in {self.path}" for row in todo]
            self._pixels[todo] = render(pictures, names, self._transforms, self._size, None)
            self._decoded[todo] = True
        return self._pixels[rows]


@dataclass(frozen=True, eq=False)
class _PocketReader:
    table: _Table
    rows: Rows

    def images(self, rows: Rows, augment: Sequence[int] | None) -> Pixels:
        return self.table.images(self.rows[rows])


def read_pocket(path: Path, transforms: TransformSet, size: int, *, by_domain: bool) -> tuple[Pool, ...]:
    """One pool for all rows, or one per domain; classes and domains in the order of their first row.

    Raises UsageError naming the file where it is damaged, lacks a column, or has rows of an unknown split.
    """
    stat = path.stat()
    table = _cached(path, stat.st_mtime_ns, stat.st_size, transforms, size)
    domains = list(dict.fromkeys(table.domains)) if by_domain else [path.stem]
    return tuple(_pool(table, domain, by_domain) for domain in domains)


def _pool(table: _Table, domain: str, by_domain: bool) -> Pool:
    rows = [i for i, name in enumerate(table.domains) if not by_domain or name == domain]
    names = tuple(dict.fromkeys(table.class_names[i] for i in rows))
    label = {name: i for i, name in enumerate(names)}
    parts = {}
    for split in ("train", "test"):
        chosen = [i for i in rows if table.splits[i] == split]
        parts[split] = _list(table, chosen, label)
    template = _TEMPLATES.get(domain, _TEMPLATE)
    return Pool(domain, names, template, parts["train"], None, parts["test"], partial(_open, table))


def _list(table: _Table, rows: list[int], label: dict[str, int]) -> Listing:
    ids = [table.ids[i] for i in rows]
    return make_listing(
        ids,
        [label[table.class_names[i]] for i in rows],
        rows,
        groups=[_concept(name) for name in ids],
        marks=[table.marks[i] for i in rows],
    )


def _concept(identifier: str) -> str:
    """Drawings of one emoji by several vendors (emoji/<code>/<vendor>) belong together."""
    return identifier.rsplit("/", 1)[0] if identifier.startswith("emoji/") else identifier


def _open(table: _Table, places: Sequence[Place]) -> Reader:
    return _PocketReader(table, np.asarray(places, dtype=np.int64))


@lru_cache(maxsize=4)
def _cached(path: Path, modified: int, length: int, transforms: TransformSet, size: int) -> _Table:
    return _Table(path, transforms, size)


def _read_columns(path: Path) -> dict[str, list[Any]]:
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}; install the package anew") from error
    absent = [name for name in _COLUMNS if name not in table.column_names]
    if absent:
        raise UsageError(f"{path} has no column '{absent[0]}'")
    columns: dict[str, list[Any]] = table.to_pydict()
    unknown = set(columns["split"]) - {"train", "test"}
    if unknown:
        raise UsageError(f"{path} has rows of split '{sorted(unknown)[0]}'; valid are: test, train")
    return columns


def _decode(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded))
