"""A stored sweep as an Optuna study: the same trials in a file, in memory, and in Optuna's own figures."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from clsearch.results.store import Store, open_store
from clsearch.search.ledger import Ledger
from clsearch.search.proposals import propose
from clsearch.spec.identity import register
from clsearch.spec.sweep import SweepSpec, load_sweep
from clsearch.study import load_study, main
from tests.made_up_store import write_sequence

SWEEP = """\
method: mora
backbone: nano_clip
benchmark: nano_cil
objective: {metric: final_acc_micro}
constraints: {stored_parameters: 100}
space:
  routing: {choices: [adaptive, sparse]}
  temperature: {low: 0.001, high: 0.1, log: true, if: {routing: adaptive}}
  new_rank: {choices: [4, 8, 16]}
  projections: {choices: {few: [q, v], all: [q, k, v, out, fc1, fc2]}, published: [q, v]}
trials: 12
"""
FINISHED = "2100-01-02T03:04:05.000+00:00"
STATES = {2: "failed", 4: "pruned", 7: "running"}


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    (tmp_path / "small.yaml").write_text(SWEEP)
    return load_sweep(str(tmp_path / "small.yaml"))


@pytest.fixture
def store(tmp_path: Path, spec: SweepSpec) -> Store:
    """Twelve trials: one failed, one stopped after a task, one running, one over its constraint, the rest complete."""
    store = open_store(str(tmp_path / "store"))
    register(spec, store)
    ledger = Ledger(spec, store)
    for number in range(spec.trials):
        ledger.refresh()
        setting = propose(spec, number, ledger.trials, ledger.setting)
        ledger.claim(number, setting)
        outcome = _outcome(number, STATES.get(number, "complete"), spec)
        if outcome is not None:
            ledger.end(number, outcome)
        if STATES.get(number, "complete") == "complete":
            place = {"sweep": spec.name, "trial": number, "benchmark": spec.benchmark, "phase": "search"}
            accuracy = [[80.0, float("nan")], [70.0 - number, 60.0]]
            write_sequence(store, accuracy, **place, eval_setting=spec.eval_settings()[0])
    return store


def _outcome(number: int, status: str, spec: SweepSpec) -> dict[str, Any] | None:
    if status == "running":
        return None
    whole = status == "complete"
    return {
        "status": status,
        "objective": 65.0 - number / 2 if whole else None,
        "eval_setting": spec.eval_settings()[0] if whole else None,
        "curve": {"complete": [80.0, 65.0 - number / 2], "pruned": [55.0]}.get(status, []),
        "costs": {"stored_parameters": 150 if number == 3 else 90} if whole else {},
        "violations": {"stored_parameters": 50} if number == 3 else {},
        "tasks_learned": {"complete": 2, "pruned": 1}.get(status, 0),
        "tasks_total": 2,
        "cause": "RuntimeError: no" if status == "failed" else None,
        "finished_at": FINISHED,
    }


def facts(study: optuna.Study) -> list[Any]:
    return [
        (t.number, t.state, t.value, t.params, t.distributions, t.intermediate_values, t.constraints, t.user_attrs)
        for t in study.get_trials()
    ]


def test_the_study_says_what_the_store_says(store: Store, spec: SweepSpec) -> None:
    study = load_study(store.uri, spec.name)
    trials = study.get_trials()
    assert study.study_name == spec.name
    assert study.direction.name == "MAXIMIZE"
    assert [trial.number for trial in trials] == [trial.user_attrs["trial"] for trial in trials] == [*range(12)]
    assert trials[0].params == {"routing": "adaptive", "temperature": 0.01, "new_rank": 16, "projections": "few"}
    for trial in trials:
        assert ("temperature" in trial.params) == (trial.params["routing"] == "adaptive")
    others = [TrialState.FAIL, TrialState.PRUNED, TrialState.RUNNING]
    assert [trials[number].state for number in STATES] == others
    assert trials[4].intermediate_values == {1: 55.0}
    assert trials[5].intermediate_values == {1: 80.0, 2: 62.5}
    assert trials[2].user_attrs["cause"] == "RuntimeError: no"
    assert trials[3].constraints == {"stored_parameters": 0.5}
    assert trials[3].user_attrs["violations"] == {"stored_parameters": 50}
    # After task 2 of 2: 80 % on task 1 became 70 % less the trial's number.
    assert trials[5].user_attrs["validation_forgetting"] == 15.0
    assert trials[5].user_attrs["eval_setting"] == spec.eval_settings()[0]
    finished = datetime.fromisoformat(FINISHED).astimezone().replace(tzinfo=None)
    assert trials[5].datetime_complete == finished  # Optuna has local time
    assert study.best_trial.number == 0


@pytest.mark.parametrize("name", ["study.db", "journal.log"])
def test_a_file_holds_the_same_study(
    store: Store, spec: SweepSpec, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / name
    out.parent.mkdir()
    assert main([store.uri, spec.name, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"12 trials of {spec.name} are in {out}; to look at them: optuna-dashboard " in said
    assert [path.name for path in out.parent.iterdir()] == [name]  # nothing is left beside it
    place: Any = f"sqlite:///{out}"
    if name == "journal.log":
        place = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(out)))
    assert facts(optuna.load_study(study_name=spec.name, storage=place)) == facts(load_study(store.uri, spec.name))
    assert main([store.uri, spec.name, "--out", str(out)]) == 2
    assert f"error: --out {out} exists already" in capsys.readouterr().err


def test_optunas_figures_are_made_of_it(store: Store, spec: SweepSpec) -> None:
    study = load_study(store.uri, spec.name)

    def info(module: str, function: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(importlib.import_module(f"optuna.visualization.{module}"), function)
        return found

    history = info("_optimization_history", "_get_optimization_history_info_list")(study, None, "value", False)
    states = [state.name for state in history[0].values_info.states]
    assert [number for number, state in enumerate(states) if state != "Feasible"] == [2, 3, 4, 7]
    curves = info("_intermediate_values", "_get_intermediate_plot_info")(study)
    assert {one.trial_number for one in curves.trial_infos} >= {0, 4, 5}
    slices = info("_slice", "_get_slice_plot_info")(study, None, None, "value")
    assert {one.param_name for one in slices.subplots} == {"routing", "temperature", "new_rank", "projections"}
    assert info("_parallel_coordinate", "_get_parallel_coordinate_info")(study, None, None, "value").dims_params
    assert info("_edf", "_get_edf_info")(study).lines
    timeline = info("_timeline", "_get_timeline_info")(study, n_recent_trials=None)
    assert {bar.state for bar in timeline.bars} >= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    assert [bar.number for bar in timeline.bars if bar.infeasible] == [3]
    assert sum(optuna.importance.get_param_importances(study).values()) == pytest.approx(1.0)


def test_what_cannot_be_exported(
    store: Store, spec: SweepSpec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, sentence in (
        ([store.uri, "smal", "--out", str(tmp_path / "a.db")], "has no sweep 'smal': did you mean 'small'?"),
        ([store.uri, spec.name, "--out", str(tmp_path / "a.txt")], "the suffix says what to write: .db, .sqlite"),
        ([store.uri, spec.name, "--out", str(tmp_path / "no" / "a.db")], "there is no folder"),
        ([str(tmp_path / "nowhere"), spec.name, "--out", str(tmp_path / "a.db")], "nowhere"),
    ):
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("a.*"))
