"""Stopping in Tune: what a stopped trial leaves in the store, in Optuna's study and on the screen, what it frees."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
import telling_curves
from played import ledger_of
from ray.tune.schedulers import TrialScheduler

from clsearch.execution.job import Job, make_request, search_job
from clsearch.execution.trial import conclude, pruned_outcome, task_report
from clsearch.results.store import Store, open_store
from clsearch.results.trials import TrialRecord, best_trial, read_trials
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.run import run_sweep
from clsearch.search.scheduler import GuardedStopping
from clsearch.search.searcher import SweepSearcher
from clsearch.search.study import Problem, as_optuna
from clsearch.spec.sweep import SweepSpec

Make = Callable[..., SweepSpec]
GUARDED = ("stopping.name=guarded", "sampler.name=random")
ONE_EVAL_SETTING = "eval_grid.threshold=[0.2]"
# Learning rates of trials 0 .. 8, from the best to the worst, and of one that is worse than all.
RATES = (1e-3, 1.2e-3, 1.4e-3, 1.6e-3, 1.8e-3, 2e-3, 2.2e-3, 2.4e-3, 2.6e-3)


class _Stopped(Exception):  # noqa: N818
    """What Tune's session does to a trial that is told to stop."""


@dataclass
class Tune:
    """Tune in miniature: one trial at a time, and the process waits at each report until the scheduler has decided."""

    spec: SweepSpec
    store: Store
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.searcher = SweepSearcher(Ledger(self.spec, self.store), follow_up)
        self.scheduler = GuardedStopping(self.searcher, self.said.append)

    def run(self, trials: int | None = None, killed_at: int | None = None) -> None:
        """So many trials, or all; the driver dies when the last of them has reported task `killed_at`."""
        for at in itertools.count(1):
            name = f"{id(self)}-{at}"
            config = self.searcher.suggest(name)
            if not isinstance(config, dict):
                return
            last = at == trials
            if not self._learn(name, config, killed_at if last else None) or last:
                return

    def _learn(self, name: str, config: dict[str, Any], killed_at: int | None) -> bool:
        job, trial = Job.from_config(config), _Trial(name, config)

        def report(task: Any) -> None:
            result = {**task_report(task), "time_total_s": 1.0}
            trial.last_result = result
            decision = self.scheduler.on_trial_result(None, trial, result)
            if task.task == killed_at:
                raise KeyboardInterrupt
            if decision == TrialScheduler.STOP:
                raise _Stopped

        try:
            result = telling_curves.learn(make_request(self.spec, job, 1), self.store, None, report)
        except KeyboardInterrupt:
            return False
        except _Stopped:
            end = trial.last_result
        else:
            if job.phase == "search":
                outcome = conclude(self.spec, job, self.store, result, time.time())
                self.store.put_json(self.store.outcome_path(self.spec.name, job.trial), outcome)
            end = {"status": "complete"}
        self.scheduler.on_trial_complete(None, trial, end)
        self.searcher.on_trial_complete(name, end)
        return True


@dataclass
class _Trial:
    trial_id: str
    config: dict[str, Any]
    last_result: dict[str, Any] = field(default_factory=dict)


def by_number(spec: SweepSpec, store: Store) -> dict[int, TrialRecord]:
    return {trial.number: trial for trial in read_trials(store, spec.name)}


def decisions(spec: SweepSpec, store: Store) -> dict[int, Any]:
    """What was tried and how it ended, by trial."""
    trials = by_number(spec, store)
    return {
        number: (trial.claim["setting"], trial.status, trial.outcome["curve"], trial.outcome.get("stopped"))
        for number, trial in trials.items()
        if trial.claim and trial.outcome
    }


