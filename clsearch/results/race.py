"""The race: which of several settings is best, on validation scores of pairs of seeds common to all of them.

After every pair that all candidates still in the race have learned, from `first_look` on, each is tested against the
leader of the moment (best mean over the pairs so far), and dropped where a paired t test says that it is worse. What is
dropped needs no further pair. The race ends when one is left or the pairs are spent; the best mean of those left wins.

The test. Its level is shared by Bonferroni among looks (pairs - first_look + 1), possible leaders (candidates - 1) and
the two directions, since the same data say who leads: a candidate is dropped at a one-sided
p < level / (2 * looks * (candidates - 1)). So a candidate that no other truly beats is dropped with a chance of at most
level / 2, and two that are truly tied are separated with a chance of at most level (were they the only two).

Student's t and not Wilcoxon's test, because pairs are few: over n pairs Wilcoxon's p is never below 2^-n, which with 7
candidates and 8 looks (p < 0.0005) could drop nobody before the eleventh pair. A score is a mean over hundreds of
images, so differences are near enough to normal. All of this is our choice; the idea of racing is Maron & Moore's
(1994), with paired blocks as in F-Race (Birattari et al., 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clsearch.results.intervals import points

Direction = Literal["max", "min"]
Floats = NDArray[np.float64]

FIRST_LOOK = 3  # two differences have a spread that is hardly known


@dataclass(frozen=True)
class Drop:
    """A candidate that left the race: after how many pairs, against which leader, at which p; `p` None: it failed."""

    candidate: int
    pairs: int
    leader: int | None
    p: float | None


@dataclass(frozen=True)
class RaceState:
    """How far a race is. Candidates are positions: columns of the scores.

    Attributes:
        pairs_done: complete pairs that were looked at; those left have scores for all of them.
        left: the candidates still in, in the order of the columns.
        means: of those left, over the pairs done (NaN before the first).
        needs: how many pairs those left must have for the next look; None when the race is over.
        winner: once the race is over; None where every candidate failed.
        p_drop: the one-sided p below which a candidate is dropped.
    """

    pairs_done: int
    left: tuple[int, ...]
    means: tuple[float, ...]
    dropped: tuple[Drop, ...]
    needs: int | None
    winner: int | None
    p_drop: float

    @property
    def is_over(self) -> bool:
        return self.needs is None


def drop_level(level: float, pairs: int, candidates: int, first_look: int = FIRST_LOOK) -> float:
    """The one-sided p below which a candidate is dropped at any look; 0 where there is no look."""
    looks = max(0, pairs - first_look + 1)
    return level / (2 * looks * (candidates - 1)) if looks and candidates > 1 else 0.0


def race(scores: ArrayLike, level: float, direction: Direction, first_look: int = FIRST_LOOK) -> RaceState:
    """The state of a race from what was measured; nothing but the scores enters.

    Args:
        scores: (pairs, candidates), in the order in which pairs are spent and with a row for every pair that may be.
            NaN: not measured (yet). An infinite score: the sequence failed, and the candidate with it.
        level: of the whole race, as the module's text says.

    Raises:
        ValueError: fewer than two candidates.
    """
    table = points(scores)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"a race takes scores of pairs x at least two candidates, not of shape {table.shape}")
    pairs, candidates = table.shape
    threshold = drop_level(level, pairs, candidates, first_look)
    sign = -1.0 if direction == "min" else 1.0
    left = list(range(candidates))
    dropped: list[Drop] = []
    done = 0
    while len(left) > 1 and done < pairs and not np.isnan(table[done, left]).any():
        done += 1
        failed = [one for one in left if np.isinf(table[done - 1, one])]
        gone = [Drop(one, done, None, None) for one in failed]
        left = [one for one in left if one not in failed]
        if done >= first_look and len(left) > 1:
            gone += _worse(sign * table[:done], left, threshold)
        dropped += gone
        left = [one for one in left if one not in {drop.candidate for drop in gone}]
    means = table[:done, left].mean(axis=0) if done and left else np.full(len(left), np.nan)
    is_over = len(left) < 2 or done == pairs
    best = left[int(np.argmax(sign * means))] if is_over and left else None
    needs = None if is_over else min(pairs, max(first_look, done + 1))
    return RaceState(done, tuple(left), tuple(means.tolist()), tuple(dropped), needs, best, threshold)


def _worse(table: Floats, left: list[int], threshold: float) -> list[Drop]:
    """Those left that are worse than their leader; higher is better here."""
    from scipy.special import stdtr  # 0.3 s, which a store without a race need not pay

    scores = table[:, left]
    leader = int(np.argmax(scores.mean(axis=0)))
    gaps = points(scores[:, [leader]] - scores)
    mean, spread = gaps.mean(axis=0), gaps.std(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean > 0, mean / (spread / np.sqrt(len(gaps))), 0.0)
    p = stdtr(len(gaps) - 1, -t)
    worse = [at for at in range(len(left)) if at != leader and p[at] < threshold]
    return [Drop(left[at], len(gaps), left[leader], float(p[at])) for at in worse]
