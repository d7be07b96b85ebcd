"""By how much the winner of each sweep on a leaderboard is better than the settings confirmed beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clsearch.results.claims import compare
from clsearch.results.metrics import LOWER_IS_BETTER
from clsearch.results.roles import Role, SweepTrials

if TYPE_CHECKING:
    from clsearch.results.board import Line


@dataclass(frozen=True)
class Difference:
    """Best less another confirmed setting of one sweep in points of `metric`, over the pairs of seeds of both."""

    method: str
    sweep: str
    metric: str
    against: Role
    mean: float
    low: float | None  # of the 95 % t interval; None for one pair
    high: float | None
    pairs: int
    p: float | None  # of the one test behind the claim; None where none is made
    separated: bool | None
    said: str  # the claim, or why there is none


def differences(lines: Sequence[Line], metric: str, sweeps: Mapping[str, SweepTrials]) -> list[Difference]:
    """Of each sweep's winner to its published setting, then to its company.

    Args:
        lines: confirmed ones, of any sweeps.
        sweeps: by name, those of the lines.
    """
    direction = "min" if metric in LOWER_IS_BETTER else "max"
    found = []
    for best in (line for line in lines if "best" in line.role.split(" = ")):
        sweep = sweeps[best.sweep]
        for other in lines:
            if other is best or (other.sweep, other.method) != (best.sweep, best.method):
                continue
            against = "published" if "published" in other.role.split(" = ") else other.role
            ours, theirs = (dict(zip(line.pairs, line.values[metric].tolist(), strict=True)) for line in (best, other))
            compared = compare(ours, theirs, against, sweep.verdict, metric, direction, sweep.objective or metric)
            if compared is not None:
                gap, claim = compared.gap, compared.claim
                difference = Difference(
                    method=best.method,
                    sweep=best.sweep,
                    metric=metric,
                    against=against,
                    mean=gap.mean,
                    low=gap.low,
                    high=gap.high,
                    pairs=gap.pairs,
                    p=None if claim is None else claim.p,
                    separated=None if claim is None else claim.separated,
                    said=compared.said,
                )
                found.append(difference)
    return sorted(found, key=lambda one: (one.method, one.sweep, one.against != "published", one.against))
