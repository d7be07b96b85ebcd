"""Which parameter moves which metric: PED-ANOVA over the validation rows of a sweep's complete trials.

PED-ANOVA (arXiv 2304.10255; with conditional parameters arXiv 2601.20800), as Optuna has it: how far the distribution
of a parameter among the best cells is from its distribution among all, in the direction that is better for the metric.
"""

from __future__ import annotations

import itertools
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from clsearch.errors import UsageError
from clsearch.results.metrics import LOWER_IS_BETTER
from clsearch.results.permitted import UnfinishedError, ValidationMatrix, permitted_matrix, score
from clsearch.results.sequences import measured_sequences
from clsearch.results.table_files import TableRows
from clsearch.search.study import distribution
from clsearch.spec.conditions import active_setting, in_order
from clsearch.spec.parameters import Parameter, column_value, parameter_from_json
from clsearch.spec.protocols import Protocol, read_protocol
from clsearch.spec.seeds import derive_seed
from clsearch.spec.settings import coerce

FEW_TRIALS = 20  # below, shares are mostly noise (our choice: where four parameters and one that matters blur)
_BEST_SHARE = 0.1  # of the cells that count as the best: Optuna's default ...
_BEST_CELLS = 5  # ... but at least so many, as its documentation advises
_SHUFFLES = 100


@dataclass(frozen=True)
class Share:
    """A parameter's part in one metric."""

    parameter: str
    share: float  # of the importance of all parameters together: 0 to 1
    by_chance: float  # how often values shuffled over trials (eval parameters: over eval settings) give it as much
    trials: int  # that have the parameter; the others are left out for it


@dataclass(frozen=True)
class Importance:
    """The shares in one metric, the largest first; none where the metric is undefined or the same in every cell."""

    metric: str
    better: str  # min | max
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class SweepImportance:
    """What moves what in one sweep. A cell is a trial under one eval setting."""

    sweep: str
    method: str
    benchmark: str
    protocol: str
    trials: int
    eval_settings: int
    left_out: int  # trials with rows that did not learn all that the protocol asks for
    importances: tuple[Importance, ...]


