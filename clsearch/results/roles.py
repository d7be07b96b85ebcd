"""Which of a sweep's settings is which: the one that was chosen, the published one, any other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from clsearch.results.trials import TrialRecord, best_trial

Role = Literal["best", "published", "best = published", "other"]


class SweepTrials:
    """What the trials and the identity of one sweep say about the lines of a leaderboard.

    The published setting is trial 0 under the eval setting in which every parameter of the grid has its first value.
    The best is the complete trial with the best objective, under the eval setting that gave it.
    """

    def __init__(self, name: str, trials: Iterable[TrialRecord], identity: Mapping[str, Any]) -> None:
        self._trials = {trial.number: trial for trial in trials if trial.sweep == name}
        self._best = best_trial([*self._trials.values()], identity.get("objective", {}).get("direction", "max"))
        self._method = identity.get("method")
        self._published = {name: values[0] for name, values in identity.get("eval_grid", {}).items()}
        self.spent = len(self._trials)

    def unclaimed(self, trial: int) -> bool:
        """Whether the rows came without a trial, as those of `clsearch.train` do."""
        return trial not in self._trials

    def ended(self, trial: int) -> bool:
        """Whether the trial's rows may be shown: it learned its whole sequence."""
        return self.unclaimed(trial) or self._trials[trial].status == "complete"

    def role(self, method: str, trial: int, eval_setting: str) -> Role:
        """The role of a trial's setting under an eval setting, given as rows write it (JSON)."""
        if self.unclaimed(trial) or self._method not in (None, method):
            return "other"
        values = json.loads(eval_setting)
        published = trial == 0 and all(values.get(name) == value for name, value in self._published.items())
        chosen = self._best.outcome if self._best is not None and self._best.number == trial else None
        best = chosen is not None and chosen.get("eval_setting") in (None, values)
        if best and published:
            return "best = published"
        return "best" if best else "published" if published else "other"
