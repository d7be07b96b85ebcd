"""The race of a sweep: who takes part, how it stands by the rows of the store, and what it has to learn next.

Only validation rows of phase `race` are read, on pairs of seeds that neither the search nor the confirmation has. It
goes look by look, so that nothing more is learned of what was dropped, and an interrupted race goes on from its rows.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clsearch.execution.job import Job, make_job
from clsearch.results.permitted import UnfinishedError, permitted_matrix, score
from clsearch.results.race import Floats, RaceState, race
from clsearch.results.sequences import COLUMNS, measured_sequences
from clsearch.results.trials import ranked_trials
from clsearch.results.verdicts import Pair
from clsearch.search.ledger import Ledger
from clsearch.spec.keys import eval_hash
from clsearch.spec.sweep import SweepSpec, as_json


@dataclass(frozen=True)
class Candidate:
    """What races and what is confirmed: a trial's setting under one eval setting."""

    trial: int
    setting: Mapping[str, Any]
    eval_setting: Mapping[str, Any]

    @property
    def name(self) -> tuple[int, str]:
        """What tells this candidate from the others of its sweep."""
        return self.trial, eval_hash(self.eval_setting)


@dataclass(frozen=True)
class Standing:
    """How the race of a sweep stands: `scores` of pairs x candidates, `state` what follows from them."""

    candidates: tuple[Candidate, ...]
    scores: Floats
    state: RaceState


def race_candidates(ledger: Ledger) -> list[Candidate]:
    """The best trials of the search, each under its best eval setting, then the published setting, no one twice.

    None that breaks a constraint of the sweep takes part: it could not win. One that failed in the race is named, for
    the record, and takes no place from the next best.
    """
    spec = ledger.spec
    able = ranked_trials(ledger.trials, spec.objective.direction)
    failed = {trial for trial, _ in _failures(ledger)}
    places = itertools.accumulate((trial.number not in failed for trial in able), initial=0)
    found = [best_of(ledger, trial.number) for trial, taken in zip(able, places, strict=False) if taken < spec.race.top]
    if any(trial.number == 0 for trial in able):
        found.append(Candidate(0, ledger.setting(0), spec.eval_settings()[0]))
    return [*{candidate.name: candidate for candidate in found}.values()]


def best_of(ledger: Ledger, trial: int) -> Candidate:
    """A complete trial's setting under the eval setting that the search found best for it."""
    outcome = next(record.outcome for record in ledger.trials if record.number == trial)
    assert outcome is not None
    return Candidate(trial, ledger.setting(trial), ledger.spec.setting_from_json(outcome["eval_setting"]))


def standing(ledger: Ledger) -> Standing | None:
    """The race as the store has it; None where the sweep has none, or fewer than two candidates for it."""
    if not ledger.spec.race.top:
        return None
    candidates = race_candidates(ledger)
    if len(candidates) < 2:
        return None
    scores = _scores(ledger, candidates)
    spec = ledger.spec
    return Standing(tuple(candidates), scores, race(scores, spec.race.level, spec.objective.direction))


def race_jobs(ledger: Ledger, stands: Standing) -> list[Job]:
    """What must be learned before the next look, pair by pair; nothing once the race is over.

    One job of a trial serves all of its eval settings that are still in the race.
    """
    jobs = []
    for at, seeds in enumerate(ledger.spec.race_seeds(stands.state.needs or 0)):
        missing = [stands.candidates[one] for one in stands.state.left if math.isnan(stands.scores[at, one])]
        for trial in dict.fromkeys(candidate.trial for candidate in missing):
            mine = [candidate for candidate in missing if candidate.trial == trial]
            evals = tuple(candidate.eval_setting for candidate in mine)
            jobs.append(make_job(trial, mine[0].setting, "race", seeds, evals))
    return jobs


def record(spec: SweepSpec, stands: Standing) -> dict[str, Any]:
    """The race as a verdict keeps it: what was asked, who took part, how each ended."""
    state = stands.state
    return {
        "top": spec.race.top,
        "pairs": spec.race.pairs,
        "level": spec.race.level,
        "metric": spec.objective.metric,
        "candidates": [{"trial": one.trial, "eval_setting": as_json(one.eval_setting)} for one in stands.candidates],
        "pairs_done": state.pairs_done,
        "left": list(state.left),
        "means": list(state.means),
        "dropped": [asdict(drop) for drop in state.dropped],
        "p_drop": state.p_drop,
    }


def _scores(ledger: Ledger, candidates: Sequence[Candidate]) -> Floats:
    """The objective of each candidate on each pair: NaN where rows are missing, infinitely bad where it failed.

    What failed on any pair has no missing rows, so that nothing more is learned of it.
    """
    spec = ledger.spec
    pairs = {(seeds.run, seeds.order): at for at, seeds in enumerate(spec.race_seeds())}
    columns = {candidate.name: at for at, candidate in enumerate(candidates)}
    trials = {candidate.trial for candidate in candidates}
    scores = np.full((len(pairs), len(columns)), np.nan)
    rows = ledger.store.read_rows(spec.name, columns=COLUMNS, phase="race", trial=trials)
    for found in measured_sequences(rows):
        column = columns.get((found.trial, eval_hash(json.loads(found.eval_setting))))
        if column is None or found.pair not in pairs:
            continue
        try:
            scores[pairs[found.pair], column] = score(permitted_matrix(found, spec.protocol), spec.objective.metric)
        except UnfinishedError:
            continue
    worst = math.inf if spec.objective.direction == "min" else -math.inf
    for trial, pair in _failures(ledger):
        for at in (at for name, at in columns.items() if name[0] == trial):
            scores[pairs[pair], at] = worst
            scores[np.isnan(scores[:, at]), at] = worst
    return scores


def _failures(ledger: Ledger) -> set[tuple[int, Pair]]:
    """The trials that failed on a pair that the race has, each with the pair."""
    pairs = {(seeds.run, seeds.order) for seeds in ledger.spec.race_seeds()}
    return {(trial, pair) for trial, pair in ledger.race_failures() if pair in pairs}
