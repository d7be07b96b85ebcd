"""Made-up tables: settings whose true worth is known, measured with known noise, as rows of a sweep or as arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from made_up_store import row
from numpy.typing import NDArray

from clsearch.results.rows import rows_table
from clsearch.results.store import Store
from clsearch.results.table_files import TableRows
from clsearch.spec.keys import eval_hash

HOME = (5, 7)  # the search's run seed and order seed
COUNT = 10_000  # images a task: a score is exact to 0.01 points


def identity(evals: Sequence[float] = (0.2, 0.0, 0.1), **over: Any) -> dict[str, Any]:
    """Of a sweep over MoRA's learning rate and rank; its eval grid is over the threshold."""
    rate = {"type": "float", "published": 5e-4, "low": 5e-5, "high": 5e-3, "log": True, "step": None}
    rank = {"type": "choice", "published": 16, "choices": [4, 8, 16], "labels": [4, 8, 16]}
    return {
        "method": "mora",
        "backbone": "nano_clip",
        "benchmark": "nano_cil",
        "protocol": "end_of_sequence",
        "objective": {"metric": "final_acc_macro", "direction": "max"},
        "space": {"learning_rate": rate, "new_rank": rank},
        "eval_grid": {"threshold": list(evals)},
        "settings": {},
        "sampler": {"name": "sobol", "startup": 10},
        "profile": None,
        "seeds": {"run": HOME[0], "order": HOME[1]},
        "precision": "float32",
    } | over


def settings(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """The published setting and others at random."""
    random = np.random.default_rng(seed)
    others = [
        {"learning_rate": float(10 ** random.uniform(-4.3, -2.31)), "new_rank": int(random.choice([4, 8, 16]))}
        for _ in range(number - 1)
    ]
    return [{"learning_rate": 5e-4, "new_rank": 16}, *others]


def pair(at: int) -> tuple[int, int]:
    """The seeds of a pair: the search's, then fresh ones as a sweep has them."""
    return HOME if at == 0 else (HOME[0] + 1_000_000 + at, HOME[1] + 1_000_000 + at)


def table_rows(
    curves: NDArray[np.float64], known: Sequence[dict[str, Any]], asked: dict[str, Any], sweep: str = "made-up"
) -> TableRows:
    """Rows whose `final_acc_macro` so far is `curves` [setting, eval setting, pair, task]; NaN: no rows.

    Every entry of a matrix's row has the same accuracy. Learning a task takes 10 s, evaluating it 1 s an eval setting.
    """
    tasks = curves.shape[-1]
    (name,) = asked["eval_grid"] or ("",)
    rows = []
    for s, e, p in np.argwhere(np.isfinite(curves).all(axis=-1)).tolist():
        eval_setting = {name: asked["eval_grid"][name][e]} if name else {}
        for t in range(tasks):
            for i in range(t + 1):
                rows.append(
                    row(
                        sweep=sweep,
                        trial=s,
                        phase="search" if p == 0 else "race",
                        run_seed=pair(p)[0],
                        order_seed=pair(p)[1],
                        tasks_total=tasks,
                        task_learned=t + 1,
                        task_evaluated=i + 1,
                        eval_setting=eval_setting,
                        correct=round(float(curves[s, e, p, t]) * COUNT / 100),
                        count=COUNT,
                        train_seconds=10.0,
                        eval_seconds=1.0,
                        setting=dict(known[s]),
                        param_learning_rate=known[s]["learning_rate"],
                        param_new_rank=known[s]["new_rank"],
                    )
                )
    return TableRows("made-up", sweep, asked, rows_table(rows, {"learning_rate": float, "new_rank": int}))


def write_rows(store: Store, found: TableRows) -> None:
    """Put the rows and the identity into a store, one file a stage and eval setting."""
    store.put_json(store.sweep_path(found.sweep), dict(found.identity))
    groups: dict[tuple[Any, ...], list[int]] = {}
    names = ("trial", "phase", "order_seed", "run_seed", "task_learned", "eval_setting")
    for at, key in enumerate(zip(*(found.rows[name].to_pylist() for name in names), strict=True)):
        groups.setdefault(key, []).append(at)
    for (trial, phase, order, run, task, setting), at in groups.items():
        path = store.rows_path(found.sweep, trial, phase, order, run, task, eval_hash(json.loads(setting)))
        store.put_rows(path, found.rows.take(pa.array(at)))


def noisy_curves(
    truth: NDArray[np.float64], pairs: int, random: np.random.Generator, pair_std: float = 0.0, own_std: float = 0.0
) -> NDArray[np.float64]:
    """`truth` [setting, eval setting, task] seen on so many pairs: what a pair does to all, and what is left."""
    settings, evals, _ = truth.shape
    common = random.normal(0.0, pair_std, (1, 1, pairs, 1))
    own = random.normal(0.0, own_std, (settings, 1, pairs, 1)) + np.zeros((1, evals, 1, 1))
    return truth[:, :, None, :] + common + own
