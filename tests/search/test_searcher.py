"""The searcher as Tune uses it, without Ray: which job comes next, and what is written of how jobs end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import known_curves
import played
import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.tune.search.searcher import Searcher

from clsearch.execution.job import Job, make_request
from clsearch.execution.trial import failed_outcome
from clsearch.results.store import Store
from clsearch.search import searcher
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.searcher import SweepSearcher
from clsearch.spec.sweep import SweepSpec


class Driver:
    """A driver in miniature: it asks as Tune does and plays the trial processes."""

    def __init__(self, spec: SweepSpec, store: Store) -> None:
        self.spec, self.store = spec, store
        self.searcher = SweepSearcher(Ledger(spec, store), follow_up)
        self.ids = map(str, itertools.count())

    def ask(self) -> tuple[str, Job | None]:
        name = next(self.ids)
        config = self.searcher.suggest(name)
        return name, Job.from_config(config) if isinstance(config, dict) else None

    def finish(self, name: str, job: Job, status: str = "complete", **report: Any) -> None:
        if status == "complete":
            self.store.put_json(self.store.outcome_path(self.spec.name, job.trial), self.outcome(job))
        elif status == "failed":
            self.store.put_json(self.store.outcome_path(self.spec.name, job.trial), failed_outcome("E: e"))
        self.searcher.on_trial_complete(name, {"status": status, **report})

    def outcome(self, job: Job) -> dict[str, Any]:
        value = 60.0 - 1000 * abs(job.setting["learning_rate"] - 1e-3)
        facts = {"tasks_learned": 3, "tasks_total": 3, "eval_setting": self.spec.eval_settings()[0]}
        return {"status": "complete", "objective": value, **facts}

    def run(self, count: int | None = None) -> list[Job]:
        jobs = []
        while count is None or len(jobs) < count:
            name, job = self.ask()
            if job is None:
                break
            jobs.append(job)
            self.finish(name, job)
        return jobs

    def status(self, number: int) -> str:
        ledger = Ledger(self.spec, self.store)
        ledger.refresh()
        return {trial.number: trial for trial in ledger.trials}[number].status


@pytest.fixture
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    from clsearch.results.store import open_store

    return open_store(str(tmp_path_factory.mktemp("other")))


def test_undisturbed_and_restarted_searches_ask_the_same(
    make_spec: Callable[..., SweepSpec], store: Store, other_store: Store
) -> None:
    spec = make_spec("trials=12")
    undisturbed = Driver(spec, other_store).run()
    restarted = [job for count in (1, 3, 4, None) for job in Driver(spec, store).run(count)]
    assert [job.trial for job in undisturbed] == list(range(12))
    assert restarted == undisturbed


def test_a_claimed_trial_is_run_again_with_the_setting_it_claimed(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    spec = make_spec("trials=4")
    first = Driver(spec, store)
    first.run(2)
    _, killed = first.ask()
    again = Driver(spec, store).run()
    assert killed is not None
    assert again[0] == killed
    assert [job.trial for job in again] == [2, 3]


def test_the_claim_is_in_the_store_before_tune_has_the_job(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    spec = make_spec("trials=2")
    _, job = Driver(spec, store).ask()
    claim = store.get_json(store.claim_path(spec.name, 0))
    assert job is not None
    assert spec.setting_from_json(claim["setting"]) == job.setting == spec.published_setting()
    assert claim["identity"] == spec.identity_hash()


def test_two_drivers_never_share_a_number(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    spec = make_spec("trials=10")
    drivers = [Driver(spec, store), Driver(spec, store)]
    jobs = []
    while True:
        asked = [driver.ask() for driver in drivers]
        if all(job is None for _, job in asked):
            break
        for driver, (name, job) in zip(drivers, asked, strict=True):
            if job is not None:
                jobs.append(job.trial)
                driver.finish(name, job)
    assert sorted(jobs) == list(range(10))


def test_a_number_claimed_meanwhile_is_left_to_the_other(
    make_spec: Callable[..., SweepSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("trials=3")
    driver = Driver(spec, store)
    put_json = store.put_json

    def other_is_first(path: str, value: Any) -> bool:
        if path == store.claim_path(spec.name, 0):
            put_json(path, {**value, "setting": spec.published_setting()})
        return put_json(path, value)

    monkeypatch.setattr(store, "put_json", other_is_first)
    _, job = driver.ask()
    assert job is not None
    assert job.trial == 1


def test_growing_the_number_of_trials_goes_on(
    make_spec: Callable[..., SweepSpec], store: Store, other_store: Store
) -> None:
    small = Driver(make_spec("trials=4"), store).run()
    grown = Driver(make_spec("trials=7"), store).run()
    assert small + grown == Driver(make_spec("trials=7"), other_store).run()
    assert Driver(make_spec("trials=7"), store).run() == []


def test_confirmation_comes_after_every_trial_of_the_search(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    driver = Driver(make_spec("trials=2", "confirm.pairs=2"), store)
    name_0, job_0 = driver.ask()
    name_1, job_1 = driver.ask()
    assert job_0 is not None
    assert job_1 is not None
    driver.finish(name_0, job_0)
    assert driver.searcher.suggest("waiting") is None
    driver.finish(name_1, job_1)
    _, job = driver.ask()
    assert job is not None
    assert job.phase == "confirm"


def test_no_test_image_is_read_while_another_driver_still_searches(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    spec = make_spec("trials=2", "confirm.pairs=1")
    ours, theirs = Driver(spec, store), Driver(spec, store)
    name, job = ours.ask()
    their_name, their_job = theirs.ask()
    assert job is not None
    assert their_job is not None
    ours.finish(name, job)
    assert ours.ask()[1] is None
    theirs.finish(their_name, their_job)
    _, confirmation = theirs.ask()
    assert confirmation is not None
    assert confirmation.phase == "confirm"


def test_two_drivers_share_what_follows_the_search(
    make_spec: Callable[..., SweepSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec("trials=2", "company.prior_work.learning_rate=0.0015", "confirm.pairs=4")
    Driver(spec, store).run(2)
    turns = iter([0, 2])
    monkeypatch.setattr(searcher, "own_turn", lambda: next(turns))
    drivers = [Driver(spec, store), Driver(spec, store)]
    jobs = []
    while True:
        asked = [driver.ask() for driver in drivers]
        if all(job is None for _, job in asked):
            break
        for driver, (name, job) in zip(drivers, asked, strict=True):
            if job is not None:
                jobs.append(job)
                known_curves.learn(make_request(spec, job, 1), store, None, lambda _: None)
                driver.finish(name, job)
    assert len(jobs) == len({job.name for job in jobs}) == 2 * 4
    ours = jobs[::2]
    assert [job.run_seed for job in ours] == sorted(job.run_seed for job in ours)  # pair by pair


def test_what_another_driver_has_learned_is_not_handed_out(
    make_spec: Callable[..., SweepSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where it was in the batch already: then the next look follows at once."""
    spec = make_spec("trials=3", "race.top=2", "race.pairs=5", "confirm.pairs=2")
    Driver(spec, store).run(3)
    ours = Driver(spec, store)
    name, job = ours.ask()
    assert job is not None
    assert job.phase == "race"
    played.play(Ledger(spec, store))
    ours.finish(name, job)
    assert ours.searcher.suggest("next") == Searcher.FINISHED


