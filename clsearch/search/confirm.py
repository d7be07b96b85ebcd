"""Confirmation: the best setting and the published one on fresh seeds, and the difference between the two.

Only here is the test split read, after the search has ended, under eval settings that validation chose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clsearch.execution.job import Job, make_job
from clsearch.execution.objective import score_settings
from clsearch.results.intervals import t_interval
from clsearch.results.store import Store
from clsearch.results.trials import best_trial
from clsearch.search.ledger import Ledger
from clsearch.spec.keys import eval_hash
from clsearch.spec.sweep import Seeds, SweepSpec


@dataclass(frozen=True)
class Candidate:
    """What is confirmed: a trial's setting under one eval setting; `tasks` is the length of its sequence."""

    trial: int
    setting: Mapping[str, Any]
    eval_setting: Mapping[str, Any]
    tasks: int


@dataclass(frozen=True)
class PairedResult:
    """Test scores in percent by pair of seeds, of the best setting and (where it is another one) of the published."""

    best: tuple[float, ...]
    published: tuple[float, ...]


def candidates(ledger: Ledger) -> list[Candidate]:
    """The best completed trial under its best eval setting, then the published one; once where they are the same."""
    spec = ledger.spec
    trials = ledger.trials
    best = best_trial(trials, spec.objective.direction)
    if best is None or best.outcome is None:
        return []
    chosen = spec.setting_from_json(best.outcome["eval_setting"])
    found = [Candidate(best.number, ledger.setting(best.number), chosen, best.outcome["tasks_total"])]
    published = spec.eval_settings()[0]
    zero = trials[0]
    same = best.number == 0 and eval_hash(chosen) == eval_hash(published)
    if zero.number == 0 and zero.outcome is not None and zero.status == "complete" and not same:
        found.append(Candidate(0, ledger.setting(0), published, zero.outcome["tasks_total"]))
    return found


def confirmation_jobs(ledger: Ledger) -> Iterator[Job]:
    """What the confirmation still has to learn: pair by pair, so that an interrupted one is still paired."""
    spec = ledger.spec
    chosen = candidates(ledger)
    stored = set(ledger.store.row_names(spec.name))
    for seeds in spec.confirm_seeds():
        for number in dict.fromkeys(candidate.trial for candidate in chosen):
            mine = [candidate for candidate in chosen if candidate.trial == number]
            if all(_is_stored(ledger.store, spec, one, seeds, stored) for one in mine):
                continue
            evals = tuple(candidate.eval_setting for candidate in mine)
            yield make_job(number, mine[0].setting, "confirm", seeds, evals)


def _is_stored(store: Store, spec: SweepSpec, candidate: Candidate, seeds: Seeds, stored: set[str]) -> bool:
    name = eval_hash(candidate.eval_setting)
    return all(
        store.rows_path(spec.name, candidate.trial, "confirm", seeds.order, seeds.run, task, name) in stored
        for task in range(1, candidate.tasks + 1)
    )


def read_result(ledger: Ledger) -> PairedResult:
    """The test scores of the pairs that are complete for every candidate."""
    spec = ledger.spec
    chosen = candidates(ledger)
    scores: list[list[float]] = []
    for seeds in spec.confirm_seeds():
        pair = []
        for candidate in chosen:
            rows = ledger.store.read_rows(
                spec.name, trial=candidate.trial, phase="confirm", order_seed=seeds.order, run_seed=seeds.run
            )
            pair += score_settings(rows, candidate.tasks, spec.objective.metric, [candidate.eval_setting], "test")
        if pair and all(math.isfinite(score) for score in pair):
            scores.append(pair)
    columns = [tuple(column) for column in zip(*scores, strict=True)]
    return PairedResult(columns[0] if columns else (), columns[1] if len(columns) > 1 else ())


def difference_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Mean of the paired differences first - second, and the half-width of its 95 % t interval (NaN for one pair)."""
    return t_interval(np.subtract(first, second))
