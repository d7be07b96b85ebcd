"""Many repetitions of search policies over a table, and what they say: what each pays for equal regret.

The target is the regret that a lab of today can count on: the one that `today` ends at or below in four of five
repetitions, after as many trials as asked for (of its median, every second repetition would fall short). A policy's
cost to equal regret, in one repetition, is what it had spent when its regret came down to the target for good: what it
would hand out is at the target or below from there to the end of its search. Every policy may go on until it has
learned as many stages as `today` did, or nothing is left to try. Repetition r has one world and one sampler seed for
all policies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clsearch.errors import UsageError
from clsearch.results.tables import Table
from clsearch.search.replay.handing import Run, hand_out
from clsearch.search.replay.policies import PAIRS_CONFIRMED, Policy, read_policies
from clsearch.search.replay.searching import Step, search
from clsearch.search.replay.space import Units, units
from clsearch.search.replay.worlds import Costs, World, costs, real_seeds, virtual_seeds
from clsearch.spec.seeds import derive_seed

Floats = NDArray[np.float64]
_EQUAL = 1e-9  # points: regrets closer than that differ by rounding
COUNTED_ON = 0.8  # share of the repetitions in which the reference reaches the target, by definition
_CONFIRMED = 2  # settings: the winner and the published one


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over the repetitions; infinite where so many never reach the target."""

    low: float
    median: float
    high: float

    @staticmethod
    def of(values: Sequence[float] | Floats) -> Spread:
        """Of numbers that may be infinite: a quantile is one of them, never between two."""
        low, median, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75), method="higher")
        return Spread(float(low), float(median), float(high))


@dataclass(frozen=True)
class Verdict:
    """What the repetitions say of one policy.

    Attributes:
        seconds, sequences: to equal regret, confirmation included.
        factor: the median seconds of `today` over these seconds (0 where the target is not reached).
        factor_search: the same without the confirmation, which is the same for all.
        regret: at the end of the search, in points.
        never: share of repetitions that do not reach the target.
        unfinished: share of repetitions in which the final winner had not learned its whole sequence.
        stopped: mean share of trials that were stopped.
        stored: mean share of stages that were found in the store.
    """

    policy: Policy
    seconds: Spread
    sequences: Spread
    factor: Spread
    factor_search: Spread
    regret: Spread
    never: float
    unfinished: float
    stopped: float
    stored: float


@dataclass(frozen=True, eq=False)
class Study:
    """A replay of several policies over one table.

    Attributes:
        seeds: `virtual` (the noise model of `worlds`) or `real` (a pair of the table).
        reference: the policy whose end sets the target: `today`; on real seeds `tpe`.
        trials: of the reference.
        target: regret in points.
        confirmation: seconds, in every policy's cost.
        runs: by policy, one per repetition.
    """

    table: Table
    seeds: str
    reference: str
    repetitions: int
    trials: int
    target: float
    confirmation: float
    confirmed: int  # sequences of the confirmation
    verdicts: tuple[Verdict, ...]
    runs: Mapping[str, tuple[Run, ...]]


def replay(
    table: Table, policies: Sequence[Policy], repetitions: int, seed: int, trials: int | None = None, real: bool = False
) -> Study:
    """Run every policy in `repetitions` worlds.

    Args:
        trials: how many `today` makes; None: as many as the table has settings.
        real: search on one real pair and score on the others, in place of virtual seeds. Then `tpe` is the reference,
            and policies that need several pairs are refused.

    Raises:
        UsageError: the table has too few settings or pairs; a policy cannot be replayed on real pairs.
    """
    budget = _trials(table, trials)
    cost = costs(table)
    reference = read_policies(["tpe" if real else "today"])[0]
    if real:
        _check_real(policies)
        world_of = real_seeds(table)
    else:
        world_of = _virtual(table, max(policy.pairs for policy in (*policies, reference)), seed)
    kinds = {whole: units(table, whole) for whole in (False, True)}
    stages = budget * reference.seeds * cost.learn.shape[-1]
    every = {policy.name: policy for policy in (*policies, reference)}
    runs: dict[str, list[Run]] = {name: [] for name in every}
    for repetition in range(repetitions):
        once = _Repetition(world_of(repetition), kinds, cost, stages, derive_seed("replay", seed, repetition) % 2**32)
        for name, policy in every.items():
            runs[name].append(once.run(policy))
    confirmed = _CONFIRMED * PAIRS_CONFIRMED
    ends = [run.regret[-1] for run in runs[reference.name]]
    target = float(np.quantile(ends, COUNTED_ON, method="higher"))
    figures = _Figures(target, confirmed * cost.sequence, confirmed, runs[reference.name])
    return Study(
        table=table,
        seeds="real" if real else "virtual",
        reference=reference.name,
        repetitions=repetitions,
        trials=budget,
        target=target,
        confirmation=figures.confirmation,
        confirmed=confirmed,
        verdicts=tuple(figures.verdict(policy, runs[policy.name]) for policy in policies),
        runs={policy.name: tuple(runs[policy.name]) for policy in policies},
    )


