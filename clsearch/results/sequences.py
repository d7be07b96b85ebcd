"""From rows to sequences: each one's matrices of counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clsearch.results.objects import StoreError
from clsearch.spec.keys import eval_hash

Counts = NDArray[np.int64]

# What tells one measured sequence from another; a column of each name is in every row.
_PLACE = (
    *("benchmark", "protocol", "method", "backbone", "sweep", "trial", "phase", "split", "eval_setting"),
    *("order_seed", "run_seed", "tasks_total"),
)
_LAST = ("trained_parameters", "stored_parameters", "data_digest")  # read at the last task that has rows
COLUMNS = (*_PLACE, "task_learned", "task_evaluated", "correct", "count", *_LAST)


@dataclass(frozen=True)
class Measured:
    """One task sequence under one eval setting on one split."""

    benchmark: str
    protocol: str
    method: str
    backbone: str
    sweep: str
    trial: int
    phase: str
    split: str
    eval_setting: str  # canonical JSON
    order_seed: int
    run_seed: int
    tasks_total: int
    correct: Counts  # (T, T); row: after which task, column: which task
    count: Counts
    trained_parameters: int | None  # at the last task that has rows
    stored_parameters: int | None
    data_digest: str | None  # of the whole sequence in its order: equal where tasks and examples are the same

    def complete(self, whole_matrix: bool) -> bool:
        """Whether every stage has its rows; `whole_matrix`: also those of tasks not learned yet (cross-domain)."""
        needed = self.count > 0
        return bool(needed.all() if whole_matrix else needed[np.tri(len(needed), dtype=bool)].all())

    @property
    def pair(self) -> tuple[int, int]:
        """(run seed, order seed)."""
        return self.run_seed, self.order_seed


def measured_sequences(rows: pa.Table) -> list[Measured]:
    """Every sequence of the rows, by first appearance; raises StoreError for a task number out of range."""
    return list(_sequences(rows.select(list(COLUMNS)))) if rows.num_rows else []


def under_eval_settings(
    rows: pa.Table, split: str, eval_settings: Sequence[Mapping[str, Any]]
) -> list[Measured | None]:
    """The one sequence of the rows under each of the eval settings, on a split; None where there is no row.

    Raises ValueError where the rows are of several trials, phases or pairs of seeds.
    """
    found: dict[str, Measured] = {}
    for sequence in measured_sequences(rows):
        name = eval_hash(json.loads(sequence.eval_setting))
        if sequence.split == split and found.setdefault(name, sequence) is not sequence:
            raise ValueError("the rows are of several sequences, and one is asked for")
    return [found.get(eval_hash(setting)) for setting in eval_settings]


def _sequences(rows: pa.Table) -> Iterator[Measured]:
    # In numpy from here on, by DLPack: pyarrow's own `take` and `to_numpy` import pandas, where it is installed, which
    # costs half a second.
    places = {name: _Coded.of(rows, name) for name in _PLACE}
    group, first = _groups([place.codes for place in places.values()])
    learned, evaluated, total = (_numbers(rows, name) for name in ("task_learned", "task_evaluated", "tasks_total"))
    wrong = (learned < 1) | (learned > total) | (evaluated < 1) | (evaluated > total)
    if wrong.any():
        sweep = places["sweep"].at(int(wrong.argmax()))
        raise StoreError(f"rows of sweep {sweep}: the number of a task is not within tasks_total")
    correct, count = _numbers(rows, "correct"), _numbers(rows, "count")
    at_last = {name: rows[name].to_pylist() for name in _LAST}
    order = np.lexsort((learned, group))  # each group together, its last stage at its end
    ends = np.flatnonzero(np.append(np.diff(group[order]) > 0, True)) + 1
    start = 0
    for number, end in enumerate(ends.tolist()):
        members = order[start:end]
        start = end
        fact = {name: place.at(int(first[number])) for name, place in places.items()}
        last = int(members[-1])
        yield Measured(
            **fact,
            correct=_matrix(fact["tasks_total"], learned, evaluated, correct, members),
            count=_matrix(fact["tasks_total"], learned, evaluated, count, members),
            **{name: values[last] for name, values in at_last.items()},
        )


@dataclass(frozen=True)
class _Coded:
    """A column as its different values and each row's number among them."""

    values: list[Any]
    codes: NDArray[Any]

    @staticmethod
    def of(rows: pa.Table, name: str) -> _Coded:
        column = rows[name].combine_chunks().dictionary_encode(null_encoding="encode")
        return _Coded(column.dictionary.to_pylist(), np.from_dlpack(column.indices))

    def at(self, row: int) -> Any:
        return self.values[self.codes[row]]


def _matrix(size: int, learned: Counts, evaluated: Counts, values: Counts, members: NDArray[Any]) -> Counts:
    matrix = np.zeros((size, size), dtype=np.int64)
    matrix[learned[members] - 1, evaluated[members] - 1] = values[members]
    return matrix


def _groups(columns: Iterable[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each row's group, numbered by first appearance, and the first row of each group."""
    code: NDArray[Any] = np.zeros(1, dtype=np.int64)
    for column in columns:
        mixed = code * (int(column.max()) + 1) + column
        code = np.unique(mixed, return_inverse=True)[1]  # dense again, so that the product never overflows
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    appearance = np.argsort(first)
    rank = np.empty_like(appearance)
    rank[appearance] = np.arange(len(appearance))
    return rank[inverse], first[appearance]


def _numbers(rows: pa.Table, name: str) -> Counts:
    return np.from_dlpack(rows[name].combine_chunks()).astype(np.int64)
