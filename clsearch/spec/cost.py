"""What a sweep will take: seconds from what trials took before, bytes from what its method stores."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from clsearch.spec.backbones import Backbone, Tower

# Inputs plus outputs of each linear layer of a block, in units of its width; an MLP is four times as wide.
_FANS = {"q": 2, "k": 2, "v": 2, "out": 2, "fc1": 5, "fc2": 5}
_BYTES = {"float32": 4, "float64": 8}


def seconds_per_stage(outcomes: Iterable[Mapping[str, Any]]) -> tuple[float, int] | None:
    """Median wall seconds of one learned stage, and over how many trials; None before the first.

    Only complete trials that learned every stage themselves are counted: one that found stages in the store is cheaper.
    """
    figures = [
        outcome["wall_seconds"] / outcome["stages_learned"]
        for outcome in outcomes
        if outcome["status"] == "complete" and outcome["stages_learned"] > 0 and not outcome["stages_reused"]
    ]
    return (statistics.median(figures), len(figures)) if figures else None


def stage_bytes(
    method: str, settings: Mapping[str, Any], backbone: Backbone, classes: int, tasks: int, task: int, precision: str
) -> int | None:
    """About how many bytes the checkpoint of stage `task` (1-based) takes; None where the network's size is not known.

    Counts what differs from the backbone: adapters, prompts, head or statistics; all weights for full fine-tuning.
    """
    size = _BYTES[precision]
    if method == "fine_tuning":
        return None if backbone.parameters is None else size * backbone.parameters
    if not backbone.towers:
        return None
    vision = backbone.towers[0]
    head = 0 if backbone.family == "clip" else vision.width * classes * task // tasks
    if method == "frozen":
        return size * head
    return size * (head + _adapters(method, settings, backbone.towers, task))


def _adapters(method: str, settings: Mapping[str, Any], towers: tuple[Tower, ...], task: int) -> int:
    """Parameters that the method holds after `task` tasks."""
    projections = settings["projections"]
    per_rank = sum(tower.depth * tower.width * _FANS[name] for tower in towers for name in projections)
    if method == "mora":
        return task * int(settings["new_rank"]) * per_rank
    if method == "incremental_lora":
        return task * int(settings["rank"]) * per_rank
    if method == "sequential_lora":
        return int(settings["rank"]) * per_rank
    # fm_lora: shared bases and one core in each weight, and the meta-prompt; no growth with the tasks.
    rank = int(max(settings["candidate_ranks"]))
    weights = sum(tower.depth for tower in towers) * len(projections)
    return rank * per_rank + weights * rank * rank + int(settings["prompt_tokens"]) * towers[0].width


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def size_text(number: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
