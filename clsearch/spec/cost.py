"""What a sweep will take: seconds from what trials took before, bytes from what its method stores."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clsearch.results.spending import Spending
from clsearch.results.store import Store
from clsearch.results.trials import TrialRecord, read_trials
from clsearch.spec.backbones import Backbone, Tower, find_backbone
from clsearch.spec.identity import difference
from clsearch.spec.protocols import read_protocol
from clsearch.spec.sweep import SweepSpec

# Inputs plus outputs of each linear layer of a block, in units of its width; an MLP is four times as wide.
_FANS = {"q": 2, "k": 2, "v": 2, "out": 2, "fc1": 5, "fc2": 5}
_BYTES = {"float32": 4, "float64": 8}


@dataclass(frozen=True)
class StageCost:
    """What one stage took before: the median over `trials` complete trials of a sweep.

    Attributes:
        seconds: of wall clock, learning, evaluation and all that a trial does besides.
        sweep: where it was measured.
        differing: the fixed settings in which that sweep differs from the one asked about, as `iterations: 40 -> 10`.
    """

    seconds: float
    trials: int
    sweep: str
    differing: tuple[str, ...] = ()


def stage_cost(spec: SweepSpec, trials: Iterable[TrialRecord], store: Store) -> StageCost | None:
    """The cost of a stage by the sweep's own trials; None where neither they nor another sweep's tell.

    The other sweep has the method, the backbone and the benchmark in common. Of several, the one whose fixed settings
    differ least, then the one with the most trials.
    """
    own = seconds_per_stage(trial.outcome for trial in trials if trial.outcome is not None)
    if own is not None:
        return StageCost(*own, spec.name)
    found = []
    for path in store.list("sweeps/"):
        other = path.removeprefix("sweeps/").removesuffix(".json")
        identity = store.get_json(path)
        if other == spec.name or not _is_alike(identity, spec):
            continue
        records = read_trials(store, other)
        cost = seconds_per_stage(trial.outcome for trial in records if trial.outcome is not None)
        if cost is not None:
            asked = spec.identity()["settings"]
            # What is searched there is no fixed setting here, and says nothing of the cost.
            both = {name: value for name, value in identity["settings"].items() if name in asked}
            differing = difference(both, {name: asked[name] for name in both})
            found.append(StageCost(*cost, other, tuple(differing)))
    return min(found, key=lambda cost: (len(cost.differing), -cost.trials), default=None)


def _is_alike(identity: Mapping[str, Any], spec: SweepSpec) -> bool:
    """Whether the trials of a sweep with this identity learn what those of `spec` do."""
    learned = read_protocol(identity["protocol"], "a stored sweep").benchmark or identity["benchmark"]
    return (identity["method"], identity["backbone"], learned) == (
        spec.method,
        spec.backbone,
        spec.course("search").benchmark,
    )


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


def least_parameters(method: str, settings: Mapping[str, Any], backbone: Backbone, tasks: int) -> dict[str, int]:
    """What a setting trains at task `tasks` and stores after it at the least, by the name of the constraint on it.

    What is not known before a start is left out: heads, and the rank that FM-LoRA chooses. Empty for networks whose
    size is not known.
    """
    if method == "fine_tuning" and backbone.parameters is not None:
        # CLIP's scale, one number, is not trained.
        return {"trained_parameters": backbone.parameters - 1, "stored_parameters": backbone.parameters}
    if method in ("fine_tuning", "frozen") or not backbone.towers:
        return {}
    least = {"stored_parameters": _adapters(method, settings, backbone.towers, tasks)}
    if method != "fm_lora":
        least["trained_parameters"] = _adapters(method, settings, backbone.towers, 1)
    return least


def hopeless_settings(spec: SweepSpec) -> list[str]:
    """A sentence for each named setting that is known to break a constraint, in the search or once it is confirmed."""
    backbone, limits = find_backbone(spec.backbone), spec.constraints.limits()
    learned, confirmed = spec.course("search").tasks, spec.course("confirm").tasks
    said = []
    for name, setting in spec.named_settings().items():
        full = spec.full_settings(setting)
        least = least_parameters(spec.method, full, backbone, learned)
        later = least_parameters(spec.method, full, backbone, confirmed)
        for cost in sorted(least.keys() & limits.keys()):
            what, limit = cost.replace("_", " "), f"more than constraints.{cost}={limits[cost]:,}"
            if least[cost] > limits[cost]:
                said.append(
                    f"the {name} setting has at least {least[cost]:,} {what}, {limit}: "
                    "it is learned and shown, and never the best"
                )
            elif later[cost] > limits[cost]:
                said.append(
                    f"the {name} setting has at least {later[cost]:,} {what} after the {confirmed} tasks to confirm "
                    f"on, {limit}: it may be chosen by the search, and is over the limit where it is confirmed"
                )
    return said


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


def spending_text(spending: Spending) -> str:
    """What was spent, in a line."""
    parts = [f"{duration(spending.hours * 3600)} at work", f"{duration(spending.trial_hours * 3600)} in trials"]
    if spending.gpu_hours:
        parts.append(f"{hours_text(spending.gpu_hours)} GPU-hours")
    starts = f"{spending.attempts} start{'' if spending.attempts == 1 else 's'}"
    lost = f", {spending.lost_attempts} of them lost or not ended" if spending.lost_attempts else ""
    return f"{', '.join(parts)} ({starts}{lost})"


def hours_text(hours: float) -> str:
    """Hours with two digits that count."""
    return f"{hours:.2g}" if hours < 10 else f"{hours:,.0f}"


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
