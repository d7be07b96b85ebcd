"""Protocols: by which entries of the validation matrix a setting may be chosen, and where it is then measured."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from clsearch.errors import UsageError, nearest

ProtocolKind = Literal["end_of_sequence", "first_tasks", "disjoint_tasks", "cross_dataset", "published"]


@dataclass(frozen=True)
class Protocol:
    """One protocol. Its text, as in the column of the rows: `first_tasks(3)`, `cross_dataset(pocket_dil)`.

    end_of_sequence: the whole matrix, once the last task is learned.
    first_tasks(k): entries with both indices <= k; the search learns no further task.
    disjoint_tasks(k): the same, and what is confirmed is a sequence of the other tasks alone (A-GEM, arXiv 1812.00420).
    cross_dataset(B): the whole matrix of benchmark B, and what is confirmed is the sweep's own benchmark (GTEP, arXiv
    2403.09066).
    published: nothing is chosen.
    """

    kind: ProtocolKind = "end_of_sequence"
    tasks: int | None = None  # k
    benchmark: str | None = None  # B

    def __str__(self) -> str:
        argument = self.tasks if self.tasks is not None else self.benchmark
        return self.kind if argument is None else f"{self.kind}({argument})"


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
            raise UsageError(f"{where}: protocol '{text}': k is a whole number of at least 2 (one task forgets nothing)")
        return Protocol(kind, tasks=int(str(argument)))  # type: ignore[arg-type]
    return Protocol(kind, benchmark=argument)  # type: ignore[arg-type]
