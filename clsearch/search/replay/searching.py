"""One search in one world: Optuna proposes, the table answers, a rule may stop. What it costs is not asked here."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from clsearch.search.replay.policies import Policy
from clsearch.search.replay.space import Units
from clsearch.search.replay.worlds import World
from clsearch.search.stopping import Curve, Rule, decide
from clsearch.search.study import distribution

STARTUP = 10  # trials of random proposals before TPE: Optuna's default and that of a sweep


@dataclass(frozen=True)
class Step:
    """One trial of a search.

    Attributes:
        unit: what was tried.
        tasks: how many tasks it learned.
        score: what Optuna and the choice of the winner see: the mean over the seeds, the best eval setting's, at the
            last task learned.
        eval_setting: the one that gave it.
        complete: whether every task was learned.
        stored: tasks whose stages were in the store already, by an earlier trial that was trained exactly the same.
    """

    unit: int
    tasks: int
    score: float
    eval_setting: int
    complete: bool
    stored: int


def search(policy: Policy, units: Units, world: World, stages: int, seed: int) -> list[Step]:
    """The trials of one search, until so many stages (over all seeds) are learned or nothing is left to try.

    Trials run one at a time. The published setting is the first; then the sampler proposes, and the nearest unit that
    was not tried yet stands for what it proposes: that unit is what it is told of.
    """
    proposer = _Proposer(policy, units, seed)
    tasks = world.scores.shape[-1]
    stopper = _stopper(policy, tasks)
    free = list(range(len(units)))
    learned: dict[int, int] = {}  # tasks, by setting
    steps: list[Step] = []
    spent = 0
    while free and spent < stages:
        if not steps and units.published is not None:
            unit, exact = units.published, True
        else:
            labels = proposer.propose()
            unit = units.nearest(labels, free)
            exact = units.learned_as(unit, labels)
        free.remove(unit)
        setting, evals = units.cells[unit]
        curves = world.scores[: policy.seeds, setting, list(evals)].mean(axis=0)
        values = curves.max(axis=0)
        ran = stopper.run(len(steps), values)
        step = Step(
            unit=unit,
            tasks=ran,
            score=float(values[ran - 1]),
            eval_setting=evals[int(np.argmax(curves[:, ran - 1]))],
            complete=ran == tasks,
            # A neighbour that stands for another setting is not what the store would have held.
            stored=min(ran, learned.get(setting, 0)) if exact else 0,
        )
        learned[setting] = max(ran, learned.get(setting, 0))
        proposer.tell(step, pruned=policy.stopping == "guarded" and not step.complete)
        steps.append(step)
        spent += policy.seeds * ran * policy.trainings(len(evals))
    return steps


class _Stopper(Protocol):
    """Says how far a trial of a given curve runs, trials being told in order."""

    def run(self, number: int, values: NDArray[np.float64]) -> int: ...


class _Proposer:
    """An Optuna study of one search."""

    def __init__(self, policy: Policy, units: Units, seed: int) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        self._units = units
        self._space = {parameter.name: distribution(parameter) for parameter in units.parameters}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            self._study = optuna.create_study(sampler=_sampler(policy, seed), direction="maximize")

    def propose(self) -> Mapping[str, Any]:
        asked = self._study.ask(self._space)
        # What stands for it is told instead; a failed trial is not looked at by any sampler.
        self._study.tell(asked, state=TrialState.FAIL)
        return asked.params

    def tell(self, step: Step, pruned: bool) -> None:
        known = math.isfinite(step.score)
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if pruned else TrialState.COMPLETE if known else TrialState.FAIL,
            value=step.score if known and not pruned else None,
            params=dict(self._units.labels[step.unit]),
            distributions=self._space,
            intermediate_values={step.tasks: step.score} if pruned and known else {},
        )
        self._study.add_trial(trial)


def _sampler(policy: Policy, seed: int) -> BaseSampler:
    if policy.sampler == "random":
        return RandomSampler(seed=seed)
    # A sweep's TPE but for `group`, which is for trials that differ in their parameters: here all have all of them.
    return TPESampler(multivariate=True, constant_liar=True, n_startup_trials=STARTUP, seed=seed)


def _stopper(policy: Policy, tasks: int) -> _Stopper:
    if policy.stopping == "guarded":
        return _Guarded(Rule(tasks))
    return _Asha(tasks) if policy.stopping == "asha" else _Never()


class _Never:
    def run(self, number: int, values: NDArray[np.float64]) -> int:
        return len(values)


class _Guarded:
    """As a sweep with `stopping.name=guarded` does it."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._past: list[Curve] = []

    def run(self, number: int, values: NDArray[np.float64]) -> int:
        curve = tuple(float(value) for value in values)
        rungs = self._rule.rungs()
        ran = next((t for t in rungs if decide(self._rule, number, curve[:t], self._past) is not None), len(curve))
        self._past.append(Curve(number, curve[:ran], curve[-1] if ran == len(curve) else None))
        return ran


@dataclass(frozen=True)
class _FakeTrial:
    trial_id: str


class _Asha:
    """Ray's scheduler itself, told of results as Tune would tell it; all but `max_t` as shipped."""

    def __init__(self, tasks: int) -> None:
        from ray.tune.schedulers import ASHAScheduler  # a second or two, which other policies need not pay

        # It asks of a trial nothing but its name, and nothing of the controller.
        self._scheduler: Any = ASHAScheduler(time_attr="task", metric="value", mode="max", max_t=tasks)

    def run(self, number: int, values: Sequence[float] | NDArray[np.float64]) -> int:
        trial = _FakeTrial(str(number))
        self._scheduler.on_trial_add(None, trial)
        result: dict[str, float] = {}
        for task, value in enumerate(values, 1):
            result = {"task": task} | ({"value": float(value)} if math.isfinite(value) else {})
            if self._scheduler.on_trial_result(None, trial, result) == self._scheduler.STOP:
                break
        self._scheduler.on_trial_complete(None, trial, result)
        return int(result["task"])
