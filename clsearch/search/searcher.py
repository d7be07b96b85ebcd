"""The searcher that Tune asks: which job next. It remembers nothing that the store does not know.

Order of jobs: trials that were claimed and never ended, with the setting they claimed; then new trials up to the
sweep's number or until the budget is spent; then, when all of those have ended, the follow-up (race, confirmation),
batch by batch from the store. Several drivers begin a batch in different places, and skip what has its rows by then.

A budget is the search's. What was claimed is finished, and race and confirmation follow in any case: a setting that was
chosen and never confirmed is worth nothing, and their cost is known beforehand.
"""

from __future__ import annotations

import itertools
import os
import socket
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ray.exceptions import RayActorError
from ray.train import TrainingFailedError
from ray.tune import Callback
from ray.tune.search.searcher import Searcher

from clsearch.execution.job import Job, search_job
from clsearch.execution.trial import failed_outcome, redact
from clsearch.results.spending import Ended, close_attempts, exhausted
from clsearch.search.ledger import Ledger
from clsearch.search.proposals import propose
from clsearch.search.stored import stored_by_now
from clsearch.spec.sweep import Budget

# What comes after the search: given the store as it stands, the next jobs; none once everything is done. It is asked
# again whenever all of its jobs have ended, so that it may look at what they gave.
FollowUp = Callable[[Ledger], Iterable[Job]]


def own_turn() -> int:
    """A number of this driver's own."""
    return zlib.crc32(f"{socket.gethostname()}-{os.getpid()}".encode())


