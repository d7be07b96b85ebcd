"""Two sweeps, or two trials, side by side: what differs in what was asked, and in what came out.

Nothing is ranked or claimed here: the figures are those that search, race and confirmation left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clsearch.results.compare_sides import PHASES, Figures, Pair, Side, read_side
from clsearch.results.intervals import Gap, paired_gap
from clsearch.results.metrics import METRICS
from clsearch.results.store import Store
from clsearch.spec.identity import changes
from clsearch.spec.settings import fields
from clsearch.spec.sweep import as_json

Changes = Mapping[str, tuple[str, str]]  # key with dots -> its value on either side, as people write it


@dataclass(frozen=True)
class Outcome:
    """One metric on one split, in its unit: the figures of either side, one per pair of seeds."""

    split: str
    metric: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    gap: Gap | None  # first less second over the common pairs; None where the two cannot be paired


@dataclass(frozen=True)
class Comparison:
    """All that differs between two sides."""

    first: Side
    second: Side
    sweeps: Changes  # of the identities
    settings: Changes  # of the two trials, beyond what the identities fix
    ran_with: Changes  # code, libraries, numerics, data
    outcomes: tuple[Outcome, ...]
    unpaired: Mapping[str, str]  # split -> why there is no difference


def compare_two(store: Store, first: str, second: str, metrics: Sequence[str] = ()) -> Comparison:
    """The comparison of two sweeps of a store, each given as `sweep` (its winner) or `sweep:trial`.

    Args:
        metrics: names of results.metrics; none: all that are defined on either side.

    Raises:
        UsageError: there is no such sweep or trial, it is not complete, or an object cannot be read.
    """
    one, two = read_side(store, first), read_side(store, second)
    sweeps = changes(*(_with_defaults(side.identity) for side in (one, two)))
    settings = changes(one.setting, two.setting)
    outcomes: list[Outcome] = []
    unpaired = {}
    for split in PHASES:
        ours, theirs = one.figures[split], two.figures[split]
        common, why_not = _common(ours, theirs)
        if why_not is not None and (ours or theirs):
            unpaired[split] = why_not
        outcomes += _outcomes(split, ours, theirs, common, metrics or tuple(METRICS))
    return Comparison(
        first=one,
        second=two,
        sweeps=sweeps,
        settings={key: both for key, both in settings.items() if f"settings.{key}" not in sweeps},
        ran_with=changes(*({**side.ran_with, **data} for side, data in zip((one, two), _data(one, two), strict=True))),
        outcomes=tuple(outcomes),
        unpaired=unpaired,
    )


def _with_defaults(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity with the settings that its method got later, at their defaults, and without empty sections."""
    searched = {*identity.get("space", {}), *identity.get("eval_grid", {})}
    known = fields(str(identity["method"]))
    settings = {name: as_json(field.default) for name, field in known.items() if name not in searched}
    whole = {**identity, "settings": {**settings, **identity.get("settings", {})}}
    return {name: value for name, value in whole.items() if value != {}}


def _common(ours: Mapping[Pair, Figures], theirs: Mapping[Pair, Figures]) -> tuple[list[Pair], str | None]:
    """The pairs of seeds on which the two can be compared, or why there is none."""
    if not ours or not theirs:
        return [], "one of the two has no complete sequences there"
    places = [sorted({figures.place for figures in side.values()}) for side in (ours, theirs)]
    if places[0] != places[1]:
        names = ("protocols", "benchmarks", "numbers of tasks")
        differing = [
            f"{name} ({', '.join(sorted(a))} and {', '.join(sorted(b))})"
            for name, a, b in zip(names, *(map(set, zip(*place, strict=True)) for place in places), strict=True)
            if a != b
        ]
        return [], f"they have different {' and '.join(differing)}: a difference of figures would say nothing"
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return [], "no pair of (run seed, order seed) is common to both"
    same = [pair for pair in both if _same_data(ours[pair], theirs[pair])]
    return same, None if same else "their data differ on every common pair of seeds"


def _same_data(ours: Figures, theirs: Figures) -> bool:
    return None in (ours.data_digest, theirs.data_digest) or ours.data_digest == theirs.data_digest


def _data(one: Side, two: Side) -> tuple[dict[str, Any], dict[str, Any]]:
    """The digests of the data on the pairs that both have."""
    first: dict[str, Any] = {}
    second: dict[str, Any] = {}
    for split in PHASES:
        for pair in sorted(one.figures[split].keys() & two.figures[split].keys()):
            ours, theirs = one.figures[split][pair], two.figures[split][pair]
            if ours.place == theirs.place and not _same_data(ours, theirs):
                name = f"data_digest of run {pair[0]}, order {pair[1]}"
                first[name], second[name] = ours.data_digest, theirs.data_digest
    return first, second


def _outcomes(
    split: str,
    ours: Mapping[Pair, Figures],
    theirs: Mapping[Pair, Figures],
    common: Sequence[Pair],
    metrics: Sequence[str],
) -> Iterator[Outcome]:
    for metric in metrics:
        scores = [
            {pair: float(METRICS[metric](one.correct, one.count)) for pair, one in side.items()}
            for side in (ours, theirs)
        ]
        values = [tuple(value for _, value in sorted(side.items()) if not np.isnan(value)) for side in scores]
        gaps = [gap for pair in common if not np.isnan(gap := scores[0][pair] - scores[1][pair])]
        if any(values):
            yield Outcome(split, metric, values[0], values[1], paired_gap(gaps) if gaps else None)
