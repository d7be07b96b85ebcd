"""The carving of validation and inner examples from train, and the few-shot draw.

Every choice is a ranking by derived seeds: it depends on the fixed split seed, the pool and the examples' names, and
on nothing else: no order seed, no run seed, no other class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clsearch.benchmarks.catalogue import SplitRule
from clsearch.benchmarks.examples import Labels, Listing, Pool
from clsearch.errors import UsageError
from clsearch.spec.seeds import derive_seed

SPLIT_SEED = 0
VALIDATION_SHOTS = 4  # per class at most, under few shots


@dataclass(frozen=True, eq=False)
class Split:
    """A pool divided; all parts are disjoint."""

    train: Listing
    inner: Listing
    validation: Listing
    test: Listing
    validation_source: str


def split_pool(pool: Pool, rule: SplitRule) -> Split:
    """Divide a pool, whose lists are disjoint, by the rule and class by class.

    Raises UsageError naming a class with too few images.
    """
    shots = rule.shots
    most = None if shots is None else min(shots, VALIDATION_SHOTS)
    if pool.validation is not None:
        validation, rest = pool.validation, pool.train
        source = "own list"
        if most is not None:
            validation = validation.select(_draw(pool, validation, most, "validation"))
    else:
        kept, left = _carve(pool, pool.train, rule.validation, most, "validation")
        validation, rest = pool.train.select(kept), pool.train.select(left)
        source = "train" if shots is None else "unused train images"
    if shots is not None:
        rest = rest.select(_draw(pool, rest, shots, "shots"))
    kept, left = _carve(pool, rest, rule.inner, None, "inner")
    split = Split(rest.select(left), rest.select(kept), validation, pool.test, source)
    for part, listing in (("validation", split.validation), ("train", split.train), ("test", split.test)):
        _check_classes(pool, listing, part)
    return split


def by_class(labels: Labels, classes: int) -> list[Labels]:
    """For each class, the rows that hold it, in order."""
    rows = np.argsort(labels, kind="stable")
    return np.split(rows, np.searchsorted(labels[rows], np.arange(1, classes)))


def _carve(pool: Pool, listing: Listing, fraction: float, most: int | None, purpose: str) -> tuple[Labels, Labels]:
    """Rows set apart and rows left, both in listing order.

    Per class, groups are taken in the order of their rank while they fit into the wanted number (`fraction` of the
    class, at least 1, or `most`); the first is taken in any case. Ranks ignore the pool, so the domains of one
    concept mostly agree on what is kept from training.
    """
    kept: list[int] = []
    for label, rows in enumerate(by_class(listing.labels, len(pool.class_names))):
        if len(rows) < 2:
            name = pool.class_names[label]
            raise UsageError(
                f"{pool.name}: class '{name}' has {len(rows)} train images, too few to keep one for {purpose}"
            )
        wanted = max(1, round(fraction * len(rows))) if most is None else min(most, len(rows) - 1)
        members: dict[str, list[int]] = {}
        for row in rows:
            members.setdefault(listing.groups[row], []).append(int(row))
        taken: list[int] = []
        for group in sorted(members, key=lambda name: derive_seed("split", SPLIT_SEED, purpose, name)):
            if len(taken) + len(members[group]) <= wanted:
                taken += members[group]
            if len(taken) == wanted:
                break
        # Where every group is too large, a group is parted after all rather than the class left empty.
        kept += taken or [int(row) for row in rows[:wanted]]
    apart = np.zeros(len(listing), dtype=bool)
    apart[kept] = True
    return np.flatnonzero(apart), np.flatnonzero(~apart)


def _draw(pool: Pool, listing: Listing, shots: int, purpose: str) -> Labels:
    """The rows of up to `shots` examples per class, in listing order; all of them where a class has fewer."""
    drawn: list[int] = []
    for rows in by_class(listing.labels, len(pool.class_names)):
        ranked = sorted(rows, key=lambda row: derive_seed(purpose, SPLIT_SEED, pool.name, listing.ids[row]))
        drawn += [int(row) for row in ranked[:shots]]
    return np.sort(np.asarray(drawn, dtype=np.int64))


def _check_classes(pool: Pool, listing: Listing, part: str) -> None:
    counts = np.bincount(listing.labels, minlength=len(pool.class_names))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        raise UsageError(f"{pool.name}: class '{pool.class_names[int(empty[0])]}' has no {part} image")
