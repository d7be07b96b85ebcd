"""Real sequences under each protocol: no class, no test label and no excluded entry finds its way into a choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import play

from clsearch.benchmarks import streams
from clsearch.benchmarks.layout import TaskPlan
from clsearch.benchmarks.streams import TestedTask
from clsearch.execution.job import make_request, search_job
from clsearch.execution.trial import conclude
from clsearch.learning.request import TaskReport
from clsearch.learning.sequence import run_sequence
from clsearch.results.sequences import measured_sequences
from clsearch.results.store import Store, open_store
from clsearch.results.trials import read_trials
from clsearch.spec.sweep import SweepSpec

Make = Callable[..., SweepSpec]

SHORT = ("settings.iterations=1", "settings.batch=4", "eval_grid.threshold=[0.2, 0.0]", "keep=last")
CIL = ("benchmark=nano_cil", "objective.metric=last")
PROTOCOLS = {
    "end_of_sequence": (),
    "first_tasks(2)": (),
    "disjoint_tasks(2)": CIL,
    "cross_dataset(nano_cil)": ("objective.metric=last",),
    "published": (),
}
LENGTHS = {  # by protocol: tasks learned by a sequence of the search, and of the confirmation
    "end_of_sequence": (3, 3),
    "first_tasks(2)": (2, 3),
    "disjoint_tasks(2)": (2, 2),
    "cross_dataset(nano_cil)": (4, 3),
    "published": (3, 3),
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_real_sweep_under_each_protocol(make_spec: Make, store: Store, protocol: str) -> None:
    spec = make_spec(f"protocol={protocol}", *PROTOCOLS[protocol], *SHORT, "trials=2", "confirm.pairs=1")
    play(spec, store, run_sequence)
    assert [trial.status for trial in read_trials(store, spec.name)] == ["complete"] * spec.trials
    lengths: dict[str, set[int]] = {"search": set(), "confirm": set()}
    for one in measured_sequences(store.read_rows(spec.name)):
        lengths[one.phase].add(int((one.count > 0).any(axis=1).sum()))
    searched, measured = LENGTHS[protocol]
    assert lengths == {"search": {searched}, "confirm": {measured}}


@pytest.mark.parametrize("protocol", ["end_of_sequence", "first_tasks(2)", "disjoint_tasks(2)"])
def test_the_live_figure_is_the_curve_of_the_permitted_entries(make_spec: Make, store: Store, protocol: str) -> None:
    spec = make_spec(f"protocol={protocol}", *PROTOCOLS[protocol], *SHORT)
    job = search_job(spec, 0, spec.published_setting())
    told: list[TaskReport] = []
    result = run_sequence(make_request(spec, job, 1), store, report=told.append)
    outcome = conclude(spec, job, store, result, 0.0)
    assert [report.metric for report in told] == outcome["curve"]
    assert outcome["curve"][-1] == outcome["objective"]
    assert len(told) == LENGTHS[protocol][0]


def test_shuffled_test_labels_change_no_decision(
    make_spec: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, with real networks: proposals, objectives, race and verdict; only what is reported differs."""
    spec = make_spec(*SHORT, "trials=2", "race.top=2", "race.pairs=3", "confirm.pairs=1")
    jobs = play(spec, store, run_sequence)
    make_task = streams._tested_task

    def shuffled(plan: TaskPlan) -> TestedTask:
        task = make_task(plan)
        test = dataclasses.replace(task.test, labels=task.test.labels[::-1].copy())
        return dataclasses.replace(task, test=test)

    monkeypatch.setattr(streams, "_tested_task", shuffled)
    other = open_store(str(tmp_path / "other"))
    assert play(spec, other, run_sequence) == jobs
    assert _decided(other, spec) == _decided(store, spec)
    assert _tested(other, spec) != _tested(store, spec)


def _decided(store: Store, spec: SweepSpec) -> tuple[Any, ...]:
    trials = [(t.claim["setting"], t.outcome["objectives"], t.outcome["curve"]) for t in read_trials(store, spec.name)]  # type: ignore[index]
    verdicts = [store.get_json(path) for path in store.list(f"verdicts/{spec.name}/")]
    return trials, [{k: v for k, v in verdict.items() if k != "written_at"} for verdict in verdicts]


def _tested(store: Store, spec: SweepSpec) -> list[Any]:
    return [one.correct.tolist() for one in measured_sequences(store.read_rows(spec.name)) if one.split == "test"]
