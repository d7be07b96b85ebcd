"""Sweeps played without Ray: complete trials over known curves, and what follows the search, job by job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import known_curves

from clsearch.execution.job import Job, make_request, search_job
from clsearch.execution.trial import conclude, failed_outcome
from clsearch.results.store import Store
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.spec.sweep import SweepSpec

Make = Callable[..., SweepSpec]


class CannotLearnError(RuntimeError):
    """What a learner raises to make a job fail."""


def ledger_of(spec: SweepSpec, store: Store, rates: Sequence[float], learn: Any = known_curves.learn) -> Ledger:
    """Complete trials with these learning rates; the first is trial 0. Those that are there already stay."""
    ledger = Ledger(spec, store)
    ledger.refresh()
    for number, rate in enumerate(rates):
        setting = {**spec.published_setting(), "learning_rate": rate}
        if ledger.claim(number, setting):
            job = search_job(spec, number, setting)
            result = learn(make_request(spec, job, 1), store, None, lambda _: None)
            ledger.end(number, conclude(spec, job, store, result, 0.0))
    ledger.refresh()
    return ledger


def play(
    ledger: Ledger,
    learn: Any = known_curves.learn,
    jobs: int | None = None,
    follow_up: Callable[[Ledger], Iterable[Job]] = follow_up,
) -> list[Job]:
    """What follows the search, as the searcher asks for it: each job once, at most so many; the jobs that were done."""
    done: list[Job] = []
    known: set[Any] = set()
    while True:
        ledger.refresh()
        batch = [job for job in follow_up(ledger) if job.name not in known]
        if not batch:
            return done
        for job in batch:
            if jobs is not None and len(done) == jobs:
                return done
            known.add(job.name)
            done.append(job)
            try:
                learn(make_request(ledger.spec, job, 1), ledger.store, None, lambda _: None)
            except CannotLearnError as error:
                if job.phase == "race":
                    ledger.fail_race(job, failed_outcome(str(error)))
