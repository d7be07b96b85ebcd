"""What a policy would hand out if it stopped after each of its trials, what that is worth, and what it has cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clsearch.results.race import race
from clsearch.search.replay.policies import Policy, RaceOf
from clsearch.search.replay.searching import Step
from clsearch.search.replay.space import Units
from clsearch.search.replay.worlds import Costs, World

Floats = NDArray[np.float64]
Cell = tuple[int, int]  # setting, eval setting


@dataclass(frozen=True, eq=False)
class Run:
    """One policy in one world, by trial: the search so far, the race that would follow it, and the winner's regret.

    Attributes:
        seconds, sequences: spent by search and race, without the confirmation.
        regret: the best cell's truth less the winner's, in the metric's points; never negative.
        unfinished: whether the winner was a trial that had not learned its whole sequence.
        stopped: the share of trials that were stopped, in the whole search.
        stored: the share of stages that were in the store already and were not learned again, in the whole search.
    """

    seconds: Floats
    sequences: Floats
    regret: Floats
    unfinished: NDArray[np.bool_]
    stopped: float
    stored: float


def hand_out(policy: Policy, units: Units, steps: Sequence[Step], world: World, costs: Costs) -> Run:
    """The run of a policy's search; `steps` as of `searching.search`."""
    best = world.truth.max()
    races = _Races(policy, units, world, costs)
    seconds = sequences = 0.0
    rows: list[tuple[float, float, float, bool]] = []
    for number, step in enumerate(steps, 1):
        spent = _spent(policy, units, step, costs)
        seconds, sequences = seconds + spent[0], sequences + spent[1]
        winner = _winner(policy, steps[:number])
        if winner is None:
            continue
        end = races.after(steps[:number], _cell(units, winner))
        regret = float(best - world.truth[end.winner])
        rows.append((seconds + end.seconds, sequences + end.sequences, regret, not winner.complete))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    asked = sum(policy.seeds * step.tasks * _trials(policy, units, step) for step in steps) / costs.learn.shape[-1]
    return Run(
        seconds=columns[0],
        sequences=columns[1],
        regret=columns[2],
        unfinished=columns[3],
        stopped=sum(not step.complete for step in steps) / len(steps),
        stored=1 - sequences / asked if policy.reuse else 0.0,
    )


def _spent(policy: Policy, units: Units, step: Step, costs: Costs) -> tuple[float, float]:
    """Seconds and sequences of one trial, over all of its seeds."""
    setting, evals = units.cells[step.unit]
    known = step.stored if policy.reuse else 0
    learned = policy.seeds * policy.trainings(len(evals))
    learn = float(costs.learn[setting, known : step.tasks].sum())
    evaluate = float(costs.evaluate[setting, list(evals), : step.tasks].sum())
    return learned * learn + policy.seeds * evaluate, learned * (step.tasks - known) / costs.learn.shape[-1]


def _trials(policy: Policy, units: Units, step: Step) -> int:
    """As how many trials a lab would count the step."""
    return len(units.cells[step.unit][1]) if policy.evals == "each" else 1


def _winner(policy: Policy, steps: Sequence[Step]) -> Step | None:
    """The best complete trial, the first of equals; as shipped, Ray takes the best last result of any."""
    able = [step for step in steps if (step.complete or policy.stopping == "asha") and math.isfinite(step.score)]
    return max(able, key=lambda step: step.score) if able else None


def _cell(units: Units, step: Step) -> Cell:
    return units.cells[step.unit][0], step.eval_setting


@dataclass(frozen=True)
class _End:
    """Who is handed out after the race, and what the race took."""

    winner: Cell
    seconds: float = 0.0
    sequences: float = 0.0


class _Races:
    """The races of one run, all on the same fresh pairs, so that equal candidates have one race."""

    def __init__(self, policy: Policy, units: Units, world: World, costs: Costs) -> None:
        self._policy, self._units, self._costs = policy, units, costs
        self._scores = world.scores[policy.seeds :, :, :, -1]
        self._known: dict[tuple[Cell, ...], _End] = {}

    def after(self, steps: Sequence[Step], winner: Cell) -> _End:
        """What comes after a search of these trials, whose best one is `winner`."""
        asked = self._policy.race
        if asked is None:
            return _End(winner)
        able = [step for step in steps if step.complete and math.isfinite(step.score)]
        top = sorted(able, key=lambda step: -step.score)[: asked.top]  # stable: the first of equals first
        cells = dict.fromkeys(_cell(self._units, step) for step in top)
        if self._units.published is not None and steps[0].unit == self._units.published:
            cells |= {(self._units.cells[self._units.published][0], 0): None}
        candidates = tuple(cells)
        if len(candidates) < 2:
            return _End(winner)
        if candidates not in self._known:
            self._known[candidates] = self._run(asked, candidates)
        return self._known[candidates]

    def _run(self, asked: RaceOf, candidates: tuple[Cell, ...]) -> _End:
        scores = np.array([self._scores[: asked.pairs, setting, at] for setting, at in candidates]).T
        state = race(scores, asked.level, "max")
        assert state.winner is not None
        pairs = dict.fromkeys(state.left, state.pairs_done) | {drop.candidate: drop.pairs for drop in state.dropped}
        learned: dict[int, int] = {}
        seconds = 0.0
        sequences = 0
        for at, (setting, eval_setting) in enumerate(candidates):
            seconds += pairs[at] * float(self._costs.evaluate[setting, eval_setting].sum())
            # One training serves all eval settings of a setting only where trials are trained so.
            key = setting if self._policy.evals == "shared" else -1 - at
            new = max(0, pairs[at] - learned.get(key, 0))
            learned[key] = learned.get(key, 0) + new
            seconds += new * float(self._costs.learn[setting].sum())
            sequences += new
        return _End(candidates[state.winner], seconds, sequences)