class SweepSearcher(Searcher):
    """Hands out a sweep's jobs to Tune and takes note of how they end.

    A UsageError in a trial may be the machine's (weights missing) or the setting's. While nothing has been completed
    in this run, such a job is set aside. When another job completes, the setting was at fault and the trial has failed;
    when none does, the user has to mend it, and the claims stay open.

    Attributes:
        refused: the jobs set aside, with their messages; empty once a job was completed.
        blocked: jobs that the store did not let end, with their messages; their claims stay open in any case.
        failed_jobs: jobs of the confirmation, or of a table, that failed in this run.
    """

    def __init__(self, ledger: Ledger, follow_up: FollowUp) -> None:
        super().__init__()
        self.ledger = ledger
        self.refused: list[tuple[Job, str]] = []
        self.blocked: list[tuple[Job, str]] = []
        self.failed_jobs: list[Job] = []
        self._follow_up = follow_up
        self._follow_up_jobs: deque[Job] = deque()
        self._handed_out: set[tuple[Any, ...]] = set()
        self._running: dict[str, Job] = {}
        self._died: dict[str, Job] = {}
        self._tasks: dict[str, int] = {}
        self._pruned: dict[str, Mapping[str, Any]] = {}
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
        return {**job.to_config(), "asked": trial_id}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note how far the trial is, in case that its process dies."""
        self._tasks[trial_id] = result.get("task", self._tasks.get(trial_id, 0))

    def prune(self, trial_id: str, outcome: Mapping[str, Any]) -> None:
        """Note that Tune is told to stop a job, and the outcome that its trial has then."""
        self._pruned[trial_id] = outcome

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Settle a job that ended. Its trial has an outcome afterwards, unless it was refused or blocked."""
        job = self._running.pop(trial_id)
        pruned = self._pruned.pop(trial_id, None)
        if pruned is not None:
            # Workers that ran on may have completed the trial meanwhile: then their outcome was first, and stands.
            self.ledger.end(job.trial, pruned)
            self._close(trial_id, job, "pruned")
            status, cause = "pruned", None
        elif error or result is None:
            self._died[trial_id] = job
            return
        else:
            status, cause = result["status"], result.get("cause")
        if status in ("complete", "pruned"):
            self._one_was_learned = True
        elif status == "failed":
            self._note_failure(job)
        else:
            {"refused": self.refused, "blocked": self.blocked}[status].append((job, str(cause)))
        if self._one_was_learned:
            self._fail_refused()

    def on_loss(self, trial_id: str) -> None:
        """End the attempt of a job whose process went away and is tried again."""
        self._close(trial_id, self._running[trial_id], "lost")

    def stop(self) -> None:
        """End the attempts of jobs that are still running: the driver ends before them."""
        for trial_id, job in self._running.items():
            self._close(trial_id, job, "stopped")

    def on_death(self, trial_id: str, error: Exception | None) -> None:
        """Settle a job whose process did not come to report how it ended; Tune has tried it again before.

        A process that went away fails its trial. Any other error is none of the trial's code (clsearch is not
        installed over there, say) and is treated as a refusal.
        """
        job = self._died.pop(trial_id)
        self._close(trial_id, job, "lost")
        cause = getattr(error, "cause", None) or error
        if isinstance(cause, (RayActorError, TrainingFailedError)):
            text = "the trial's process was lost, again and again (out of memory, or its machine went away)"
            self._end(job, failed_outcome(text, tasks_learned=self._tasks.get(trial_id, 0)))
        else:
            last_line = redact(str(error)).strip().splitlines()[-1:]
            self.refused.append((job, f"trial {job.trial} could not be run: {' '.join(last_line)}"))
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
        return self._next_follow_up()

    def _next_follow_up(self) -> Job | None:
        spec = self.ledger.spec
        while True:
            while self._follow_up_jobs:
                job = self._follow_up_jobs.popleft()
                if not stored_by_now(self.ledger.store, spec, job):  # else another driver has learned it meanwhile
                    return job
            if self._running:
                return None
            self.ledger.refresh()
            trials = self.ledger.trials
            if any(trial.status == "running" for trial in trials if trial.number < spec.trials):
                # Another driver's, or set aside until something is mended: the search has not ended, so no test yet.
                return None
            # Once each in a run: one that failed, or whose rows do not appear, is for the next run to try again.
            new = [job for job in self._follow_up(self.ledger) if job.name not in self._handed_out]
            if not new:
                return None
            self._follow_up_jobs.extend(_turned(new, own_turn()))
            self._handed_out.update(job.name for job in new)

    def _new_trial(self) -> Job | None:
        while True:
            self.ledger.refresh()
            number = self.ledger.free_number()
            if number is None or self._budget_is_spent():
                return None
            setting = propose(self.ledger.spec, number, self.ledger.trials, self.ledger.setting)
            if self.ledger.claim(number, setting):
                return search_job(self.ledger.spec, number, setting)

    def _budget_is_spent(self) -> bool:
        budget = self.ledger.spec.budget
        if budget == Budget():
            return False
        return exhausted(budget, self.ledger.spending(("search",), alive=self._running.keys())) is not None

    def _close(self, trial_id: str, job: Job, ended: Ended) -> None:
        close_attempts(self.ledger.store, self.ledger.spec.name, job.trial, trial_id, ended)

    def _end(self, job: Job, outcome: Mapping[str, Any]) -> None:
        """Write the failure of a job that could not write its own: of a trial, or of a setting in the race."""
        self._note_failure(job)
        if job.phase == "search":
            self.ledger.end(job.trial, outcome)
        elif job.phase == "race":
            self.ledger.fail_race(job, outcome)

    def _note_failure(self, job: Job) -> None:
        if job.phase not in ("search", "race"):  # of these the store knows
            self.failed_jobs.append(job)

    def _is_stuck(self) -> bool:
        """Whether nothing ends well in this run: one case where nothing ever did, else two, of different settings."""
        if self._one_was_learned:
            return False
        complete = any(trial.status == "complete" for trial in self.ledger.trials)
        return len(self.refused) + len(self.blocked) > complete

    def _fail_refused(self) -> None:
        for job, message in self.refused:
            self._end(job, failed_outcome(f"UsageError: {message}"))
        self.refused.clear()


def _turned(jobs: Iterable[Job], turn: int) -> Iterator[Job]:
    """A batch from another pair and another trial on for each driver, so that several meet late; still pair by pair."""
    pairs = [[*mine] for _, mine in itertools.groupby(jobs, lambda job: (job.phase, job.run_seed, job.order_seed))]
    for i in range(len(pairs)):
        mine = pairs[(turn + i) % len(pairs)]
        at = turn // len(pairs) % len(mine)
        yield from mine[at:] + mine[:at]


class Deaths(Callback):
    """Tells the searcher why a trial's process ended: of itself, Tune tells a searcher only that it did."""

    def __init__(self, searcher: SweepSearcher) -> None:
        self._searcher = searcher

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as the searcher's

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune before it starts the trial's process again."""
        self._searcher.on_loss(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called by Tune right after the searcher's `on_trial_complete(error=True)`."""
        self._searcher.on_death(trial.trial_id, trial.get_pickled_error())
