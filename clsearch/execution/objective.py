"""The objective of a trial, computed from the validation rows that its protocol permits and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from clsearch.results.permitted import ExcludedError, UnfinishedError, ValidationMatrix, permitted_or_shown, score
from clsearch.results.sequences import under_eval_settings
from clsearch.spec.protocols import Protocol
from clsearch.spec.sweep import Objective


def validation_scores(
    rows: pa.Table, protocol: Protocol, metric: str, eval_settings: Sequence[Mapping[str, Any]]
) -> list[float]:
    """The metric in percent under each eval setting, over the entries by which the protocol lets one be chosen.

    Under protocol `published` it is the figure of the one eval setting that is learned: nothing is chosen by it.

    Args:
        rows: of one trial, phase and pair of seeds.
        eval_settings: the settings asked for; the result has their order.

    Raises:
        UnfinishedError: rows are missing under one of the settings.
        ExcludedError: rows of a phase or a benchmark by which nothing may be chosen; under `published`, several
            eval settings.
    """
    return [score(matrix, metric) for matrix in _matrices(rows, protocol, eval_settings)]


def validation_curve(
    rows: pa.Table, protocol: Protocol, objective: Objective, eval_settings: Sequence[Mapping[str, Any]]
) -> list[float]:
    """The objective after each task, of the eval setting that was best then, over the entries that were known then.

    Its last value is the best of `validation_scores`; NaN where the metric is not defined yet. Arguments and errors as
    there.
    """
    matrices = _matrices(rows, protocol, eval_settings)
    best = max if objective.direction == "max" else min
    curve = []
    for task in range(1, matrices[0].tasks + 1):
        scores = [score(matrix.until(task), objective.metric) for matrix in matrices]
        curve.append(best((value for value in scores if math.isfinite(value)), default=math.nan))
    return curve


def _matrices(rows: pa.Table, protocol: Protocol, eval_settings: Sequence[Mapping[str, Any]]) -> list[ValidationMatrix]:
    if protocol.kind == "published" and len(eval_settings) > 1:
        raise ExcludedError(f"protocol published chooses nothing: one eval setting, not {len(eval_settings)}")
    matrices = []
    for setting, found in zip(eval_settings, under_eval_settings(rows, "validation", eval_settings), strict=True):
        if found is None:
            raise UnfinishedError(f"there are no validation rows under eval setting {dict(setting)}")
        matrices.append(permitted_or_shown(found, protocol))
    return matrices


def ranked(scores: Sequence[float], direction: str) -> list[int]:
    """The positions of the scores from best to worst, the first of equals first; NaN is left out."""
    sign = -1.0 if direction == "max" else 1.0
    finite = [i for i, score in enumerate(scores) if math.isfinite(score)]
    return sorted(finite, key=lambda i: (sign * scores[i], i))
