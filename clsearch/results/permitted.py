"""The entries of a validation matrix that may choose a setting: the only way from rows to an objective.

A ValidationMatrix is made here and nowhere else, from validation rows of a phase that chooses, and it is cut to what
the protocol permits. Whatever chooses (objective, race, stopping, replay) takes this type; test rows have no way in.
"""

from __future__ import annotations

import typing
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clsearch.results.metrics import METRICS
from clsearch.spec.protocols import Protocol

Counts = NDArray[np.int64]

CHOOSING_PHASES = ("search", "race")


class ExcludedError(ValueError):
    """Something was asked to choose by what its protocol excludes: a mistake of the program, never of the user."""


class UnfinishedError(ExcludedError):
    """Tasks are missing that must be learned before the protocol lets anything be chosen."""


class SequenceCounts(typing.Protocol):
    """What is read of one sequence under one eval setting on one split; `results.sequences.Measured` has it.

    `correct` and `count` are (T, T), 0 where there is no row.
    """

    @property
    def benchmark(self) -> str: ...
    @property
    def phase(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def correct(self) -> Counts: ...
    @property
    def count(self) -> Counts: ...


_MADE_HERE = object()


@dataclass(frozen=True, eq=False)
class ValidationMatrix:
    """The permitted entries of one sequence under one eval setting: (k, k) counts, read-only.

    Made by `permitted_matrix`, `permitted_so_far` and `until` alone; raises TypeError otherwise.
    """

    correct: Counts
    count: Counts
    made_by: InitVar[object]

    def __post_init__(self, made_by: object) -> None:
        if made_by is not _MADE_HERE:
            raise TypeError("a ValidationMatrix is made by results.permitted alone, which knows the protocol")
        self.correct.flags.writeable = False
        self.count.flags.writeable = False

    @property
    def tasks(self) -> int:
        """k: how many tasks the entries are of."""
        return len(self.count)

    def entry(self, learned: int, evaluated: int) -> tuple[int, int]:
        """(correct, count) after task `learned` on task `evaluated`, from 1; raises ExcludedError outside 1..k."""
        for task in (learned, evaluated):
            self._check(task)
        at = learned - 1, evaluated - 1
        return int(self.correct[at]), int(self.count[at])

    def until(self, learned: int) -> ValidationMatrix:
        """The entries with both indices <= `learned`: what was known then. Raises ExcludedError outside 1..k."""
        self._check(learned)
        return _cut(self.correct, self.count, learned)

    def _check(self, task: int) -> None:
        if not 1 <= task <= self.tasks:
            raise ExcludedError(f"task {task} is outside the permitted tasks 1..{self.tasks}")


def permitted_matrix(sequence: SequenceCounts, protocol: Protocol) -> ValidationMatrix:
    """All entries of a sequence by which the protocol lets a setting be chosen, once they are all there.

    Raises:
        ExcludedError: other rows than validation rows of a phase that chooses; another benchmark than the protocol's;
            protocol `published`, which chooses nothing.
        UnfinishedError: a task that the protocol waits for is not learned yet.
    """
    return _made(sequence, protocol, _tasks_permitted(sequence, protocol))


def permitted_so_far(sequence: SequenceCounts, protocol: Protocol, learned: int) -> ValidationMatrix:
    """The permitted entries of a sequence that has learned `learned` tasks: for comparing unfinished sequences.

    Raises as permitted_matrix does, also for a `learned` that the protocol does not reach.
    """
    most = _tasks_permitted(sequence, protocol)
    if not 1 <= learned <= most:
        raise ExcludedError(f"protocol {protocol}: task {learned} is outside the permitted tasks 1..{most}")
    return _made(sequence, protocol, learned)


def matrix_to_show(sequence: SequenceCounts, protocol: Protocol) -> ValidationMatrix:
    """The whole matrix of the one setting that protocol `published` learns: a figure to tell, with nothing to choose.

    Raises as permitted_matrix does; and ExcludedError under a protocol that chooses.
    """
    if protocol.kind != "published":
        raise ExcludedError(f"protocol {protocol} chooses by what it permits: take permitted_matrix")
    return _made(sequence, protocol, len(sequence.count))


def permitted_or_shown(sequence: SequenceCounts, protocol: Protocol) -> ValidationMatrix:
    """What is told of a sequence: `matrix_to_show` under protocol `published`, else `permitted_matrix`."""
    return (matrix_to_show if protocol.kind == "published" else permitted_matrix)(sequence, protocol)


def score(matrix: ValidationMatrix, metric: str) -> float:
    """A metric of results.metrics over the permitted entries, in percent; NaN where an entry it reads has no count."""
    if not isinstance(matrix, ValidationMatrix):
        raise TypeError(f"an objective is scored on a ValidationMatrix, not on {type(matrix).__name__}")
    return float(METRICS[metric](matrix.correct, matrix.count))


def _tasks_permitted(sequence: SequenceCounts, protocol: Protocol) -> int:
    """How many tasks' entries the protocol permits of this sequence."""
    total = len(sequence.count)
    if protocol.kind == "published":
        raise ExcludedError("protocol published: nothing is chosen, so no entry may be asked for")
    if protocol.kind == "cross_dataset" and sequence.benchmark != protocol.benchmark:
        raise ExcludedError(f"protocol {protocol}: rows on '{sequence.benchmark}' choose nothing")
    if protocol.tasks is None:
        return total
    if protocol.tasks > total:
        raise UnfinishedError(f"protocol {protocol}: the sequence has {total} tasks")
    return protocol.tasks


def _made(sequence: SequenceCounts, protocol: Protocol, tasks: int) -> ValidationMatrix:
    if sequence.split != "validation":
        raise ExcludedError(f"rows of split '{sequence.split}' choose nothing: only validation rows do")
    if sequence.phase not in CHOOSING_PHASES:
        raise ExcludedError(f"rows of phase '{sequence.phase}' choose nothing: the search has ended before it")
    matrix = _cut(sequence.correct, sequence.count, tasks)
    # Entries above the diagonal exist only where tasks are evaluated before they are learned; the metric knows.
    stages: NDArray[Any] = ((matrix.count > 0) | ~np.tri(tasks, dtype=bool)).all(axis=-1)
    if not stages.all():
        missing = int(stages.argmin()) + 1
        raise UnfinishedError(f"protocol {protocol}: validation rows of task {missing} of {tasks} are not there yet")
    return matrix


def _cut(correct: Counts, count: Counts, tasks: int) -> ValidationMatrix:
    # A copy: nothing outside the cut can be reached from it.
    return ValidationMatrix(correct[:tasks, :tasks].copy(), count[:tasks, :tasks].copy(), made_by=_MADE_HERE)
