"""What a store knows of a sequence's stages before anything is learned: the trial's own rows, and anybody's counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clsearch.learning.keys import Stage
from clsearch.learning.request import SequenceRequest, Split
from clsearch.learning.rows import known_rows, stage_rows_path, stored_counts
from clsearch.results.counts import StageCounts, known_counts, read_counts
from clsearch.results.store import Store

# Which eval settings, by position, have to be measured on each split. A stage of which nothing is wanted is empty.
Wanted = dict[Split, list[int]]


@dataclass
class Known:
    """What is there, by (task, position of the eval setting) and for counts also by split; it grows as a run measures.

    rows: (task evaluated, correct, count) on the first split, of row files that are there.
    """

    request: SequenceRequest
    rows: dict[tuple[int, int], list[tuple[int, int, int]]] = field(default_factory=dict)
    counts: dict[tuple[int, int, Split], StageCounts] = field(default_factory=dict)

    def wanted(self, task: int) -> Wanted:
        """What has to be measured after a task, because neither its rows nor its counts are there."""
        grid = range(len(self.request.eval_settings))
        lacking: Wanted = {
            split: [i for i in grid if (task, i) not in self.rows and (task, i, split) not in self.counts]
            for split in self.request.splits
        }
        return {split: positions for split, positions in lacking.items() if positions}

    def unwritten(self, task: int) -> list[int]:
        """The eval settings whose rows have to be written, as their counts are there."""
        return [i for i in range(len(self.request.eval_settings)) if (task, i) not in self.rows]

    def by_split(self, task: int, i: int) -> dict[str, StageCounts]:
        """The counts that the rows of one eval setting are made of."""
        return {split: self.counts[task, i, split] for split in self.request.splits}

    def record(self, task: int) -> dict[str, Any] | None:
        """The stage's record, where counts have told it."""
        first = next((found for (t, _, _), found in self.counts.items() if t == task), None)
        return None if first is None else dict(first.record)


def look_up(store: Store, request: SequenceRequest, stages: Sequence[Stage]) -> Known:
    """Read the trial's own rows, then the counts of what they lack; test counts only where the request reads test.

    Raises StoreError where an object is damaged, or rows are another stage's.
    """
    known = Known(request)
    grid = request.eval_settings
    there = known_rows(store, request)
    own = {stage_rows_path(request, stage.task, grid[i]): (stage, i) for stage in stages for i in range(len(grid))}

    def read_rows(path: str) -> list[tuple[int, int, int]] | None:
        stage, i = own[path]
        return stored_counts(store, request, stage.task, grid[i], stage.key)

    paths = [path for path in own if path in there]
    for path, rows in zip(paths, store.read_many(paths, read_rows), strict=True):
        if rows is not None:
            known.rows[own[path][0].task, own[path][1]] = rows
    _read_counts(store, known, stages)
    return known


def _read_counts(store: Store, known: Known, stages: Sequence[Stage]) -> None:
    """Add the counts of everything that has no rows, and of complete stages one, for the record of what was learned."""
    request = known.request
    asked: list[tuple[Stage, int, Split]] = []
    for stage in stages:
        wanted = known.wanted(stage.task) or {request.splits[0]: [0]}
        asked += [(stage, i, split) for split, positions in wanted.items() for i in positions]
    lacking_first = sorted(stages, key=lambda stage: not known.wanted(stage.task))
    there = known_counts(store, [stage.key for stage in lacking_first])
    found = {stage.counts[i, split]: stage for stage, i, split in asked if stage.counts[i, split] in there}
    read = store.read_many(found, lambda path: read_counts(store, path, found[path].evaluated))
    by_path = dict(zip(found, read, strict=True))
    for stage, i, split in asked:
        counts = by_path.get(stage.counts[i, split])
        if counts is not None:
            known.counts[stage.task, i, split] = counts
