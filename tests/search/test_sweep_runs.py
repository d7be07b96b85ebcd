"""Whole sweeps on a real Ray cluster over known curves: order, growth, failures, confirmation, what is printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import known_curves
import pytest

from clsearch.errors import UsageError
from clsearch.results.store import Store
from clsearch.results.trials import TrialRecord, best_trial, read_trials
from clsearch.results.verdicts import read_verdicts
from clsearch.search.run import run_sweep
from clsearch.spec.sweep import SweepSpec

pytestmark = pytest.mark.usefixtures("ray_cluster")
Make = Callable[..., SweepSpec]


def by_number(spec: SweepSpec, store: Store) -> dict[int, TrialRecord]:
    return {trial.number: trial for trial in read_trials(store, spec.name)}


def test_a_sweep_searches_confirms_and_reports(
    make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec("trials=5", "confirm.pairs=3")
    assert run_sweep(spec, store, known_curves.learn) == 0
    trials = by_number(spec, store)
    best = best_trial(list(trials.values()))
    assert best is not None
    assert best.outcome is not None
    assert sorted(trials) == [0, 1, 2, 3, 4]
    # The eval setting that the known curves favour is chosen on validation, and frozen for the confirmation.
    assert best.outcome["eval_setting"] == {"threshold": 0.1}
    assert best.outcome["objectives"][0] == [{"threshold": 0.1}, best.objective]
    assert len(best.outcome["objectives"]) == len(spec.eval_settings())
    rows = store.read_rows(spec.name, phase="confirm").to_pylist()
    assert {row["trial"] for row in rows} == {0, best.number}
    assert {(row["run_seed"], row["order_seed"]) for row in rows} == {
        (spec.seeds.run + i, spec.seeds.order + i) for i in (1, 2, 3)
    }
    assert {row["eval_setting"] for row in rows if row["trial"] == best.number} == {'{"threshold":0.1}'}
    assert {row["eval_setting"] for row in rows if row["trial"] == 0} == {'{"threshold":0.2}'}
    assert {row["split"] for row in store.read_rows(spec.name, phase="search").to_pylist()} == {"validation"}
    text = capsys.readouterr().out
    assert f"best completed: trial {best.number}" in text
    assert "n = 3" in text
    assert "trials: 5 complete, 0 failed, 0 incomplete" in text
    assert "stages: 33 learned, 0 from the store" in text


def test_the_same_command_again_learns_nothing(
    make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec("trials=3", "confirm.pairs=1")
    run_sweep(spec, store, known_curves.learn)
    before = store.list("")
    capsys.readouterr()
    assert run_sweep(spec, store, known_curves.raise_in_trial_1) == 0
    assert store.list("") == before
    assert "stages: 0 learned, 0 from the store" in capsys.readouterr().out


def test_a_sweep_races_before_it_confirms(make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    spec = make_spec("trials=4", "race.top=2", "race.pairs=4", "confirm.pairs=1", "max_parallel=2")
    assert run_sweep(spec, store, known_curves.learn) == 0
    (verdict,) = read_verdicts(store, spec.name)
    assert verdict.race is not None
    assert verdict.race["dropped"]
    assert verdict.race["candidates"][0] == {"trial": verdict.winner.trial, "eval_setting": {"threshold": 0.1}}
    assert {row["split"] for row in store.read_rows(spec.name, phase="race").to_pylist()} == {"validation"}
    rows = store.read_rows(spec.name, phase="confirm", split="test").to_pylist()
    assert {row["trial"] for row in rows} == {0, verdict.winner.trial}
    first_test = min(path.stat().st_mtime for path in Path(store.uri, "rows", spec.name).glob("*-confirm-*"))
    assert Path(store.uri, store.verdict_path(spec.name, 1)).stat().st_mtime <= first_test
    text = capsys.readouterr().out
    assert f"won by trial {verdict.winner.trial}" in text
    before = store.list("")
    assert run_sweep(spec, store, known_curves.raise_in_trial_1) == 0
    assert store.list("") == before


def test_more_trials_and_more_pairs_go_on(make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_sweep(make_spec("trials=2", "confirm.pairs=1"), store, known_curves.learn)
    spec = make_spec("trials=4", "confirm.pairs=2")
    capsys.readouterr()
    assert run_sweep(spec, store, known_curves.learn) == 0
    text = capsys.readouterr().out
    assert "2 have ended, 0 carry on with the setting they claimed, 2 are new" in text
    assert "2 fresh pairs" in text
    attempts = [store.get_json(path) for path in store.list("trials/") if "/attempt-" in path]
    assert sum(attempt["phase"] == "search" for attempt in attempts) == 4


def test_two_at_a_time_finish_every_trial_once(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=8", "max_parallel=2")
    assert run_sweep(spec, store, known_curves.learn) == 0
    trials = by_number(spec, store)
    assert [trial.status for trial in trials.values()] == ["complete"] * 8
    assert [trial.attempts for trial in trials.values()] == [1] * 8


def test_a_failing_trial_is_recorded_and_the_sweep_goes_on(
    make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec("trials=3")
    assert run_sweep(spec, store, known_curves.raise_in_trial_1) == 3
    trials = by_number(spec, store)
    assert [trial.status for trial in trials.values()] == ["complete", "failed", "complete"]
    assert trials[1].outcome is not None
    assert trials[1].outcome["cause"] == "RuntimeError: the loss is no number (key ***)"
    text = capsys.readouterr().out
    assert "Traceback" in text
    assert "not-to-be-seen" not in text
    assert "trials: 2 complete, 1 failed, 0 incomplete" in text
    # It stays failed: the same command does not try it again, and says so by its exit code.
    assert run_sweep(spec, store, known_curves.learn) == 3


def test_a_setting_that_is_refused_fails_alone(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=3")
    assert run_sweep(spec, store, known_curves.refuse_trial_1) == 3
    outcome = by_number(spec, store)[1].outcome
    assert outcome is not None
    assert outcome["cause"] == "UsageError: setting 'new_rank' is too large here"


def test_what_is_missing_everywhere_ends_the_sweep(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=3")
    with pytest.raises(UsageError, match="not in the cache"):
        run_sweep(spec, store, known_curves.refuse_all)
    assert [trial.status for trial in by_number(spec, store).values()] == ["running"]
    assert run_sweep(spec, store, known_curves.learn) == 0


def test_a_lost_process_is_tried_again(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=3")
    assert run_sweep(spec, store, known_curves.die_once_in_trial_1) == 0
    assert [trial.attempts for trial in by_number(spec, store).values()] == [1, 2, 1]


def test_a_process_lost_again_and_again_fails_its_trial(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=3")
    assert run_sweep(spec, store, known_curves.die_always_in_trial_1) == 3
    trials = by_number(spec, store)
    assert [trial.status for trial in trials.values()] == ["complete", "failed", "complete"]
    assert trials[1].attempts == 3


def test_more_than_the_cluster_has_is_refused_before_anything_is_claimed(make_spec: Make, store: Store) -> None:
    with pytest.raises(UsageError, match=r"resources\.gpus=1"):
        run_sweep(make_spec("resources.gpus=1"), store, known_curves.learn)
    assert store.list("") == []


def test_a_minimised_objective_takes_the_lowest(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=3", "objective.metric=forgetting")
    assert run_sweep(spec, store, known_curves.learn) == 0
    trials = by_number(spec, store)
    values = [trial.outcome["objectives"] for trial in trials.values() if trial.outcome]
    assert all([value for _, value in listed] == sorted(value for _, value in listed) for listed in values)


def test_what_a_train_worker_raises_is_the_cause(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=2", "runner=train", "resources.workers=2")
    assert run_sweep(spec, store, known_curves.raise_in_trial_1) == 3
    trials = by_number(spec, store)
    assert [trial.status for trial in trials.values()] == ["complete", "failed"]
    assert trials[1].outcome is not None
    assert trials[1].outcome["cause"] == "RuntimeError: the loss is no number (key ***)"
