"""What a trial costs is measured from its rows; what costs too much is complete and never the best."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clsearch.execution.costs import measured_costs, violations
from clsearch.execution.job import search_job
from clsearch.execution.trial import conclude
from clsearch.learning.request import SequenceResult
from clsearch.results.rows import rows_table
from clsearch.results.store import Store, open_store
from clsearch.results.trials import TrialRecord, best_trial
from clsearch.search.study import Problem, as_optuna
from clsearch.spec.keys import eval_hash
from clsearch.spec.sweep import SweepSpec, load_sweep
from tests.made_up_store import row

TASKS = 3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def make_spec(*overrides: str) -> SweepSpec:
    return load_sweep("mora_clip", ["profile=nano", *overrides])


def ended(store: Store, spec: SweepSpec, number: int, *, right: int, memory: list[float | None]) -> TrialRecord:
    """A trial whose rows train 10 parameters a task, store 10 more with each, and take `memory` GB a task."""
    for task in range(1, TASKS + 1):
        for eval_setting in spec.eval_settings():
            rows = [
                row(
                    **{"sweep": spec.name, "trial": number, "benchmark": spec.benchmark, "tasks_total": TASKS},
                    **{"order_seed": spec.seeds.order, "run_seed": spec.seeds.run, "eval_setting": eval_setting},
                    **{"task_learned": task, "task_evaluated": evaluated, "correct": right, "count": 100},
                    **{"trained_parameters": 10, "stored_parameters": 10 * task, "memory_gb": memory[task - 1]},
                )
                for evaluated in range(1, TASKS + 1)
            ]
            place = (number, "search", spec.seeds.order, spec.seeds.run, task, eval_hash(eval_setting))
            store.put_rows(store.rows_path(spec.name, *place), rows_table(rows, {}))
    job = search_job(spec, number, spec.published_setting())
    outcome = conclude(spec, job, store, SequenceResult(TASKS, TASKS, 0, 0.0, 0.0, ()), time.time())
    return TrialRecord(spec.name, number, {"setting": dict(job.setting)}, 1, outcome)


Ended = Callable[..., TrialRecord]


def test_costs_are_written_whether_or_not_there_is_a_limit(store: Store) -> None:
    outcome: Any = ended(store, make_spec(), 0, right=50, memory=[1.0, 3.0, 2.0]).outcome
    assert outcome["costs"] == {"trained_parameters": 10, "stored_parameters": 30, "memory_gb": 3.0}
    assert outcome["violations"] == {}


def test_a_trial_over_a_limit_is_complete_and_never_the_best(store: Store) -> None:
    spec = make_spec("constraints.memory_gb=2.5", "constraints.stored_parameters=30")
    good = ended(store, spec, 0, right=50, memory=[1.0, 1.0, 2.0])
    better = ended(store, spec, 1, right=60, memory=[1.0, 3.0, 2.0])
    outcome: Any = better.outcome
    assert outcome["violations"] == {"memory_gb": 0.5}
    assert (better.status, better.feasible, good.feasible) == ("complete", False, True)
    assert best_trial([good, better]) == good
    assert best_trial([better]) is None
    assert better.objective is not None
    assert good.objective is not None
    assert better.objective > good.objective


def test_optuna_is_told_by_which_share_of_the_limit(store: Store) -> None:
    spec = make_spec("constraints.memory_gb=2.0", "constraints.stored_parameters=60")
    record = ended(store, spec, 0, right=50, memory=[1.0, 3.0, 2.0])
    trial = as_optuna(Problem.of(spec), record, spec.published_setting())
    assert trial.constraints == {"memory_gb": 0.5, "stored_parameters": -0.5}
    assert as_optuna(Problem.of(make_spec()), record, spec.published_setting()).constraints == {}


def test_what_was_not_measured_breaks_no_limit(store: Store) -> None:
    """Stages of an older store say nothing of memory."""
    spec = make_spec("constraints.memory_gb=0.1", "constraints.trained_parameters=0")
    record = ended(store, spec, 0, right=50, memory=[None, None, None])
    outcome: Any = record.outcome
    assert "memory_gb" not in outcome["costs"]
    assert outcome["violations"] == {"trained_parameters": 10}
    trial = as_optuna(Problem.of(spec), record, spec.published_setting())
    assert trial.constraints == {"memory_gb": 0.0, "trained_parameters": 10.0}


def test_costs_and_limits_alone() -> None:
    table = rows_table([row(task_learned=2, trained_parameters=None, memory_gb=None), row(memory_gb=0.5)], {})
    assert measured_costs(table) == {"stored_parameters": 3400, "memory_gb": 0.5}
    assert violations({"memory_gb": 2.0, "stored_parameters": 5}, {"memory_gb": 2.0, "trained_parameters": 1}) == {}
