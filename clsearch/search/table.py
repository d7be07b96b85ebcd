"""A table of complete trials: every setting of a design on the same pairs of seeds, the best ones on more.

It is what search policies are replayed over, and what an audit reads. Nothing is chosen or claimed by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from clsearch.execution.job import Job, Phase, make_job
from clsearch.execution.objective import validation_scores
from clsearch.search.ledger import Ledger
from clsearch.search.stored import tasks_without_rows
from clsearch.spec.sweep import Seeds


def table_jobs(ledger: Ledger) -> list[Job]:
    """The next sequences of the table: validation on the further pairs, then on the dense ones, then all test rows.

    The search itself has made the first pair's validation rows. Settings that failed are not in the table,
    on whichever pair of its validation it was.
    """
    spec = ledger.spec
    failed = {trial for trial, _ in ledger.race_failures()}
    every = [trial.number for trial in ledger.trials if trial.status == "complete" and trial.number not in failed]
    further = spec.race_seeds(max(spec.table.pairs, spec.table.dense_pairs) - 1)
    first, rest = further[: spec.table.pairs - 1], further[spec.table.pairs - 1 :]
    jobs = list(_missing(ledger, every, "race", first))
    if jobs:
        return jobs
    dense = dense_trials(ledger, every, [spec.seeds, *first])
    return [
        *_missing(ledger, dense, "race", rest),
        *_missing(ledger, every, "analysis", [spec.seeds, *first]),
        *_missing(ledger, dense, "analysis", rest),
    ]


def dense_trials(ledger: Ledger, trials: Sequence[int], pairs: Sequence[Seeds]) -> list[int]:
    """The published setting and the best others by their mean over the first pairs, `table.dense` in all."""
    spec = ledger.spec
    sign = 1.0 if spec.objective.direction == "max" else -1.0
    ranked = sorted(trials, key=lambda trial: (trial != 0, -sign * _mean_score(ledger, trial, pairs), trial))
    return ranked[: spec.table.dense]


def _mean_score(ledger: Ledger, trial: int, pairs: Sequence[Seeds]) -> float:
    """The objective of a trial under its best eval setting, over the pairs."""
    by_pair = [_scores(ledger, trial, "race" if i else "search", seeds) for i, seeds in enumerate(pairs)]
    means: list[float] = [mean(scores) for scores in zip(*by_pair, strict=True)]
    return max(means) if ledger.spec.objective.direction == "max" else min(means)


def _scores(ledger: Ledger, trial: int, phase: Phase, seeds: Seeds) -> list[float]:
    spec = ledger.spec
    rows = ledger.store.read_rows(spec.name, trial=trial, phase=phase, order_seed=seeds.order, run_seed=seeds.run)
    return validation_scores(rows, spec.protocol, spec.objective.metric, spec.eval_settings())


def _missing(ledger: Ledger, trials: Sequence[int], phase: Phase, pairs: Sequence[Seeds]) -> Iterator[Job]:
    """Pair by pair, so that an interrupted table has as many complete pairs as possible."""
    spec = ledger.spec
    stored = set(ledger.store.row_names(spec.name))
    for seeds in pairs:
        for trial in trials:
            job = make_job(trial, ledger.setting(trial), phase, seeds, tuple(spec.eval_settings()))
            if tasks_without_rows(spec, job, stored):
                yield job