def _trials(table: Table, asked: int | None) -> int:
    cells = len(table.settings) * len(table.eval_settings)
    if asked is not None and not 1 <= asked <= cells:
        raise UsageError(f"--trials {asked}: {table.where} answers 1 to {cells} trials (settings x eval settings)")
    return len(table.settings) if asked is None else asked


def _check_real(policies: Sequence[Policy]) -> None:
    for policy in policies:
        if policy.pairs > 1:
            raise UsageError(
                f"policy '{policy.name}' needs {policy.pairs} pairs of seeds, and --real searches on one: give "
                "policies such as random, tpe, asha, tpe+evaluate_many, tpe+stopping"
            )


def _virtual(table: Table, pairs: int, seed: int) -> Callable[[int], World]:
    noise = virtual_seeds(table)
    return lambda repetition: noise.draw(pairs, np.random.default_rng([seed, repetition]))


class _Repetition:
    """One world and one sampler seed. Policies that search alike and differ in what follows share their search."""

    def __init__(self, world: World, kinds: Mapping[bool, Units], cost: Costs, stages: int, sampler_seed: int) -> None:
        self._world, self._kinds, self._cost = world, kinds, cost
        self._stages, self._seed = stages, sampler_seed
        self._searches: dict[tuple[object, ...], list[Step]] = {}

    def run(self, policy: Policy) -> Run:
        kind = self._kinds[policy.evals != "sampled"]
        key = (policy.sampler, policy.seeds, policy.evals, policy.stopping)
        if key not in self._searches:
            self._searches[key] = search(policy, kind, self._world, self._stages, self._seed)
        return hand_out(policy, kind, self._searches[key], self._world, self._cost)


def _factor(reference: float, paid: Spread) -> Spread:
    return Spread(reference / paid.high, reference / paid.median, reference / paid.low)


@dataclass(frozen=True)
class _Figures:
    """What every policy is measured against."""

    target: float
    confirmation: float
    confirmed: int
    reference: Sequence[Run]

    def verdict(self, policy: Policy, runs: Sequence[Run]) -> Verdict:
        seconds, sequences = np.array([self.reached(run) for run in runs]).T
        paid = Spread.of([self.reached(run)[0] for run in self.reference]).median
        return Verdict(
            policy=policy,
            seconds=Spread.of(seconds + self.confirmation),
            sequences=Spread.of(sequences + self.confirmed),
            factor=_factor(paid + self.confirmation, Spread.of(seconds + self.confirmation)),
            factor_search=_factor(paid, Spread.of(seconds)),
            regret=Spread.of([run.regret[-1] for run in runs]),
            never=float(np.isinf(seconds).mean()),
            unfinished=float(np.mean([run.unfinished[-1] for run in runs])),
            stopped=float(np.mean([run.stopped for run in runs])),
            stored=float(np.mean([run.stored for run in runs])),
        )

    def reached(self, run: Run) -> tuple[float, float]:
        """Seconds and sequences spent when the regret came down to the target for good; infinite if it did not."""
        above = np.flatnonzero(run.regret > self.target + _EQUAL)
        first = int(above[-1]) + 1 if len(above) else 0
        if first == len(run.regret):
            return float("inf"), float("inf")
        return float(run.seconds[first]), float(run.sequences[first])