def sweep_importance(found: TableRows, metrics: Sequence[str] = ()) -> SweepImportance:
    """The importance of each searched and each grid parameter for each metric.

    Args:
        found: a sweep's validation rows, at least the columns of results.sequences and `setting`.
        metrics: names of results.metrics; none: the objective, forgetting and plasticity.

    Raises:
        UsageError: nothing was searched, or fewer than two trials are complete.
    """
    identity = found.identity
    protocol = read_protocol(str(identity["protocol"]), found.where)
    grid = {name: values for name, values in identity.get("eval_grid", {}).items() if len(values) > 1}
    if protocol.kind == "published" or not (identity["space"] or grid):
        raise UsageError(f"{found.where} searched nothing: there is no parameter to weigh")
    matrices, left_out = _complete(found, protocol)
    trials, evals = sorted({trial for trial, _ in matrices}), sorted({setting for _, setting in matrices})
    if len(trials) < 2:
        raise UsageError(
            f"{found.where}: {len(trials)} of its trials are complete; importance needs 2 at least, better {FEW_TRIALS}"
        )
    parameters = in_order(
        [parameter_from_json(identity["method"], name, facts) for name, facts in identity["space"].items()]
    )
    space: dict[str, BaseDistribution] = {one.name: distribution(one) for one in parameters}
    space |= {name: CategoricalDistribution([column_value(value) for value in grid[name]]) for name in grid}
    settings = _settings(found, identity["method"], parameters)
    cells = [
        settings[trial] | {name: column_value(json.loads(setting)[name]) for name in grid}
        for trial in trials
        for setting in evals
    ]
    study = _study(cells, space)
    having = {name: sum(name in cell for cell in cells) // len(evals) for name in space}
    importances = []
    for metric in dict.fromkeys(metrics or (identity["objective"]["metric"], "forgetting", "plasticity")):
        values = np.array([[score(matrices[trial, setting], metric) for setting in evals] for trial in trials])
        better = "min" if metric in LOWER_IS_BETTER else "max"
        seed = derive_seed(found.sweep, metric)
        shares = _shares(study, values if better == "min" else -values, set(grid), having, seed)
        importances.append(Importance(metric, better, shares))
    return SweepImportance(
        sweep=found.sweep,
        method=identity["method"],
        benchmark=identity["benchmark"],
        protocol=str(protocol),
        trials=len(trials),
        eval_settings=len(evals),
        left_out=left_out,
        importances=tuple(importances),
    )


def _complete(found: TableRows, protocol: Protocol) -> tuple[dict[tuple[int, str], ValidationMatrix], int]:
    """The permitted matrix of each cell of the trials that have all their cells; and how many trials have not."""
    searched = [one for one in measured_sequences(found.rows) if one.phase == "search"]
    every = {(one.trial, one.eval_setting): one for one in searched}
    matrices, unfinished = {}, set()
    for cell in itertools.product({trial for trial, _ in every}, {setting for _, setting in every}):
        try:
            matrices[cell] = permitted_matrix(every[cell], protocol)
        except (KeyError, UnfinishedError):
            unfinished.add(cell[0])
    return {cell: matrix for cell, matrix in matrices.items() if cell[0] not in unfinished}, len(unfinished)


def _settings(found: TableRows, method: str, parameters: Sequence[Parameter]) -> dict[int, dict[str, Any]]:
    """Of each trial the values of its active parameters, in Optuna's words."""
    numbers, texts = (found.rows[name].to_pylist() for name in ("trial", "setting"))
    settings = {}
    for trial, text in dict(zip(numbers, texts, strict=True)).items():
        whole = json.loads(text)
        values = {one.name: coerce(method, one.name, whole[one.name], found.where) for one in parameters}
        active = active_setting(parameters, values)
        settings[trial] = {one.name: one.label(active[one.name]) for one in parameters if one.name in active}
    return settings


def _study(cells: Sequence[Mapping[str, Any]], space: Mapping[str, BaseDistribution]) -> optuna.Study:
    optuna.logging.set_verbosity(logging.WARNING)  # it logs every trial it is told
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(value=0.0, params=dict(cell), distributions={name: space[name] for name in cell})
            for cell in cells
        ]
    )
    return study


def _shares(
    study: optuna.Study, values: NDArray[np.float64], grid: set[str], having: Mapping[str, int], seed: int
) -> tuple[Share, ...]:
    """The shares of the parameters in low `values` (trials, eval settings)."""
    if not np.isfinite(values).all() or np.ptp(values) == 0.0:
        return ()
    found = _raw(study, values)
    total = sum(found.values())
    random = np.random.default_rng(seed)
    as_much = dict.fromkeys(found, 0)
    for _ in range(_SHUFFLES):
        by_trial = _raw(study, random.permutation(values, axis=0))
        by_setting = _raw(study, random.permuted(values, axis=1)) if grid else {}
        for name in found:
            shuffled = by_setting if name in grid else by_trial
            as_much[name] += shuffled[name] >= found[name]
    # The values as they are count as one of the shuffles, so that no share is said to have no chance at all.
    shares = [
        Share(name, found[name] / total if total else 0.0, (as_much[name] + 1) / (_SHUFFLES + 1), having[name])
        for name in found
    ]
    return tuple(sorted(shares, key=lambda one: (-one.share, one.parameter)))


def _raw(study: optuna.Study, values: NDArray[np.float64]) -> dict[str, float]:
    flat = values.ravel()
    best = max(_BEST_SHARE, min(0.5, _BEST_CELLS / len(flat)))
    with warnings.catch_warnings():
        # That `normalize` is experimental, that low targets are the good ones, that a regime is small.
        warnings.simplefilter("ignore")
        return get_param_importances(
            study,
            evaluator=PedAnovaImportanceEvaluator(target_quantile=best),
            target=lambda trial: float(flat[trial.number]),
            normalize=False,
        )
