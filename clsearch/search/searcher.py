"""The searcher that Tune asks: which job next. It remembers nothing that the store does not know.

Order of jobs: trials that were claimed and never ended, with the setting they claimed; then new trials up to the
sweep's number; then, when all of those have ended, the follow-up (confirmation) computed from their outcomes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ray.tune.search.searcher import Searcher

from clsearch.execution.job import Job, search_job
from clsearch.execution.trial import failed_outcome
from clsearch.search.ledger import Ledger
from clsearch.search.proposals import propose

FollowUp = Callable[[Ledger], Iterable[Job]]


class SweepSearcher(Searcher):
    """Hands out a sweep's jobs to Tune and takes note of how they end.

    A UsageError in a trial may be the machine's (weights missing) or the setting's. While nothing has been completed
    in this run, such a job is set aside. When another job completes, the setting was at fault and the trial has failed;
    when none does, the user has to mend it, and the claims stay open.

    Attributes:
        refused: the jobs set aside, with their messages.
        failed_jobs: follow-up jobs that failed in this run.
    """

    def __init__(self, ledger: Ledger, follow_up: FollowUp) -> None:
        super().__init__()
        self.ledger = ledger
        self.refused: list[tuple[Job, str]] = []
        self.failed_jobs: list[Job] = []
        self._follow_up = follow_up
        self._follow_up_jobs: deque[Job] | None = None
        self._running: dict[str, Job] = {}
        self._last_result: dict[str, dict[str, Any]] = {}
        self._one_was_learned = False
        ledger.refresh()
        self._open = deque(
            trial.number for trial in ledger.trials if trial.status == "running" and trial.number < ledger.spec.trials
        )

    def suggest(self, trial_id: str) -> Any:
        """The next job as a Tune config; None while others must end first; FINISHED when there is no more."""
        job = None if self._is_stuck() else self._next_job()
        if job is None:
            return None if self._running else Searcher.FINISHED
        self._running[trial_id] = job
        return job.to_config()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the last report: the one with `status` says how the job ended."""
        self._last_result[trial_id] = result

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Settle a job that ended: its trial has an outcome afterwards, unless it was refused."""
        job = self._running.pop(trial_id)
        last = result or self._last_result.pop(trial_id, {})
        status = "lost" if error or "status" not in last else last["status"]
        if status == "complete":
            self._one_was_learned = True
        elif status == "refused":
            self.refused.append((job, last["cause"]))
        elif job.phase != "search":
            self.failed_jobs.append(job)
        elif status == "lost":
            cause = "the trial's process was lost, again and again (out of memory, or its machine went away)"
            self.ledger.end(job.trial, failed_outcome(cause, tasks_learned=last.get("task", 0)))
        if self._one_was_learned:
            self._fail_refused()

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store has it all."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the store has it all."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its searcher into its scratch folder; a copy is never brought back to life.
        return {}

    def _next_job(self) -> Job | None:
        spec = self.ledger.spec
        if self._open:
            number = self._open.popleft()
            return search_job(spec, number, self.ledger.setting(number))
        job = self._new_trial()
        if job is not None:
            return job
        if any(running.phase == "search" for running in self._running.values()):
            return None
        if self._follow_up_jobs is None:
            self.ledger.refresh()
            self._follow_up_jobs = deque(self._follow_up(self.ledger))
        return self._follow_up_jobs.popleft() if self._follow_up_jobs else None

    def _new_trial(self) -> Job | None:
        while True:
            self.ledger.refresh()
            number = self.ledger.free_number()
            if number is None:
                return None
            setting = propose(self.ledger.spec, number, self.ledger.trials, self.ledger.setting)
            if self.ledger.claim(number, setting):
                return search_job(self.ledger.spec, number, setting)

    def _is_stuck(self) -> bool:
        """Whether only refusals came in: one where nothing was ever complete, else two, of different settings."""
        complete = any(trial.status == "complete" for trial in self.ledger.trials)
        return len(self.refused) > complete

    def _fail_refused(self) -> None:
        for job, message in self.refused:
            if job.phase == "search":
                self.ledger.end(job.trial, failed_outcome(f"UsageError: {message}"))
            else:
                self.failed_jobs.append(job)
        self.refused.clear()
