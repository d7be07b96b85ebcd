"""Scores on test, for what is reported once search and race have ended. Nothing that chooses may import this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from clsearch.results.metrics import METRICS
from clsearch.results.sequences import under_eval_settings


def scores_on_test(rows: pa.Table, metric: str, eval_settings: Sequence[Mapping[str, Any]]) -> list[float]:
    """The metric in percent under each eval setting, over the test rows of one sequence; NaN where rows are missing.

    Args:
        rows: of one trial, phase and pair of seeds.
    """
    found = under_eval_settings(rows, "test", eval_settings)
    return [math.nan if one is None else float(METRICS[metric](one.correct, one.count)) for one in found]
