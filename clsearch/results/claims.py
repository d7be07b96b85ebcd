"""What is said of the winner against another setting: mean difference and interval; and of the published one, a claim.

The claim is one paired t test at the verdict's level (5 %, shared among a sweep's successive winners), winner against
published, of the sweep's objective, on the pairs of seeds that the verdict fixed before their test rows were read:
never at another number of pairs, never of another metric. Pairs that come later sharpen the mean and its interval, and
leave the claim as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clsearch.results.intervals import Gap, paired_gap, t_test
from clsearch.results.verdicts import CLAIM_LEVEL, Pair, Verdict
from clsearch.spec.sweep import PAIRS_FOR_A_CLAIM

Scores = Mapping[Pair, float]  # by (run seed, order seed)


@dataclass(frozen=True)
class Claim:
    """The outcome of the one test."""

    p: float
    pairs: int
    level: float
    separated: bool
    winner_is_better: bool

    def __str__(self) -> str:
        test = f"paired t test on the {self.pairs} pairs fixed beforehand, p = {self.p:.2g}"
        if not self.separated:
            return f"not separated at {self._level} ({test})"
        return (
            f"separated at {self._level}{'' if self.winner_is_better else ', the published setting is better'} ({test})"
        )

    @property
    def _level(self) -> str:
        whole = f"{100 * self.level:.2g} %"
        shared = round(CLAIM_LEVEL / self.level)
        return whole if shared == 1 else f"{whole}, shared among the sweep's {shared} winners so far"


@dataclass(frozen=True)
class Comparison:
    """The winner less another setting over the pairs that both have; a claim, or why there is none."""

    against: str
    gap: Gap
    claim: Claim | None
    no_claim: str | None  # None also where none is ever made: against a setting of the company

    @property
    def said(self) -> str:
        """The claim, or why there is none; and without a claim, `not separated` where the interval holds zero."""
        if self.claim is not None:
            return str(self.claim)
        gap = self.gap
        open_ = gap.low is not None and gap.high is not None and gap.low <= 0 <= gap.high
        none = [] if self.no_claim is None else [f"no claim: {self.no_claim}"]
        return "; ".join([*(["not separated"] if open_ else []), *none])

    def __str__(self) -> str:
        """`+1.20 points, 95 % interval [+0.30, +2.10], n = 8: separated at 5 % (...)`."""
        gap = self.gap
        known = gap.low is not None and gap.high is not None
        interval = f"95 % interval [{gap.low:+.2f}, {gap.high:+.2f}]" if known else "no interval"
        return f"{gap.mean:+.2f} points, {interval}, n = {gap.pairs}{': ' if self.said else ''}{self.said}"


def compare(
    winner: Scores, other: Scores, against: str, verdict: Verdict | None, metric: str, direction: str, objective: str
) -> Comparison | None:
    """The winner against another setting; None where no pair is common to both.

    Args:
        winner, other: scores in points of `metric`, of the pairs of seeds that are complete.
        against: the other's name; only `published` may be claimed against.
        verdict: under which both were confirmed; None: none was written.
        direction: which way `metric` is better, max or min.
        objective: the sweep's own metric.
    """
    gaps = {pair: winner[pair] - other[pair] for pair in winner if pair in other}
    if not gaps:
        return None
    gap = paired_gap(np.array([*gaps.values()]))
    if against != "published":
        return Comparison(against, gap, None, None)
    why_not = _no_claim(gaps, verdict, metric, objective)
    if why_not is not None or verdict is None:
        return Comparison(against, gap, None, why_not)
    fixed = np.array([gaps[pair] for pair in verdict.seeds])
    p = t_test(fixed)
    better = bool(fixed.mean() < 0 if direction == "min" else fixed.mean() > 0)
    return Comparison(against, gap, Claim(p, len(fixed), verdict.level, p < verdict.level, better), None)


def _no_claim(gaps: Mapping[Pair, float], verdict: Verdict | None, metric: str, objective: str) -> str | None:
    if verdict is None:
        return "no number of pairs was fixed before test rows were read"
    if metric != objective:
        return f"the sweep's claim is about {objective}"
    fixed = verdict.confirm_pairs
    if fixed < PAIRS_FOR_A_CLAIM:
        had = "" if fixed == len(gaps) else " were fixed beforehand"
        return f"{fixed} pair{'' if fixed == 1 else 's'}{had} ({PAIRS_FOR_A_CLAIM} are needed)"
    if not verdict.claim:
        return "none was fixed before test rows were read"
    have = sum(pair in gaps for pair in verdict.seeds)
    return None if have == fixed else f"{have} of the {fixed} pairs fixed beforehand are complete"
