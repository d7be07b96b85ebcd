"""The objective of a trial, computed from its validation rows in the store and from nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from clsearch.results.metrics import METRICS
from clsearch.spec.keys import eval_hash


def score_settings(
    rows: pa.Table, tasks_total: int, metric: str, eval_settings: Sequence[Mapping[str, Any]], split: str
) -> list[float]:
    """The metric in percent under each eval setting, over the rows of one split of one sequence.

    Args:
        rows: rows of one trial, phase and pair of seeds; at least the columns split, eval_setting, task_learned,
            task_evaluated, correct, count.
        eval_settings: the settings asked for; the result has their order. A setting without rows scores NaN.
    """
    by_setting: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    columns = ("split", "eval_setting", "task_learned", "task_evaluated", "correct", "count")
    for row in rows.select(columns).to_pylist():
        if row["split"] != split:
            continue
        name = eval_hash(json.loads(row["eval_setting"]))
        if name not in by_setting:
            shape = (tasks_total, tasks_total)
            by_setting[name] = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        correct, count = by_setting[name]
        at = row["task_learned"] - 1, row["task_evaluated"] - 1
        correct[at], count[at] = row["correct"], row["count"]
    scores = []
    for setting in eval_settings:
        found = by_setting.get(eval_hash(setting))
        scores.append(math.nan if found is None else float(METRICS[metric](*found)))
    return scores


def ranked(scores: Sequence[float], direction: str) -> list[int]:
    """The positions of the scores from best to worst, the first of equals first; NaN is left out."""
    sign = -1.0 if direction == "max" else 1.0
    finite = [i for i, score in enumerate(scores) if math.isfinite(score)]
    return sorted(finite, key=lambda i: (sign * scores[i], i))
