"""Made-up stores for tests: rows, trials and identities as the search leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clsearch.results.rows import rows_table
from clsearch.results.store import Store
from clsearch.spec.keys import eval_hash

Matrix = Sequence[Sequence[float]]


def row(**over: Any) -> dict[str, Any]:
    """One row with something in every needed column."""
    fixed = {
        "sweep": "alpha",
        "trial": 0,
        "phase": "search",
        "protocol": "end_of_sequence",
        "method": "mora",
        "backbone": "tiny",
        "benchmark": "nano_cil",
        "order_seed": 0,
        "run_seed": 0,
        "tasks_total": 2,
        "task_learned": 1,
        "task_evaluated": 1,
        "split": "validation",
        "eval_setting": {},
        "correct": 1,
        "count": 2,
        "stage_key": "ab" * 32,
        "trained_parameters": 1200,
        "stored_parameters": 3400,
        "setting": {"learning_rate": 0.1},
    }
    return {**fixed, **over}


def write_sequence(
    store: Store,
    accuracy: Matrix,
    count: int | Sequence[int] = 100,
    *,
    eval_setting: Mapping[str, Any] | None = None,
    stages: int | None = None,
    **over: Any,
) -> None:
    """Rows of one sequence from an accuracy matrix in percent (NaN: not evaluated); `stages`: only so many."""
    tasks = len(accuracy)
    counts = np.broadcast_to(np.asarray(count), (tasks,))
    setting = dict(eval_setting or {})
    for t in range(stages or tasks):
        rows = [
            row(
                **over,
                tasks_total=tasks,
                task_learned=t + 1,
                task_evaluated=i + 1,
                eval_setting=setting,
                correct=round(accuracy[t][i] * int(counts[i]) / 100),
                count=int(counts[i]),
                param_learning_rate=0.5,
            )
            for i in range(tasks)
            if not np.isnan(accuracy[t][i])
        ]
        one = rows[0]
        path = store.rows_path(
            one["sweep"], one["trial"], one["phase"], one["order_seed"], one["run_seed"], t + 1, eval_hash(setting)
        )
        store.put_rows(path, rows_table(rows, {"learning_rate": float}))


def write_trial(
    store: Store,
    sweep: str,
    number: int,
    objective: float | None = None,
    *,
    status: str | None = "complete",
    eval_setting: Mapping[str, Any] | None = None,
    cause: str | None = None,
) -> None:
    """A trial's life; status None: claimed and never ended."""
    store.put_json(
        store.claim_path(sweep, number), {"sweep": sweep, "trial": number, "setting": {"learning_rate": 0.5}}
    )
    store.put_json(store.attempt_path(sweep, number, 1), {"host": "here", "pid": 1})
    if status is not None:
        setting = dict(eval_setting or {})
        outcome = {"status": status, "objective": objective, "eval_setting": setting, "cause": cause}
        store.put_json(store.outcome_path(sweep, number), outcome | {"objectives": [[setting, objective]]})


def write_identity(store: Store, sweep: str, **over: Any) -> None:
    """A sweep's identity."""
    identity = {
        "method": "mora",
        "backbone": "tiny",
        "benchmark": "nano_cil",
        "protocol": "end_of_sequence",
        "objective": {"metric": "final_acc_micro", "direction": "max"},
        "eval_grid": {},
    }
    store.put_json(store.sweep_path(sweep), {**identity, **over})
