"""Which of a sweep's settings is which: the one that was chosen, the published one, a named one, any other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clsearch.results.trials import TrialRecord, best_trial
from clsearch.results.verdicts import Choice, Verdict

Role = str  # best, published, a name of the sweep's company, several of these joined by ` = `, or other


class SweepTrials:
    """What the trials, the verdicts and the identity of one sweep say about the lines of a leaderboard.

    The published setting is trial 0 under the eval setting in which every parameter of the grid has its first value.
    The best is the winner of the latest verdict; before the first verdict the complete trial with the best objective,
    under the eval setting that gave it. The company is named by the verdict.
    """

    def __init__(
        self,
        name: str,
        trials: Iterable[TrialRecord],
        identity: Mapping[str, Any],
        verdicts: Sequence[Verdict] = (),
    ) -> None:
        self._trials = {trial.number: trial for trial in trials if trial.sweep == name}
        self.verdict = verdicts[-1] if verdicts else None
        objective = identity.get("objective", {})
        self.objective: str | None = objective.get("metric")
        self._named = {} if self.verdict is None else self.verdict.choices()
        self._named.pop("published", None)
        if self.verdict is None:
            best = best_trial(self._trials.values(), objective.get("direction", "max"))
            if best is not None and best.outcome is not None:
                self._named = {"best": Choice(best.number, best.outcome["eval_setting"])}
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
        roles = [
            name for name, choice in self._named.items() if choice.trial == trial and choice.eval_setting == values
        ]
        if trial == 0 and all(values.get(name) == value for name, value in self._published.items()):
            roles.insert(1 if "best" in roles else 0, "published")
        return " = ".join(roles) or "other"
