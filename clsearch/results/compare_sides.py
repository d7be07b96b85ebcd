"""One side of a comparison: which trial a name stands for, what was asked of it, and what it measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from clsearch.errors import UsageError, nearest
from clsearch.results.permitted import UnfinishedError, permitted_or_shown
from clsearch.results.sequences import COLUMNS, Counts, Measured, measured_sequences
from clsearch.results.store import Store
from clsearch.results.trials import TrialRecord, best_trial, read_trials
from clsearch.results.verdicts import Choice, read_verdicts
from clsearch.spec.keys import canonical_json
from clsearch.spec.protocols import read_protocol

Pair = tuple[int, int]  # (run seed, order seed)
PHASES = {"test": ("confirm",), "validation": ("search", "race")}  # by split: which phases are compared
_RAN_WITH = ("git_sha", "git_dirty", "lock_hash", "numerics")


@dataclass(frozen=True)
class Figures:
    """One complete sequence: the counts that metrics are computed of, and what makes two of them comparable."""

    correct: Counts  # of validation, the entries that the protocol permits
    count: Counts
    place: tuple[str, str, str]  # protocol, benchmark, tasks
    data_digest: str | None


@dataclass(frozen=True)
class Side:
    """A trial of a sweep under one eval setting."""

    name: str  # as it was asked for
    trial: int
    eval_setting: Mapping[str, Any]
    identity: Mapping[str, Any]
    setting: Mapping[str, Any]  # the method's in full, the eval setting laid over it
    ran_with: Mapping[str, str]  # row column -> its value, or its different values
    figures: Mapping[str, Mapping[Pair, Figures]]  # by split


def read_side(store: Store, name: str) -> Side:
    """What `sweep` (its winner) or `sweep:trial` stands for.

    Raises:
        UsageError: there is no such sweep or trial, it is not complete, or an object cannot be read.
    """
    sweep, colon, number = name.partition(":")
    names = store.sweep_names()
    if sweep not in names:
        raise UsageError(f"--diff: store {store.uri} has no sweep '{sweep}': {nearest(sweep, names)}")
    try:
        identity = store.get_json(store.sweep_path(sweep))
    except FileNotFoundError:
        raise UsageError(
            f"--diff: nothing says what was asked of sweep '{sweep}': it has rows but no identity"
        ) from None
    trials = {str(trial.number): trial for trial in read_trials(store, sweep)}
    if colon and number not in trials:
        raise UsageError(f"--diff: sweep '{sweep}' has no trial '{number}': {nearest(number, trials)}")
    choice = _choice(store, sweep, identity, trials, trials[number] if colon else None)
    rows = store.read_rows(
        sweep, columns={*COLUMNS, *_RAN_WITH, "setting"}, trial=choice.trial, phase=("search", "race", "confirm")
    )
    eval_setting = canonical_json(choice.eval_setting)
    settings = [text for text in rows["setting"].to_pylist() if text is not None]
    return Side(
        name=name,
        trial=choice.trial,
        eval_setting=choice.eval_setting,
        identity=identity,
        setting={**(json.loads(settings[-1]) if settings else {}), **choice.eval_setting},
        ran_with={column: _values(rows, column) for column in _RAN_WITH},
        figures={split: _figures(rows, split, eval_setting, str(identity["protocol"])) for split in PHASES},
    )


def _choice(
    store: Store,
    sweep: str,
    identity: Mapping[str, Any],
    trials: Mapping[str, TrialRecord],
    asked: TrialRecord | None,
) -> Choice:
    """The trial asked for, or else the winner, under the eval setting that the verdict or its outcome chose."""
    verdicts = read_verdicts(store, sweep)
    settled = [*verdicts[-1].choices().values()] if verdicts else []
    if asked is None and settled:
        return settled[0]
    best = asked or best_trial([*trials.values()], identity["objective"]["direction"])
    if best is None:
        raise UsageError(f"--diff: sweep '{sweep}' has no complete trial yet")
    if best.status != "complete" or best.outcome is None:
        raise UsageError(f"--diff: trial {best.number} of sweep '{sweep}' is {best.status}: only complete ones compare")
    return next((one for one in settled if one.trial == best.number), Choice(best.number, best.outcome["eval_setting"]))


def _values(rows: pa.Table, column: str) -> str:
    values = {"unknown" if value is None else str(value) for value in rows[column].to_pylist()}
    return ", ".join(sorted(values)) or "unknown"


def _figures(rows: pa.Table, split: str, eval_setting: str, protocol: str) -> dict[Pair, Figures]:
    found = {}
    for one in measured_sequences(rows):
        if (one.split, one.eval_setting) == (split, eval_setting) and one.phase in PHASES[split]:
            counts = _counts(one, protocol)
            if counts is not None:
                place = protocol, one.benchmark, str(one.tasks_total)
                found[one.pair] = Figures(*counts, place, one.data_digest)
    return found


def _counts(one: Measured, protocol: str) -> tuple[Counts, Counts] | None:
    """What may be shown of a sequence; None where it is not complete."""
    if one.split == "test":
        return (one.correct, one.count) if one.complete(whole_matrix=False) else None
    known = read_protocol(protocol, f"sweep {one.sweep}")
    try:
        shown = permitted_or_shown(one, known)
    except UnfinishedError:
        return None
    return shown.correct, shown.count
