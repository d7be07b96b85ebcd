"""The paired difference, and which runs a confirmation still lacks."""

from __future__ import annotations

import math
from collections.abc import Callable

import known_curves
import pytest

from clsearch.execution.job import make_request, search_job
from clsearch.execution.trial import conclude
from clsearch.results.store import Store
from clsearch.search.confirm import candidates, confirmation_jobs, difference_interval, read_result
from clsearch.search.ledger import Ledger
from clsearch.spec.sweep import SweepSpec


def ledger_of(spec: SweepSpec, store: Store, rates: list[float]) -> Ledger:
    """Complete trials with these learning rates over the known curves; the first is trial 0."""
    ledger = Ledger(spec, store)
    for number, rate in enumerate(rates):
        setting = {**spec.published_setting(), "learning_rate": rate}
        ledger.claim(number, setting)
        job = search_job(spec, number, setting)
        result = known_curves.learn(make_request(spec, job, 1), store, None, lambda _: None)
        ledger.end(number, conclude(spec, job, store, result, 0.0))
    ledger.refresh()
    return ledger


def learn_all(ledger: Ledger) -> int:
    jobs = list(confirmation_jobs(ledger))
    for job in jobs:
        known_curves.learn(make_request(ledger.spec, job, 1), ledger.store, None, lambda _: None)
    return len(jobs)


def test_t_interval() -> None:
    # Student's t by hand: differences 1, 2, 3; mean 2, s 1, t(2, 0.975) = 4.3027.
    mean, half = difference_interval([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert mean == pytest.approx(2.0)
    assert half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_pair_has_no_interval() -> None:
    mean, half = difference_interval([2.0], [1.0])
    assert mean == 1.0
    assert math.isnan(half)


def test_the_best_is_confirmed_under_the_eval_setting_that_validation_chose(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    ledger = ledger_of(make_spec("trials=2", "confirm.pairs=2"), store, [5e-4, 1e-3])
    best, published = candidates(ledger)
    assert (best.trial, best.eval_setting) == (1, {"threshold": 0.1})
    assert (published.trial, published.eval_setting) == (0, {"threshold": 0.2})


def test_only_missing_pairs_are_learned(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    ledger = ledger_of(make_spec("trials=2", "confirm.pairs=2"), store, [5e-4, 1e-3])
    assert learn_all(ledger) == 4
    assert learn_all(ledger) == 0
    grown = Ledger(make_spec("trials=2", "confirm.pairs=3"), store)
    grown.refresh()
    assert learn_all(grown) == 2
    result = read_result(grown)
    assert len(result.best) == len(result.published) == 3
    mean, _ = difference_interval(result.best, result.published)
    assert mean == pytest.approx(5.5)  # half of 10 points for the learning rate, and 0.5 for the threshold


def test_published_weights_under_another_eval_setting_are_one_run(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    ledger = ledger_of(make_spec("trials=2", "confirm.pairs=2"), store, [1e-3, 5e-4])
    jobs = list(confirmation_jobs(ledger))
    assert [job.trial for job in jobs] == [0, 0]
    assert jobs[0].eval_settings == ({"threshold": 0.1}, {"threshold": 0.2})


def test_the_published_setting_alone_is_confirmed_alone(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    ledger = ledger_of(make_spec("trials=1", "confirm.pairs=2", "eval_grid.threshold=[0.2]"), store, [1e-3])
    assert learn_all(ledger) == 2
    assert read_result(ledger).published == ()


def test_nothing_complete_confirms_nothing(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    assert list(confirmation_jobs(Ledger(make_spec("confirm.pairs=2"), store))) == []
