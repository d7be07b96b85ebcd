"""A whole sweep in this process, without Ray: each job the searcher asks for is learned at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from clsearch.execution.job import Job, make_request
from clsearch.execution.trial import conclude
from clsearch.results.store import Store
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.searcher import SweepSearcher
from clsearch.spec.identity import register
from clsearch.spec.sweep import SweepSpec


def play(spec: SweepSpec, store: Store, learner: Callable[..., Any]) -> list[Job]:
    """Search, race and confirm; returns the jobs in the order in which they were asked for."""
    register(spec, store)
    searcher = SweepSearcher(Ledger(spec, store), follow_up)
    jobs: list[Job] = []
    for name in map(str, itertools.count()):
        config = searcher.suggest(name)
        if not isinstance(config, dict):
            return jobs
        job = Job.from_config(config)
        jobs.append(job)
        result = learner(make_request(spec, job, 1), store, None, lambda _: None)
        if job.phase == "search":
            store.put_json(store.outcome_path(spec.name, job.trial), conclude(spec, job, store, result, 0.0))
        searcher.on_trial_complete(name, {"status": "complete"})
    raise AssertionError("unreachable")
