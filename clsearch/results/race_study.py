"""How a race does on a table: how often it separates what is tied, and how often it drops what is best."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from clsearch.results.intervals import points
from clsearch.results.race import FIRST_LOOK, Direction, Floats, race


@dataclass(frozen=True)
class RaceStudy:
    """Shares and means over the repetitions of one study.

    Attributes:
        pairs, candidates, repetitions: how many pairs a race had at most, how many candidates; how many races.
        tied_separated: share of the races of two tied candidates in which one was dropped; at most the level.
        best_dropped: share of the races of all candidates in which the truly best was dropped; at most half the level.
        best_won: share in which the truly best won.
        regret: mean over races of the true mean of the best less the winner's, in points (never negative).
        pairs_spent: mean share of candidates x pairs that the race learned: its cost.
    """

    pairs: int
    candidates: int
    repetitions: int
    level: float
    tied_separated: float
    best_dropped: float
    best_won: float
    regret: float
    pairs_spent: float


def race_study(
    scores: ArrayLike,
    level: float,
    repetitions: int,
    seed: int,
    *,
    direction: Direction = "max",
    pairs: int | None = None,
    first_look: int = FIRST_LOOK,
) -> RaceStudy:
    """Races over a complete table of scores, its pairs drawn in a new order each time.

    Pairs are drawn without replacement: with it, a race would meet the same pair twice and take noise for certainty.
    The truth is each candidate's mean over all pairs of the table. Two tied candidates are made of any two columns:
    what each differs from its own mean by, swapped between the two at random in every pair, so that either is as good
    as the other by construction while the noise is the table's own.

    Args:
        scores: (pairs, candidates), all finite.
        pairs: of one race at most; None: all that the table has.

    Raises:
        ValueError: a score is missing, or there are fewer than two candidates, pairs or repetitions than needed.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise ValueError("a study takes finite scores of pairs x at least two candidates")
    length = len(table) if pairs is None else pairs
    if not 1 <= length <= len(table) or repetitions < 1:
        raise ValueError(f"a study of {repetitions} races of {length} pairs cannot be made of {len(table)} pairs")
    random = np.random.default_rng(seed)
    truth = points(table.mean(axis=0)) * (-1.0 if direction == "min" else 1.0)
    best = set(np.flatnonzero(truth == truth.max()).tolist())
    columns = list(combinations(range(table.shape[1]), 2))
    separated = dropped = won = 0
    regret = spent = 0.0
    for _ in range(repetitions):
        order = random.permutation(len(table))[:length]
        two = columns[random.integers(len(columns))]
        separated += bool(race(_tied(table[:, two], random)[order], level, direction, first_look).dropped)
        state = race(table[order], level, direction, first_look)
        assert state.winner is not None
        dropped += best <= {drop.candidate for drop in state.dropped}
        won += state.winner in best
        regret += float(truth.max() - truth[state.winner])
        spent += len(state.left) * state.pairs_done + sum(drop.pairs for drop in state.dropped)
    return RaceStudy(
        pairs=length,
        candidates=table.shape[1],
        repetitions=repetitions,
        level=level,
        tied_separated=separated / repetitions,
        best_dropped=dropped / repetitions,
        best_won=won / repetitions,
        regret=regret / repetitions,
        pairs_spent=spent / repetitions / table[:length].size,
    )


def _tied(two: Floats, random: np.random.Generator) -> Floats:
    """Two columns without their means, the two scores of every pair swapped or not at random."""
    noise = two - two.mean(axis=0)
    swapped = random.random(len(two)) < 0.5
    tied: Floats = np.where(swapped[:, None], noise[:, ::-1], noise)
    return tied