def test_hopeless_trials_are_stopped_once_the_guard_is_open(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=24", *GUARDED, ONE_EVAL_SETTING)
    tune = Tune(spec, store)
    tune.run()
    trials = by_number(spec, store)
    pruned = [number for number, trial in trials.items() if trial.status == "pruned"]
    assert len(trials) == 24
    assert 2 < len(pruned) < 16
    assert min(pruned) >= 8
    assert all(number % 5 for number in pruned)
    for number in pruned:
        outcome = trials[number].outcome
        assert outcome is not None
        assert (outcome["tasks_learned"], outcome["tasks_total"], outcome["objective"]) == (2, 3, None)
        assert len(outcome["curve"]) == 2
        assert outcome["stopped"]["value"] == outcome["curve"][1] < outcome["stopped"]["median"]
    opened = [line for line in tune.said if line.startswith("stopping after task 2 is open: rank correlation")]
    stops = [line for line in tune.said if " is stopped after task 2 of 3: average " in line]
    assert len(opened) == 1
    assert len(stops) == len(pruned)
    assert all("lower 90% bound" in line and "median" in line for line in stops)


def test_a_complete_trial_has_its_curve_and_the_reports_tell_the_same(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=1", *GUARDED)
    told: list[float] = []
    job = search_job(spec, 0, spec.published_setting())
    result = telling_curves.learn(make_request(spec, job, 1), store, None, lambda task: told.append(task.metric))
    outcome = conclude(spec, job, store, result, time.time())
    assert outcome["curve"] == pytest.approx(told)
    assert outcome["curve"][-1] == outcome["objective"]


def test_a_curve_has_no_number_where_its_metric_is_not_defined(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=1", "objective.metric=forgetting")
    trial = ledger_of(spec, store, [1e-3]).trials[0]
    assert trial.outcome is not None
    assert trial.outcome["curve"][0] is None
    assert trial.outcome["curve"][2] == trial.objective


def test_a_sweep_that_was_killed_again_and_again_decides_as_an_undisturbed_one(
    make_spec: Make, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = make_spec("trials=18", "stopping.name=guarded", "sampler.name=tpe", ONE_EVAL_SETTING)
    Tune(spec, store).run()
    undisturbed = decisions(spec, store)
    assert any(status == "pruned" for _, status, _, _ in undisturbed.values())
    other = open_store(str(tmp_path_factory.mktemp("killed")))
    for trials, task in ((3, 1), (7, 2), (1, 2), (1, 2), (2, 1), (3, 3)):
        Tune(spec, other).run(trials, killed_at=task)
    Tune(spec, other).run()
    assert decisions(spec, other) == undisturbed


def test_jobs_of_other_phases_are_never_stopped(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=9", "confirm.pairs=2", *GUARDED)
    ledger_of(spec, store, RATES)
    tune = Tune(spec, store)
    tune.run()
    assert len(store.read_rows(spec.name, phase="confirm", split="test", trial=0).to_pylist()) > 0
    assert not [line for line in tune.said if "is stopped" in line]


def test_a_trial_that_completed_meanwhile_is_complete(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=12", *GUARDED)
    ledger_of(spec, store, RATES)
    searcher = SweepSearcher(Ledger(spec, store), follow_up)
    config = searcher.suggest("a")
    job = Job.from_config(config)
    assert job.trial == 9
    scheduler = GuardedStopping(searcher, lambda _: None)
    report = {"tasks_total": 3, "learn_seconds": 1.0, "evaluate_seconds": 1.0, "reused": False, "time_total_s": 5.0}
    first, second = ({**report, "task": task, "metric": 1.0} for task in (1, 2))
    trial = _Trial("a", config)
    assert scheduler.on_trial_result(None, trial, first) == TrialScheduler.CONTINUE
    assert scheduler.on_trial_result(None, trial, second) == TrialScheduler.STOP
    result = telling_curves.learn(make_request(spec, job, 1), store, None, lambda _: None)
    store.put_json(store.outcome_path(spec.name, 9), conclude(spec, job, store, result, time.time()))
    searcher.on_trial_complete("a", second)
    assert by_number(spec, store)[9].status == "complete"


def test_a_process_that_was_lost_is_judged_by_its_new_reports(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=12", *GUARDED)
    ledger_of(spec, store, RATES)
    searcher = SweepSearcher(Ledger(spec, store), follow_up)
    trial = _Trial("a", searcher.suggest("a"))
    scheduler = GuardedStopping(searcher, lambda _: None)
    report = {"tasks_total": 3, "learn_seconds": 1.0, "evaluate_seconds": 1.0, "reused": False, "time_total_s": 5.0}
    for task in (1, 1, 2):
        decision = scheduler.on_trial_result(None, trial, {**report, "task": task, "metric": 10.0 + task})
    searcher.on_trial_complete("a", {})
    outcome = by_number(spec, store)[9].outcome
    assert decision == TrialScheduler.STOP
    assert outcome is not None
    assert outcome["curve"] == [11.0, 12.0]
    assert (outcome["learn_seconds"], outcome["wall_seconds"], outcome["stages_learned"]) == (2.0, 5.0, 2)


def test_optuna_is_told_pruned_with_a_value_at_every_task(make_spec: Make) -> None:
    spec = make_spec(*GUARDED)
    reports = [
        {"task": t, "tasks_total": 3, "metric": m, "learn_seconds": 0.0, "evaluate_seconds": 0.0, "reused": False}
        for t, m in ((1, float("nan")), (2, 61.0))
    ]
    outcome = pruned_outcome(reports, {}, 1.0)
    setting = spec.published_setting()
    told = as_optuna(Problem.of(spec), TrialRecord(spec.name, 1, {}, 1, outcome), setting)
    assert told.state == optuna.trial.TrialState.PRUNED
    assert told.intermediate_values == {2: 61.0}
    assert told.value is None
    assert best_trial([TrialRecord(spec.name, 1, {}, 1, outcome)]) is None


@pytest.mark.usefixtures("ray_cluster")
def test_a_stopped_trial_frees_its_place_and_its_process_goes_on(
    make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec("trials=14", "resources.cpus=2", *GUARDED)  # one trial takes the whole cluster
    ledger_of(spec, store, RATES)
    assert run_sweep(spec, store, telling_curves.learn) == 0
    trials = by_number(spec, store)
    pruned = [number for number, trial in trials.items() if trial.status == "pruned"]
    assert pruned
    assert all(trial.status in ("complete", "pruned") for trial in trials.values())
    attempts = [store.get_json(store.attempt_path(spec.name, number, 1)) for number in range(9, 14)]
    assert len({attempt["pid"] for attempt in attempts}) == 1
    assert {store.get_json(store.end_path(spec.name, n, 1))["ended"] for n in pruned} == {"pruned"}
    text = capsys.readouterr().out
    assert "stopping after task 2 is open" in text
    assert f"trial {pruned[0]} is stopped after task 2 of 3" in text
    assert f"{14 - len(pruned)} complete, {len(pruned)} stopped early, 0 failed, 0 incomplete" in text


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_stopped_on_ray_train_gives_its_workers_back(make_spec: Make, store: Store) -> None:
    import ray
    from ray.util import placement_group_table

    spec = make_spec("trials=13", "runner=train", "resources.cpus=2", *GUARDED)
    ledger_of(spec, store, [*RATES, 1e-3, 1e-3])  # trials 11 and 12 are left
    begun = time.monotonic()
    assert run_sweep(spec, store, telling_curves.learn_slowly_from_task_3) == 0
    assert time.monotonic() - begun < 300
    trials = by_number(spec, store)
    assert [trials[number].status for number in (11, 12)] == ["pruned", "pruned"]
    for _ in range(100):
        left = [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
        if not left and ray.available_resources().get("CPU") == 2.0:
            return
        time.sleep(0.2)
    raise AssertionError(f"still held: {left}")
