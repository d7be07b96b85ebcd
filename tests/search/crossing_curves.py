"""Forgetting curves that cross, and sweeps over them without learning: ours, and Ray's ASHA as shipped.

The model of the project's notes on search (2.2): accuracy after t of 10 tasks is A_t = a - f log2 t, over 3
parameters. `crossing` raises plasticity (a) and forgetting (f) together along the first one. Rank correlations of A_1,
A_2, A_4, A_8 with A_10, over 500 settings: crossing 0: all .99; 0.5: .50 .74 .92 .99; 1: -.05 .26 .70 .98.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import optuna
from numpy.typing import NDArray

from clsearch.search.stopping import Curve, Rule, decide

TASKS = 10
PARALLEL = 6
NAMES = ("x0", "x1", "x2")
_SPACE = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in NAMES}
_CENTRE, _STEEP, _NOISE = np.array([0.5, 0.35, 0.6]), np.array([30.0, 20.0, 10.0]), 0.3

Point = NDArray[np.float64]


def accuracy(x: Point, crossing: float) -> Point:
    """The curve of a setting, without noise."""
    distance = float(((x - _CENTRE) ** 2 * _STEEP).sum())
    plasticity = 80.0 - distance + 24.0 * crossing * x[0]
    forgetting = 2.0 + 0.1 * distance + 9.5 * crossing * x[0]
    return plasticity - forgetting * np.log2(np.arange(1, TASKS + 1))


def optimum(crossing: float) -> float:
    """The best final accuracy there is."""
    grid = itertools.product(np.linspace(0.0, 1.0, 21), repeat=3)
    return max(float(accuracy(np.array(x), crossing)[-1]) for x in grid)


@dataclass(frozen=True)
class Run:
    """What a sweep ended with: the crowned trial's tasks and true final accuracy, how many trials, how many stopped."""

    tasks: int
    final: float
    trials: int
    stopped: int


@dataclass
class _Trial:
    number: int
    x: Point
    values: tuple[float, ...]  # measured, of all tasks
    learned: int = 0


def _trial(number: int, x: Point, crossing: float, seed: int) -> _Trial:
    noise = np.random.default_rng([seed, number]).normal(0.0, _NOISE, TASKS)
    return _Trial(number, x, tuple(map(float, accuracy(x, crossing) + noise)))


def ours(crossing: float, seed: int, budget: int, sampler: str, rule: Rule | None) -> Run:
    """A sweep as clsearch runs it, with guarded stopping by `rule` or without; `budget` tasks in all."""
    proposals = _Proposals(sampler, seed)
    running: list[_Trial] = []
    past: list[Curve] = []
    trials: dict[int, _Trial] = {}
    for _ in range(budget):
        if len(running) < PARALLEL or not running:
            trial = _trial(len(trials), proposals.ask(len(trials)), crossing, seed)
            trials[trial.number] = trial
            running.append(trial)
        trial = running.pop(0)
        trial.learned += 1
        curve = trial.values[: trial.learned]
        if trial.learned == TASKS:
            past.append(Curve(trial.number, curve, curve[-1]))
        elif rule is not None and decide(rule, trial.number, curve, past) is not None:
            past.append(Curve(trial.number, curve, None))
        else:
            running.append(trial)
            continue
        proposals.tell(trial.number, past[-1])
    complete = [curve for curve in past if curve.final is not None]
    best = max(complete, key=lambda curve: curve.final or 0.0)
    final = float(accuracy(trials[best.number].x, crossing)[-1])
    return Run(len(best.values), final, len(past), len(past) - len(complete))


class _Proposals:
    """A sampler told as clsearch tells its own."""

    def __init__(self, sampler: str, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            tpe = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=tpe) if sampler == "tpe" else None
        self._random = np.random.default_rng(seed)
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> Point:
        if self._study is None:
            return self._random.random(len(NAMES))
        self._asked[number] = self._study.ask(_SPACE)
        return np.array([self._asked[number].params[name] for name in NAMES])

    def tell(self, number: int, curve: Curve) -> None:
        if self._study is None:
            return
        trial = self._asked[number]
        for task, value in enumerate(curve.values, 1):
            trial.report(value, task)
        if curve.final is None:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, curve.final)


def shipped(crossing: float, seed: int, budget: int) -> Run:
    """Ray's ASHAScheduler and OptunaSearch as shipped (grace period 1, reduction factor 3), and Ray's choice."""
    from ray.tune import ExperimentAnalysis
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        search = OptunaSearch(space=dict(_SPACE), metric="accuracy", mode="max", seed=seed)
    scheduler = ASHAScheduler(
        time_attr="task", metric="accuracy", mode="max", max_t=TASKS, grace_period=1, reduction_factor=3
    )
    rays: dict[int, Trial] = {}
    trials: dict[int, _Trial] = {}
    running: list[_Trial] = []
    for _ in range(budget):
        if len(running) < PARALLEL:
            number = len(trials)
            config = search.suggest(str(number))
            trial = _trial(number, np.array([config[name] for name in NAMES]), crossing, seed)
            trials[number], rays[number] = trial, Trial("curve", trial_id=str(number), stub=True)
            scheduler.on_trial_add(None, rays[number])
            running.append(trial)
        trial = running.pop(0)
        trial.learned += 1
        name, ray_trial = str(trial.number), rays[trial.number]
        result = {
            "task": trial.learned,
            "training_iteration": trial.learned,
            "accuracy": trial.values[trial.learned - 1],
        }
        decision = scheduler.on_trial_result(None, ray_trial, result)
        ray_trial.update_last_result({**result, "trial_id": name})
        if decision == scheduler.STOP:
            scheduler.on_trial_complete(None, ray_trial, result)
            search.on_trial_complete(name, result)
        else:
            search.on_trial_result(name, result)
            running.append(trial)
    analysis = ExperimentAnalysis.__new__(ExperimentAnalysis)  # of these trials, without a folder on a disk
    analysis.trials = list(rays.values())
    best = trials[int(analysis.get_best_trial("accuracy", "max", scope="last").trial_id)]
    stopped = sum(trial.learned < TASKS for trial in trials.values()) - len(running)
    return Run(best.learned, float(accuracy(best.x, crossing)[-1]), len(trials), stopped)