def test_a_failed_trial_does_not_stop_the_search(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    driver = Driver(make_spec("trials=3"), store)
    driver.run(1)
    name, job = driver.ask()
    assert job is not None
    driver.finish(name, job, "failed")
    assert [job.trial for job in driver.run()] == [2]
    assert driver.status(1) == "failed"


def test_a_process_lost_for_good_fails_its_trial(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    driver = Driver(make_spec("trials=2"), store)
    driver.run(1)
    name, job = driver.ask()
    assert job is not None
    driver.searcher.on_trial_result(name, {"task": 2})
    driver.searcher.on_trial_complete(name, error=True)
    driver.searcher.on_death(name, ActorDiedError())
    outcome = store.get_json(store.outcome_path(driver.spec.name, 1))
    assert outcome["status"] == "failed"
    assert outcome["tasks_learned"] == 2


def test_a_refusal_before_anything_is_complete_ends_the_search(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    driver = Driver(make_spec("trials=3"), store)
    name, job = driver.ask()
    assert job is not None
    driver.finish(name, job, "refused", cause="no weights")
    assert driver.searcher.suggest("next") == Searcher.FINISHED
    assert [message for _, message in driver.searcher.refused] == ["no weights"]
    assert driver.status(0) == "running"


def test_a_refusal_is_the_settings_fault_when_another_trial_completes(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    driver = Driver(make_spec("trials=3"), store)
    name_0, job_0 = driver.ask()
    name_1, job_1 = driver.ask()
    assert job_0 is not None
    assert job_1 is not None
    driver.finish(name_1, job_1, "refused", cause="rank too large")
    assert driver.searcher.suggest("waiting") is None
    driver.finish(name_0, job_0)
    assert driver.searcher.refused == []
    assert store.get_json(store.outcome_path(driver.spec.name, 1))["cause"] == "UsageError: rank too large"
    assert [job.trial for job in driver.run()] == [2]


def test_a_restart_tries_a_second_setting_before_it_gives_up(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    Driver(make_spec("trials=3"), store).run(1)
    driver = Driver(make_spec("trials=3"), store)
    for expected in (1, 2):
        name, job = driver.ask()
        assert job is not None
        assert job.trial == expected
        driver.finish(name, job, "refused", cause="no weights")
    assert driver.searcher.suggest("next") == Searcher.FINISHED
    assert len(driver.searcher.refused) == 2


def test_an_error_outside_the_trials_code_is_a_refusal(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    driver = Driver(make_spec("trials=2"), store)
    name, job = driver.ask()
    assert job is not None
    driver.searcher.on_trial_complete(name, error=True)
    text = "Traceback ...\nModuleNotFoundError: No module named 'clsearch'"
    driver.searcher.on_death(name, RayTaskError("train", text, ModuleNotFoundError("clsearch")))
    assert driver.searcher.suggest("next") == Searcher.FINISHED
    assert "No module named 'clsearch'" in driver.searcher.refused[0][1]
    assert driver.status(0) == "running"


def test_what_the_store_blocked_stays_open_and_the_rest_goes_on(
    make_spec: Callable[..., SweepSpec], store: Store
) -> None:
    driver = Driver(make_spec("trials=3"), store)
    driver.run(1)
    name, job = driver.ask()
    assert job is not None
    driver.finish(name, job, "blocked", cause="row file x is damaged")
    assert [job.trial for job in driver.run()] == [2]
    assert driver.status(1) == "running"
    assert [message for _, message in driver.searcher.blocked] == ["row file x is damaged"]


def test_the_search_never_asks_for_test_rows(make_spec: Callable[..., SweepSpec], store: Store) -> None:
    jobs = Driver(make_spec("trials=3", "confirm.pairs=1"), store).run()
    assert {job.splits for job in jobs if job.phase == "search"} == {("validation",)}
    assert {job.splits for job in jobs if job.phase == "confirm"} == {("validation", "test")}
