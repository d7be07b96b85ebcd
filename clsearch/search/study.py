"""A sweep's trials as an Optuna study: what a sampler is asked with, and what is exported.

Nothing is kept in a study: it is made of the store's records in the order of their numbers whenever one is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from clsearch.results.trials import TrialRecord
from clsearch.spec.conditions import in_order
from clsearch.spec.parameters import Parameter, parameter_from_json
from clsearch.spec.sweep import SweepSpec

_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


@dataclass(frozen=True)
class Problem:
    """What is searched: parameters (each after those its condition names), which way is better, what it may cost."""

    name: str
    space: tuple[Parameter, ...]
    direction: Literal["max", "min"]
    limits: Mapping[str, float]

    @staticmethod
    def of(spec: SweepSpec) -> Problem:
        """The problem of a sweep."""
        return Problem(spec.name, spec.space, spec.objective.direction, spec.constraints.limits())

    @staticmethod
    def stored(name: str, identity: Mapping[str, Any]) -> Problem:
        """The problem of a stored sweep, from its identity."""
        space = [parameter_from_json(identity["method"], key, facts) for key, facts in identity["space"].items()]
        direction = identity["objective"]["direction"]
        return Problem(name, in_order(space), direction, identity.get("constraints", {}))


def make_study(
    problem: Problem,
    trials: Iterable[FrozenTrial],
    sampler: BaseSampler | None = None,
    storage: BaseStorage | str | None = None,
) -> optuna.Study:
    """A study of the trials, which take the numbers 0, 1, ... in their order; in memory unless a storage is given."""
    with quiet():
        study = optuna.create_study(
            study_name=problem.name, direction=_DIRECTIONS[problem.direction], sampler=sampler, storage=storage
        )
        study.add_trials(trials)
    return study


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna logs each study and each trial that it is told, and warns of what is only slower without greenlet."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def as_optuna(
    problem: Problem, record: TrialRecord, setting: Mapping[str, Any], attributes: Mapping[str, Any] | None = None
) -> FrozenTrial:
    """One record as Optuna is told it.

    Its intermediate values are the objective after each task; a pruned trial has no other. A complete one has its
    constraints: by which share of the limit it costs more (above 0: not feasible) or less, so that parameters and
    gigabytes weigh the same.

    Args:
        setting: its parameters: the active ones, or all.
        attributes: its user attributes.
    """
    outcome = record.outcome or {}
    state = _STATES[record.status]
    space = [parameter for parameter in problem.space if parameter.name in setting]
    curve = enumerate(outcome.get("curve") or (), start=1)
    trial = optuna.trial.create_trial(
        state=state,
        value=record.objective,
        params={parameter.name: parameter.label(setting[parameter.name]) for parameter in space},
        distributions={parameter.name: distribution(parameter) for parameter in space},
        intermediate_values={task: value for task, value in curve if value is not None},
        constraints=_excess(problem.limits, outcome) if state == TrialState.COMPLETE else None,
        user_attrs=dict(attributes or {}),
    )
    trial.datetime_start = _local((record.claim or {}).get("claimed_at")) or trial.datetime_start
    if state.is_finished():
        trial.datetime_complete = _local(outcome.get("finished_at")) or trial.datetime_complete
    return trial


def distribution(parameter: Parameter) -> BaseDistribution:
    """The parameter's range in Optuna's words; a named list is a choice among its names."""
    if parameter.type == "choice":
        return CategoricalDistribution(parameter.labels)
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.type == "int":
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(float(parameter.low), float(parameter.high), parameter.log, parameter.step)


def _excess(limits: Mapping[str, float], outcome: Mapping[str, Any]) -> dict[str, float]:
    """A cost that was not measured counts as the limit itself: it says nothing either way."""
    costs = {name: outcome.get("costs", {}).get(name) for name in limits}
    return {
        name: 0.0 if costs[name] is None else (costs[name] - limit) / (limit or 1.0) for name, limit in limits.items()
    }


def _local(text: Any) -> datetime | None:
    """A moment of the store as Optuna has it: local time, without a zone."""
    return None if text is None else datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
