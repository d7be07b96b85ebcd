"""Task-index stopping in Tune: the scheduler that asks `stopping.decide` about trials of the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from clsearch.execution.job import Job
from clsearch.execution.trial import pruned_outcome
from clsearch.search.searcher import SweepSearcher
from clsearch.search.stopping import Guard, Stop, decide, guard_at, past_curves, rule_of


class GuardedStopping(FIFOScheduler):
    """Stops trials of the search after a task, as the rule says, and says so; jobs of other phases are left alone.

    It remembers the reports of running jobs and which rungs it last called open, nothing else: whatever it decides by
    is in the store, so a resumed sweep that runs one trial at a time decides as an undisturbed one.

    With runner `process` a trial waits at its report until this has decided. With runner `train` the workers do not:
    the task after may be half learned when the trial is stopped; its stage, if it was finished, stays in the store.
    """

    def __init__(self, searcher: SweepSearcher, say: Callable[[str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rule = rule_of(searcher.ledger.spec)
        self._searcher = searcher
        self._say = say
        self._reports: dict[str, list[dict[str, Any]]] = {}
        self._open: dict[int, bool] = dict.fromkeys(self.rule.rungs(), False)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Called by Tune with every report, before the searcher hears of it."""
        job = Job.from_config(trial.config)
        if job.phase != "search" or "task" not in result:
            return TrialScheduler.CONTINUE
        reports = self._reports.setdefault(trial.trial_id, [])
        reports[result["task"] - 1 :] = [result]  # a process that was lost begins again with task 1
        stop = self._judge(job.trial, [report["metric"] for report in reports])
        if stop is None:
            return TrialScheduler.CONTINUE
        self._say(self._words(job.trial, stop))
        self._searcher.prune(trial.trial_id, pruned_outcome(reports, stop.to_json(), result["time_total_s"]))
        return TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Called by Tune when a job ended, stopped or not."""
        self._reports.pop(trial.trial_id, None)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as the searcher's

    def _judge(self, number: int, values: list[float]) -> Stop | None:
        if len(values) not in self._open:
            return None
        ledger = self._searcher.ledger
        ledger.refresh()
        past = past_curves((trial.number, trial.outcome) for trial in ledger.trials if trial.number != number)
        for rung in self._open:
            self._note(guard_at(self.rule, rung, past))
        ended = any(trial.number == number and trial.outcome is not None for trial in ledger.trials)
        return None if ended else decide(self.rule, number, values, past)

    def _note(self, guard: Guard) -> None:
        if guard.open != self._open[guard.rung]:
            self._open[guard.rung] = guard.open
            self._say(f"stopping after {guard}")

    def _words(self, number: int, stop: Stop) -> str:
        worse = "below" if self.rule.direction == "max" else "above"
        metric = self._searcher.ledger.spec.objective.metric
        end = " at the end" if self.rule.value == "extrapolated" else ""
        return (
            f"trial {number} is stopped after task {stop.guard.rung} of {self.rule.tasks}: {metric}{end} "
            f"{stop.value:.2f} is {worse} the median {stop.median:.2f} of {stop.compared} trials there; "
            f"{stop.guard.figures()}"
        )
