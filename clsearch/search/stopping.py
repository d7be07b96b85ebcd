"""Whether a trial is stopped after a task: plain curves in, a decision out. A function of the trials that have ended.

A curve is the objective's metric after each task. At a rung (so many tasks learned) a trial is stopped when it is worse
than the median of the trials that reached the same rung; they learned the same tasks in the same order. Curves may
cross, because a setting that learns fast may also forget fast, so two things hold it back:

- The guard. Nothing is stopped at a rung until the order there is known to tell the final order: the lower 90 % bound
  of Spearman's rank correlation between the two must exceed 0.5, over at least 8 complete trials. It may close again.
- The exempt. One trial in five is never stopped, nor are the settings fixed beforehand. Together with the trials before
  the first stopped one they are the guard's evidence: that these are complete says nothing of their values.

The guard is looked at anew with every trial, and the bound is that of one look: it is a brake, not a test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clsearch.spec.sweep import SweepSpec

# All four are our choice. With 8 trials a sample correlation of 0.84 opens the guard, with 20 one of 0.72.
LEAST_TRIALS = 8
LEAST_CORRELATION = 0.5
LEVEL = 0.90  # of the one-sided lower bound
EXEMPT_EVERY = 5

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Curve:
    """One ended trial: the metric after tasks 1, 2, ... as far as it came, and its final value if it is complete."""

    number: int
    values: tuple[float, ...]  # NaN where the metric is not defined yet (forgetting after one task)
    final: float | None  # None: stopped


@dataclass(frozen=True)
class Rule:
    """What a trial is judged by. `named`: how many settings were fixed beforehand, the trials 0, 1, ..."""

    tasks: int
    direction: Direction = "max"
    value: Literal["so_far", "extrapolated"] = "so_far"
    first_rung: int = 2
    named: int = 1

    def rungs(self) -> tuple[int, ...]:
        """The first rung and its doublings before the last task (our choice; ASHA's with reduction factor 2)."""
        doublings = (self.first_rung * 2**i for i in range(max(1, self.tasks).bit_length()))
        return tuple(rung for rung in doublings if rung < self.tasks)

    def exempt(self, number: int) -> bool:
        """Whether the trial of this number is never stopped."""
        return number % EXEMPT_EVERY == 0 or number < self.named

    def at(self, values: Sequence[float], rung: int) -> float:
        """The value by which a curve is judged at a rung; NaN where it says nothing, as on a curve that is shorter."""
        if len(values) < rung:
            return math.nan
        return values[rung - 1] if self.value == "so_far" else extrapolate(values[:rung], self.tasks)


@dataclass(frozen=True)
class Guard:
    """What is known of a rung: rank correlation with the final value, its lower bound (NaN: none is known)."""

    rung: int
    correlation: float
    bound: float
    trials: int

    @property
    def open(self) -> bool:
        """Whether trials may be stopped at this rung."""
        return self.bound > LEAST_CORRELATION

    def figures(self) -> str:
        """What it rests on, in words."""
        if self.trials < LEAST_TRIALS:
            return f"{self.trials} of at least {LEAST_TRIALS} complete trials that tell"
        return (
            f"rank correlation with the end {self.correlation:.2f}, lower {LEVEL:.0%} bound {self.bound:.2f} "
            f"(above {LEAST_CORRELATION} opens), {self.trials} complete trials"
        )

    def __str__(self) -> str:
        return f"task {self.rung} is {'open' if self.open else 'closed'}: {self.figures()}"


@dataclass(frozen=True)
class Stop:
    """A decision to stop after a task, with what it rests on."""

    value: float
    median: float
    compared: int  # trials that reached the rung
    guard: Guard

    def to_json(self) -> dict[str, Any]:
        """The decision as an outcome tells it."""
        guard = {"correlation": self.guard.correlation, "bound": self.guard.bound, "trials": self.guard.trials}
        return {"task": self.guard.rung, "value": self.value, "median": self.median, "compared": self.compared} | guard


def rule_of(spec: SweepSpec) -> Rule:
    """The rule of a sweep, by the tasks that its search learns; also of one whose stopping is off."""
    return Rule(
        tasks=spec.course("search").tasks,
        direction=spec.objective.direction,
        value=spec.stopping.value,
        first_rung=spec.stopping.first_rung,
        named=len(spec.named_settings()),
    )


def past_curves(outcomes: Iterable[tuple[int, Mapping[str, Any] | None]]) -> list[Curve]:
    """The curves of ended trials, by (number, outcome); trials that failed or run, or have no curve, are left out."""
    found = []
    for number, outcome in outcomes:
        if outcome is not None and outcome["status"] in ("complete", "pruned") and outcome.get("curve"):
            values = tuple(math.nan if value is None else float(value) for value in outcome["curve"])
            final = float(outcome["objective"]) if outcome["status"] == "complete" else None
            found.append(Curve(number, values, final))
    return found


def decide(rule: Rule, number: int, values: Sequence[float], past: Sequence[Curve]) -> Stop | None:
    """Whether the trial whose curve is `values` is stopped now, after task `len(values)`; None: it goes on.

    Args:
        past: the trials that have ended, in any order; those still running are not compared with, so that the decision
            depends on what is in the store alone.
    """
    rung = len(values)
    if rung not in rule.rungs() or rule.exempt(number):
        return None
    guard = guard_at(rule, rung, past)
    value = rule.at(values, rung)
    reached = [other for curve in past if math.isfinite(other := rule.at(curve.values, rung))]
    if not guard.open or not reached or not math.isfinite(value):
        return None
    median = float(np.median(reached))
    worse = value < median if rule.direction == "max" else value > median
    return Stop(value, median, len(reached), guard) if worse else None


def guard_at(rule: Rule, rung: int, past: Sequence[Curve]) -> Guard:
    """The guard of a rung, over the complete trials whose being complete says nothing of their value."""
    first_stopped = min((curve.number for curve in past if curve.final is None), default=math.inf)
    pairs = [
        (value, curve.final)
        for curve in past
        if curve.final is not None and (rule.exempt(curve.number) or curve.number < first_stopped)
        if math.isfinite(value := rule.at(curve.values, rung)) and math.isfinite(curve.final)
    ]
    if len(pairs) < LEAST_TRIALS:
        return Guard(rung, math.nan, math.nan, len(pairs))
    correlation = spearman(*np.array(pairs).T)
    return Guard(rung, correlation, lower_bound(correlation, len(pairs)), len(pairs))


def extrapolate(values: Sequence[float], tasks: int) -> float:
    """The value after the last task by least squares of A_t = a - f log2 t over the tasks so far.

    That is the model of forgetting of the project's notes on search (section 2.2). NaN below two defined values.
    """
    known = tuple(task for task, value in enumerate(values, 1) if math.isfinite(value))
    if len(known) < 2:
        return math.nan
    return sum(weight * values[task - 1] for task, weight in zip(known, _weights(known, tasks), strict=True))


@lru_cache
def _weights(known: tuple[int, ...], tasks: int) -> tuple[float, ...]:
    """By what the values after these tasks are multiplied in the fitted value after the last one."""
    x = np.log2(known)
    off = x - x.mean()
    return tuple((1.0 / len(known) + off * (math.log2(tasks) - x.mean()) / (off**2).sum()).tolist())


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Spearman's rank correlation; equal values have the mean of their ranks. NaN where one side is constant."""
    x, y = _ranks(first), _ranks(second)
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale else math.nan


def lower_bound(correlation: float, trials: int) -> float:
    """The one-sided lower 90 % bound of a Spearman correlation of at least 4 trials; NaN where there is none.

    Fisher's z with the standard error sqrt((1 + r^2 / 2) / (n - 3)) of Bonett and Wright (Psychometrika 65, 2000). A
    correlation of 1 has no finite z: it is taken half of the least step that ranks allow below 1 (our choice).
    """
    if math.isnan(correlation):
        return math.nan
    most = 1.0 - 6.0 / (trials * (trials**2 - 1))
    r = max(-most, min(most, correlation))
    error = math.sqrt((1.0 + r**2 / 2.0) / (trials - 3))
    return math.tanh(math.atanh(r) - NormalDist().inv_cdf(LEVEL) * error)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2.0)[place]
    return ranks
