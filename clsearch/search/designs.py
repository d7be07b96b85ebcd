"""Settings that follow from the sweep alone and look at no result: a Sobol design, and the cells of a grid."""

from __future__ import annotations

import math
from typing import Any

from clsearch.spec.conditions import active_setting, every_setting, same_setting
from clsearch.spec.seeds import derive_seed
from clsearch.spec.sweep import SweepSpec


def sobol_setting(spec: SweepSpec, number: int) -> dict[str, Any]:
    """Point `number` of the sweep's own scrambled Sobol sequence; an inactive parameter leaves its dimension unused."""
    from scipy.stats.qmc import Sobol

    points = Sobol(len(spec.space), rng=derive_seed(spec.name, "sobol")).random(2 ** math.ceil(math.log2(number + 1)))
    shares = zip(spec.space, points[number], strict=True)
    return active_setting(spec.space, {parameter.name: parameter.at(float(share)) for parameter, share in shares})


def next_cell(spec: SweepSpec, tried: set[tuple[Any, ...]]) -> dict[str, Any]:
    """The first cell of the grid that is not among `tried` (settings as `same_setting` tells them apart)."""
    for setting in every_setting(spec.space):
        if same_setting(spec.space, setting) not in tried:
            return setting
    raise AssertionError("spec.spaces lets a sweep have no more trials than its grid has cells")


def coming_settings(spec: SweepSpec, claimed: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The settings that unclaimed trials will have, by number, as far as they are known before anything is learned.

    The named ones always; all of them under a design. A sampler that reads results says nothing beforehand.
    """
    coming = {number: setting for number, setting in enumerate(spec.named_settings().values()) if number not in claimed}
    coming = {number: setting for number, setting in coming.items() if number < spec.trials}
    tried = {same_setting(spec.space, setting) for setting in (*claimed.values(), *spec.named_settings().values())}
    for number in range(spec.trials):
        if number in claimed or number in coming:
            continue
        if spec.sampler.name == "sobol":
            coming[number] = sobol_setting(spec, number)
        elif spec.sampler.name == "grid":
            coming[number] = next_cell(spec, tried)
            tried.add(same_setting(spec.space, coming[number]))
    return coming
