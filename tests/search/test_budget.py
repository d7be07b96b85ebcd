"""Budgets: when the search ends by one, what follows all the same, how it goes on, and what the plan says of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import known_curves
import pytest
from ray.tune.search.searcher import Searcher

from clsearch.errors import UsageError
from clsearch.execution.job import Job
from clsearch.execution.trial import begin_attempt
from clsearch.results.spending import end_attempt, spent
from clsearch.results.store import Store
from clsearch.results.trials import read_trials
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.run import run_sweep
from clsearch.search.searcher import SweepSearcher
from clsearch.spec.identity import register
from clsearch.spec.plan import make_plan
from clsearch.spec.show import render
from clsearch.spec.sweep import SweepSpec

Make = Callable[..., SweepSpec]


class Driver:
    """A driver in miniature, whose trials take an hour each, one after the other."""

    def __init__(self, spec: SweepSpec, store: Store, hours: float = 1.0) -> None:
        self.spec, self.store, self.hours = spec, store, hours
        self.searcher = SweepSearcher(Ledger(spec, store), follow_up)
        self.names = map(str, itertools.count())

    def ask(self) -> tuple[str, Job | None]:
        name = next(self.names)
        config = self.searcher.suggest(name)
        if not isinstance(config, dict):
            assert config in (None, Searcher.FINISHED)
            return name, None
        assert config["asked"] == name
        return name, Job.from_config(config)

    def finish(self, name: str, job: Job) -> None:
        at = sum(1 for path in self.store.list("trials/") if "/attempt-" in path)
        started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=2 * at)
        attempt = {"phase": job.phase, "run_seed": job.run_seed, "order_seed": job.order_seed, "asked": name}
        attempt |= {"gpus": self.spec.gpus_per_worker * self.spec.workers, "started_at": started.isoformat()}
        number = next(n for n in itertools.count(1) if self.put(self.store.attempt_path, job, n, attempt))
        end_attempt(self.store, self.spec.name, job.trial, number, "complete", 3600 * self.hours)
        if job.phase == "search":
            self.store.put_json(self.store.outcome_path(self.spec.name, job.trial), outcome(self.spec, job.trial))
        self.searcher.on_trial_complete(name, {"status": "complete"})

    def put(self, path: Callable[..., str], job: Job, number: int, value: Any) -> bool:
        return self.store.put_json(path(self.spec.name, job.trial, number), value)

    def run(self) -> list[Job]:
        jobs = []
        while True:
            name, job = self.ask()
            if job is None:
                return jobs
            jobs.append(job)
            self.finish(name, job)


def outcome(spec: SweepSpec, trial: int, seconds: float = 3600.0) -> dict[str, Any]:
    facts = {"tasks_learned": 3, "tasks_total": 3, "eval_setting": spec.eval_settings()[0], "wall_seconds": seconds}
    return {"status": "complete", "objective": 60.0 - trial, "stages_learned": 3, "stages_reused": 0, **facts}


def searched(jobs: list[Job]) -> list[int]:
    return [job.trial for job in jobs if job.phase == "search"]


# The searcher


def test_no_new_trial_starts_once_the_budget_is_spent(make_spec: Make, store: Store) -> None:
    assert searched(Driver(make_spec("trials=10", "budget.hours=3"), store).run()) == [0, 1, 2]


def test_the_trial_that_spends_the_rest_is_finished(make_spec: Make, store: Store) -> None:
    assert searched(Driver(make_spec("trials=10", "budget.hours=2.5"), store).run()) == [0, 1, 2]


def test_gpu_hours_count_every_gpu_of_every_worker(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=10", "budget.gpu_hours=9", "resources.gpus=0.5", "resources.workers=4", "runner=train")
    assert searched(Driver(spec, store).run()) == [0, 1, 2, 3, 4]


def test_confirmation_follows_a_search_that_its_budget_ended(make_spec: Make, store: Store) -> None:
    jobs = Driver(make_spec("trials=10", "budget.hours=2", "confirm.pairs=1"), store).run()
    assert [(job.phase, job.trial) for job in jobs][:3] == [("search", 0), ("search", 1), ("confirm", 0)]


def test_a_race_follows_a_search_that_its_budget_ended(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=10", "budget.hours=2", "race.top=2", "race.pairs=3", "confirm.pairs=1")
    jobs = Driver(spec, store).run()
    assert searched(jobs) == [0, 1]
    assert {(job.phase, job.trial) for job in jobs[2:]} == {("race", 0), ("race", 1)}


def test_race_and_confirmation_are_not_paid_from_the_budget(make_spec: Make, store: Store) -> None:
    first = Driver(make_spec("trials=10", "budget.hours=2", "confirm.pairs=5"), store).run()
    assert searched(first) == [0, 1]
    assert len(first) > 4
    assert searched(Driver(make_spec("trials=10", "budget.hours=4", "confirm.pairs=5"), store).run()) == [2, 3]


def test_a_larger_budget_goes_on_as_if_it_had_been_asked_for_at_once(
    make_spec: Make, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from clsearch.results.store import open_store

    parts = [job for hours in (2, 5, 9) for job in Driver(make_spec("trials=9", f"budget.hours={hours}"), store).run()]
    other = open_store(str(tmp_path_factory.mktemp("other")))
    assert parts == Driver(make_spec("trials=9", "budget.hours=9"), other).run()


def test_a_claimed_trial_is_finished_when_the_budget_is_spent(make_spec: Make, store: Store) -> None:
    first = Driver(make_spec("trials=10"), store)
    first.finish(*first.ask())  # type: ignore[arg-type]
    _, killed = first.ask()
    spec = make_spec("trials=10", "budget.hours=1", "confirm.pairs=1")
    again = Driver(spec, store).run()
    assert again[0] == killed
    assert searched(again) == [1]
    assert again[1].phase == "confirm"


def test_what_is_at_work_counts_before_it_ends(make_spec: Make, store: Store) -> None:
    driver = Driver(make_spec("trials=10", "budget.hours=1"), store)
    name, job = driver.ask()
    assert job is not None
    begin_attempt(store, driver.spec, job, name)
    _, second = driver.ask()
    assert second is not None  # one has only just begun
    path = store.attempt_path(driver.spec.name, 0, 1)
    begun = store.get_json(path)
    store.delete(path)
    store.put_json(path, begun | {"started_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
    restarted = SweepSearcher(Ledger(driver.spec, store), follow_up)
    restarted._running[name] = job
    restarted._open.clear()
    assert restarted.suggest("third") is None


def test_a_budget_of_nothing_starts_nothing(make_spec: Make, store: Store) -> None:
    assert Driver(make_spec("trials=3", "budget.hours=0", "confirm.pairs=1"), store).run() == []


def test_a_budget_is_extent_not_identity(make_spec: Make) -> None:
    assert make_spec("budget.hours=1").identity_hash() == make_spec().identity_hash()


def test_gpu_hours_without_a_gpu_are_refused(make_spec: Make) -> None:
    with pytest.raises(UsageError, match=r"budget\.gpu_hours=5 is never spent.*resources\.gpus=0"):
        make_spec("budget.gpu_hours=5")


# The plan


def plan_text(spec: SweepSpec, store: Store) -> str:
    return render(make_plan(spec, store))


def test_a_plan_shows_the_budget_and_where_it_ends_the_search(make_spec: Make, store: Store) -> None:
    register(make_spec(), store)
    Driver(make_spec("trials=10", "budget.hours=2"), store).run()
    spec = make_spec("trials=10", "budget.hours=6")
    plan = make_plan(spec, store)
    assert plan.search_left == 8 * 3
    assert plan.affordable == 4 * 3
    assert plan.seconds_left == pytest.approx(4 * 3600)
    text = render(plan)
    assert "budget.hours: 2 of 6 spent by the search" in text
    assert "it ends the search early, after about 12 of these 24 stages" in text
    assert "spent: 2.0 h at work, 2.0 h in trials (2 starts)" in text


def test_a_plan_of_a_spent_budget_leaves_what_follows_the_search(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=10", "budget.hours=2", "confirm.pairs=1")
    register(spec, store)
    Driver(make_spec("trials=10", "budget.hours=2"), store).run()
    plan = make_plan(spec, store)
    assert (plan.search_left, plan.confirm_left) == (0, 2 * 3)
    assert plan.seconds_left == pytest.approx(2 * 3600)
    assert "budget.hours=2 is spent: no new trial of the search starts" in render(plan)


def test_gpu_hours_are_estimated_from_medians(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=4", "resources.gpus=0.5", "race.top=2", "race.pairs=4", "confirm.pairs=2")
    register(spec, store)
    for trial, seconds in enumerate((3600.0, 7200.0, 90000.0)):
        store.put_json(store.claim_path(spec.name, trial), {"setting": {}})
        store.put_json(store.outcome_path(spec.name, trial), outcome(spec, trial, seconds))
    plan = make_plan(spec, store)
    # One trial, three that race on four pairs, two settings that are confirmed on two.
    assert plan.stages_left == 3 + 3 * 4 * 3 + 2 * 2 * 3
    assert plan.gpu_hours_left == pytest.approx((1 + 12 + 4) * 2 * 0.5)
    assert "GPU-hours: about 17" in render(plan)


def test_a_new_sweep_is_estimated_from_one_that_learns_the_same(make_spec: Make, store: Store) -> None:
    for name, iterations, seconds in (("near", "10", 3600.0), ("far", "80", 99999.0), ("other", "10", 1.0)):
        extra = ("backbone=pocket_clip", "benchmark=pocket_x_tail_5") if name == "other" else ()
        known = make_spec(f"name={name}", f"settings.iterations={iterations}", "settings.batch=8", *extra)
        if name == "far":
            known = make_spec("name=far", "settings.iterations=80", "settings.batch=4")
        register(known, store)
        store.put_json(store.claim_path(name, 0), {"setting": {}})
        store.put_json(store.outcome_path(name, 0), outcome(known, 0, seconds))
    spec = make_spec("trials=2", "settings.iterations=20", "settings.batch=8")
    plan = make_plan(spec, store)
    assert plan.cost is not None
    assert (plan.cost.sweep, plan.cost.seconds, plan.cost.trials) == ("near", 1200.0, 1)
    text = render(plan)
    assert "median 1.2e+03 s a stage over 1 complete trial of sweep near, which learns the same" in text
    assert "its fixed settings differ (there -> here): iterations: 10 -> 20" in text


# Whole sweeps


@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_says_what_it_spent_and_what_ended_it(
    make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec("trials=12", "budget.hours=0.0001", "confirm.pairs=1")
    assert run_sweep(spec, store, known_curves.learn_slowly) == 0
    text = capsys.readouterr().out
    done = len(read_trials(store, spec.name))
    assert 1 <= done < 12
    assert f"the search ended because budget.hours=0.0001 is spent, after {done} of 12 trials" in text
    assert "confirmed on test, 1 fresh pair" in text
    found = spent(store, spec.name)
    assert found.hours > spent(store, spec.name, ("search",)).hours >= 0.0001
    assert found.lost_attempts == 0
    starts = [path for path in store.list("trials/") if "/attempt-" in path]
    assert [path for path in store.list("trials/") if "/end-" in path] == [
        path.replace("/attempt-", "/end-") for path in starts
    ]
    assert run_sweep(make_spec("trials=12", "budget.hours=1", "confirm.pairs=1"), store, known_curves.learn_slowly) == 0
    assert len(read_trials(store, spec.name)) == 12
    assert "the search ended because" not in capsys.readouterr().out


@pytest.mark.usefixtures("ray_cluster")
def test_a_process_that_was_lost_has_an_end_by_its_driver(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=2")
    assert run_sweep(spec, store, known_curves.die_once_in_trial_1) == 0
    assert [store.get_json(store.end_path(spec.name, 1, number))["ended"] for number in (1, 2)] == ["lost", "complete"]
    assert spent(store, spec.name).lost_attempts == 1


@pytest.mark.usefixtures("ray_cluster")
def test_how_an_attempt_ended_is_written(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=2")
    assert run_sweep(spec, store, known_curves.raise_in_trial_1) == 3
    assert store.get_json(store.end_path(spec.name, 0, 1))["ended"] == "complete"
    assert store.get_json(store.end_path(spec.name, 1, 1))["ended"] == "failed"
