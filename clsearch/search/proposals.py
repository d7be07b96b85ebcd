"""What to try next: a pure function of the sweep, the trial number, and the trials before it.

The Optuna study lives for one question only. It is built from the store's records in number order and asked by a
sampler seeded for this trial, so an interrupted search proposes what an undisturbed one would have proposed.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from clsearch.results.trials import TrialRecord
from clsearch.spec.parameters import Parameter
from clsearch.spec.seeds import derive_seed
from clsearch.spec.sweep import SweepSpec

_DIRECTIONS: dict[str, StudyDirection] = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


def propose(
    spec: SweepSpec, number: int, trials: Sequence[TrialRecord], setting_of: Callable[[int], Mapping[str, Any]]
) -> dict[str, Any]:
    """The setting of trial `number`: the named ones first (trial 0 is the published), then what the sampler says.

    Args:
        trials: what is known, in number order; trials still running repel the sampler (constant liar).
        setting_of: the setting each of them claimed.
    """
    named = list(spec.named_settings().values())
    if number < len(named):
        return named[number]
    if spec.sampler.name == "sobol":
        return sobol_setting(spec, number)
    space = {parameter.name: distribution(parameter) for parameter in spec.space}
    # Optuna logs every trial it is told and warns that multivariate and group are experimental.
    optuna.logging.set_verbosity(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=_sampler(spec, number), direction=_DIRECTIONS[spec.objective.direction])
        study.add_trials([_as_optuna(spec, trial, setting_of(trial.number), space) for trial in trials])
        asked = study.ask(space)
    return {parameter.name: parameter.value(asked.params[parameter.name]) for parameter in spec.space}


def sobol_setting(spec: SweepSpec, number: int) -> dict[str, Any]:
    """Point `number` of the sweep's own scrambled Sobol sequence: a design that looks at no result."""
    from scipy.stats.qmc import Sobol

    points = Sobol(len(spec.space), rng=derive_seed(spec.name, "sobol")).random(2 ** math.ceil(math.log2(number + 1)))
    return {p.name: p.at(float(share)) for p, share in zip(spec.space, points[number], strict=True)}


def distribution(parameter: Parameter) -> BaseDistribution:
    """The parameter's range in Optuna's words; a named list is a choice among its names."""
    if parameter.type == "choice":
        return CategoricalDistribution(parameter.labels)
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.type == "int":
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(float(parameter.low), float(parameter.high), parameter.log, parameter.step)


def _sampler(spec: SweepSpec, number: int) -> BaseSampler:
    seed = derive_seed(spec.name, number) % 2**32  # what numpy's RandomState takes
    if spec.sampler.name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(
        multivariate=True, group=True, constant_liar=True, n_startup_trials=spec.sampler.startup, seed=seed
    )


def _as_optuna(
    spec: SweepSpec, trial: TrialRecord, setting: Mapping[str, Any], space: dict[str, BaseDistribution]
) -> FrozenTrial:
    """One record as Optuna is told it: pruned trials with their value so far at the task it was reached."""
    params = {parameter.name: parameter.label(setting[parameter.name]) for parameter in spec.space}
    outcome = trial.outcome or {}
    value = outcome.get("objective")
    state = {
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
        "running": TrialState.RUNNING,
    }[trial.status]
    reached = {outcome["tasks_learned"]: value} if state == TrialState.PRUNED and value is not None else {}
    return optuna.trial.create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params=params,
        distributions=space,
        intermediate_values=reached,
    )
