"""Protocols: by which entries of the validation matrix a setting may be chosen, and where it is then measured.

`results.permitted` cuts the matrix; `course` says which tasks there are to learn in the first place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.errors import UsageError, nearest

ProtocolKind = Literal["end_of_sequence", "first_tasks", "disjoint_tasks", "cross_dataset", "published"]


@dataclass(frozen=True)
class Protocol:
    """One protocol. Its text, as in the column of the rows: `first_tasks(3)`, `cross_dataset(imagenet_r_10)`.

    end_of_sequence: the whole matrix, once the last task is learned.
    first_tasks(k): entries with both indices <= k, of a sequence in whichever order it has; neither the search nor the
    race learns a further task.
    disjoint_tasks(k): the first k tasks of the search's order, a sequence of their own, which the race permutes; what
    is confirmed is a sequence of the other tasks alone (A-GEM, arXiv 1812.00420).
    cross_dataset(B): the whole matrix of benchmark B, and what is confirmed is the sweep's own benchmark, which has no
    source of pictures in common with B (GTEP, arXiv 2403.09066).
    published: nothing is chosen.
    """

    kind: ProtocolKind = "end_of_sequence"
    tasks: int | None = None  # k
    benchmark: str | None = None  # B

    def __str__(self) -> str:
        argument = self.tasks if self.tasks is not None else self.benchmark
        return self.kind if argument is None else f"{self.kind}({argument})"


@dataclass(frozen=True)
class Part:
    """Some tasks of a benchmark as a sequence of their own: the first `tasks` in the order of a seed, or the rest.

    A sequence's own order seed permutes the classes or domains of the part and no others; where it is the part's seed,
    they keep the order they have in the whole.
    """

    half: Literal["first", "rest"]
    tasks: int
    order_seed: int

    def size(self, total: int) -> int:
        """How many tasks the part has, of a benchmark of `total` tasks."""
        return self.tasks if self.half == "first" else total - self.tasks


@dataclass(frozen=True)
class Course:
    """Which tasks the sequences of a phase learn: of the benchmark or a part of it, all or only the first `limit`."""

    benchmark: str
    tasks: int  # how many are learned
    limit: int | None = None
    part: Part | None = None


def course(protocol: Protocol, phase: str, benchmark: str, order_seed: int) -> Course:
    """The course of a phase of a sweep on `benchmark` whose search has `order_seed`.

    Settings are chosen on one course (phases search and race, and analysis, which reads test on the same sequences) and
    measured on another (confirm).
    """
    chooses = phase != "confirm"
    if protocol.benchmark is not None and chooses:
        benchmark = protocol.benchmark
    total = benchmark_info(benchmark).tasks
    if protocol.kind == "disjoint_tasks" and protocol.tasks is not None:
        part = Part("first" if chooses else "rest", protocol.tasks, order_seed)
        return Course(benchmark, part.size(total), part=part)
    if protocol.kind == "first_tasks" and protocol.tasks is not None and chooses:
        return Course(benchmark, protocol.tasks, limit=protocol.tasks)
    return Course(benchmark, total)


_WITH_TASKS = ("first_tasks", "disjoint_tasks")
_PLAIN = ("end_of_sequence", "published")
FORMS = ("end_of_sequence", "first_tasks(k)", "disjoint_tasks(k)", "cross_dataset(benchmark)", "published")
_TEXT = re.compile(r"(?P<kind>[a-z_]+)(?:\((?P<argument>[^()]*)\))?")


def read_protocol(text: str, where: str) -> Protocol:
    """The protocol of a text; raises UsageError naming `where` and the forms there are."""
    match = _TEXT.fullmatch(text.strip())
    kind, argument = (match["kind"], match["argument"]) if match else (text, None)
    kinds = [form.partition("(")[0] for form in FORMS]
    if kind not in kinds:
        raise UsageError(f"{where}: protocol cannot be '{text}': {nearest(kind, kinds)}")
    form = FORMS[kinds.index(kind)]
    if (argument is None) != (kind in _PLAIN):
        raise UsageError(f"{where}: protocol '{text}' is written {form}")
    if kind in _WITH_TASKS:
        if not str(argument).isdigit() or int(str(argument)) < 2:
            raise UsageError(
                f"{where}: protocol '{text}': k is a whole number of at least 2 (one task forgets nothing)"
            )
        return Protocol(kind, tasks=int(str(argument)))  # type: ignore[arg-type]
    return Protocol(kind, benchmark=argument)  # type: ignore[arg-type]
