"""The cells of an audit: every (trial, eval setting) of a method that has all the rows that the rules and scores need.

Only the audit reads test rows of phase `analysis`; see results/audit.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from clsearch.results.sequences import COLUMNS, Measured, measured_sequences
from clsearch.results.store import Store

Pair = tuple[int, int]  # (run seed, order seed)
PHASES_READ = ("search", "analysis")
_NEEDED_SHARE = 0.5  # of the cells: pairs that fewer have (a table's dense part) are no reason to leave a cell out


@dataclass(frozen=True)
class Source:
    """One sweep: its identity (may be empty) and its sequences of phases search and analysis."""

    name: str
    identity: Mapping[str, Any]
    sequences: Sequence[Measured]


@dataclass(frozen=True)
class Cell:
    """One setting of one trial under one eval setting."""

    trial: int
    eval_setting: str  # canonical JSON
    published: bool  # trial 0, and every eval parameter at the first value of its grid
    validation: Measured  # of the search pair
    tests: Mapping[Pair, Measured]  # complete ones only; the search pair among them


@dataclass(frozen=True)
class Cells:
    """The cells of one method of one source, by trial and then by eval setting, the published ones first."""

    cells: tuple[Cell, ...] = ()
    search_pair: Pair = (0, 0)
    pairs: tuple[Pair, ...] = ()  # besides the search pair; every cell has complete test rows on each
    left_out: Mapping[str, int] = field(default_factory=dict)  # cells, by reason
    why_not: str | None = None  # why there are no cells


def audit_sources(store: Store) -> list[Source]:
    """Every sweep of a store that has rows; raises StoreError naming an object that cannot be read."""
    rows = store.read_rows(columns=COLUMNS, phase=PHASES_READ)
    paths = store.list("sweeps/")
    names = [path.removeprefix("sweeps/").removesuffix(".json") for path in paths]
    identities = dict(zip(names, store.read_many(paths, store.get_json), strict=True))
    return sources_of(rows, identities)


def sources_of(rows: pa.Table, identities: Mapping[str, Mapping[str, Any]]) -> list[Source]:
    """One source for each sweep of the rows; rows of other phases than PHASES_READ are passed over."""
    by_sweep: dict[str, list[Measured]] = {}
    for sequence in measured_sequences(rows):
        if (sequence.phase, sequence.split) in {("search", "validation"), ("analysis", "test")}:
            by_sweep.setdefault(sequence.sweep, []).append(sequence)
    return [Source(name, identities.get(name, {}), sequences) for name, sequences in by_sweep.items()]


def cells_by_method(sequences: Sequence[Measured], identity: Mapping[str, Any], whole_matrix: bool) -> Cells:
    """The cells of one method on one benchmark.

    A cell takes part if it has complete validation rows of the search pair (phase search) and complete test rows
    (phase analysis) of that pair and of every other pair on which at least half of such cells have them.

    Args:
        sequences: of one method of one sweep on one benchmark.
        identity: the sweep's; its `seeds` name the search pair, its `eval_grid` the published eval setting.
        whole_matrix: whether tasks are evaluated also before they are learned (cross-domain).
    """
    searched = [s for s in sequences if (s.phase, s.split) == ("search", "validation")]
    tested = [s for s in sequences if (s.phase, s.split) == ("analysis", "test")]
    if not searched:
        return Cells(why_not="it has no validation rows of phase search on this benchmark")
    if not tested:
        return Cells(why_not="it has no test rows of phase analysis")
    search_pair = _search_pair(searched, identity)
    if search_pair is None:
        return Cells(why_not="its search used several pairs of seeds, and no identity says which is the search's")
    tests: dict[tuple[int, str], dict[Pair, Measured]] = {}
    for s in tested:
        if s.complete(whole_matrix):
            tests.setdefault((s.trial, s.eval_setting), {})[s.pair] = s
    validation = {(s.trial, s.eval_setting): s for s in searched if s.pair == search_pair and s.complete(whole_matrix)}
    every = {(s.trial, s.eval_setting) for s in sequences}
    left_out: Counter[str] = Counter()
    kept = []
    for key in sorted(every, key=lambda key: (key[0], _grid_order(key[1], identity), key[1])):
        if key not in validation:
            left_out["validation rows of the search pair are not complete"] += 1
        elif search_pair not in tests.get(key, {}):
            left_out["test rows of the search pair are not complete"] += 1
        else:
            published = key[0] == 0 and not any(_grid_order(key[1], identity))
            kept.append(Cell(*key, published=published, validation=validation[key], tests=tests[key]))
    pairs = _pairs_needed(kept, search_pair)
    if not pairs:
        return Cells(left_out=left_out, why_not=_why_not(kept, left_out))
    cells = tuple(cell for cell in kept if all(pair in cell.tests for pair in pairs))
    if len(cells) < len(kept):
        left_out["test rows of the other pairs are not complete"] += len(kept) - len(cells)
    if not cells:
        return Cells(left_out=left_out, why_not="no setting has complete test rows on all pairs that most have")
    return Cells(cells, search_pair, pairs, dict(left_out))


def _why_not(kept: Sequence[Cell], left_out: Mapping[str, int]) -> str:
    if kept:
        return "it has complete test rows of the search pair alone, which the choices have seen"
    return "no setting is complete: " + ", ".join(f"{count} × {reason}" for reason, count in left_out.items())


def _search_pair(searched: Iterable[Measured], identity: Mapping[str, Any]) -> Pair | None:
    seeds = identity.get("seeds")
    if seeds:
        return int(seeds["run"]), int(seeds["order"])
    pairs = {sequence.pair for sequence in searched}
    return pairs.pop() if len(pairs) == 1 else None


def _pairs_needed(cells: Sequence[Cell], search_pair: Pair) -> tuple[Pair, ...]:
    times = Counter(pair for cell in cells for pair in cell.tests if pair != search_pair)
    return tuple(sorted(pair for pair, count in times.items() if count >= _NEEDED_SHARE * len(cells)))


def _grid_order(eval_setting: str, identity: Mapping[str, Any]) -> tuple[int, ...]:
    """The place of an eval setting in its sweep's grid: all 0 for the published one."""
    values = json.loads(eval_setting)
    grid = identity.get("eval_grid") or {}
    return tuple(
        known.index(values[name]) if values.get(name) in known else len(known) for name, known in sorted(grid.items())
    )
