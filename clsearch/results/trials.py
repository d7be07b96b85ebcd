"""The life of each trial, as the store has it: claimed, attempted, ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clsearch.results.store import Store

Status = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class TrialRecord:
    """One trial's objects. `status` is running for a trial with no outcome: at work now, or interrupted."""

    sweep: str
    number: int
    claim: Mapping[str, Any] | None
    attempts: int
    outcome: Mapping[str, Any] | None

    @property
    def status(self) -> Status:
        status: Status = self.outcome["status"] if self.outcome is not None else "running"
        return status

    @property
    def objective(self) -> float | None:
        """The best eval setting's value on validation; None until the trial is complete."""
        if self.outcome is None or self.status != "complete" or self.outcome.get("objective") is None:
            return None
        return float(self.outcome["objective"])

    @property
    def feasible(self) -> bool:
        """Whether it keeps the sweep's constraints, as far as its costs are known; only such a trial is the best."""
        return not (self.outcome or {}).get("violations")


def read_trials(store: Store, sweep: str | None = None) -> list[TrialRecord]:
    """Every trial of a sweep, or of all, by sweep and number; raises StoreError naming a damaged object."""
    prefix = f"trials/{sweep}/" if sweep is not None else "trials/"
    parts = [path.split("/") for path in store.list(prefix)]
    files = [(part[1], int(part[2]), part[3]) for part in parts if len(part) == 4 and part[2].isdigit()]
    attempts: dict[tuple[str, int], int] = {}
    for name, number, file in files:
        attempts[name, number] = attempts.get((name, number), 0) + file.startswith("attempt-")
    wanted = [entry for entry in files if entry[2] in ("claim.json", "outcome.json")]
    values = store.read_many([f"trials/{name}/{number}/{file}" for name, number, file in wanted], store.get_json)
    content: dict[tuple[str, int, str], Any] = dict(zip(wanted, values, strict=True))
    return [
        TrialRecord(
            sweep=name,
            number=number,
            claim=content.get((name, number, "claim.json")),
            attempts=tried,
            outcome=content.get((name, number, "outcome.json")),
        )
        for (name, number), tried in sorted(attempts.items())
    ]


def ranked_trials(trials: Iterable[TrialRecord], direction: str = "max") -> list[TrialRecord]:
    """The complete trials that keep the sweep's constraints, best objective first, the lowest number among equals."""
    sign = -1.0 if direction == "min" else 1.0
    able = [
        (-sign * trial.objective, trial.number, trial)
        for trial in trials
        if trial.objective is not None and trial.feasible
    ]
    return [trial for _, _, trial in sorted(able, key=lambda entry: entry[:2])]


def best_trial(trials: Iterable[TrialRecord], direction: str = "max") -> TrialRecord | None:
    """The first of `ranked_trials`; None if there is none."""
    return next(iter(ranked_trials(trials, direction)), None)
