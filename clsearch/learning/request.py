"""What a sequence is asked to do, and what it tells: plain values that cross process borders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from clsearch.spec.protocols import Part

Split = Literal["validation", "test"]


@dataclass(frozen=True)
class SequenceRequest:
    """One sequence: a method under one setting, on one benchmark in one order, with one run seed.

    settings: over the method's defaults, complete or not. eval_settings: what every stage is evaluated under; each
    names values of settings that act at evaluation. parameters: the searched settings, for the `param_`
    columns; the eval setting joins them there. part: only these tasks of the benchmark exist; max_tasks: only the first
    so many of those that do are learned and evaluated. keep: `last` removes a checkpoint of this very run once the next
    stage is there; it keeps those of others, and one that values of a setting part from (`spec.settings.forks`).
    """

    sweep: str
    trial: int
    phase: Literal["search", "race", "confirm", "analysis"]
    protocol: str
    method: str
    settings: dict[str, Any]
    backbone: str
    benchmark: str
    order_seed: int
    run_seed: int
    eval_settings: tuple[dict[str, Any], ...] = ({},)
    splits: tuple[Split, ...] = ("validation",)
    precision: Literal["float32", "float64"] = "float32"
    keep: Literal["all", "last", "none"] = "all"
    attempt: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)
    max_tasks: int | None = None
    metric: str = "final_acc_micro"
    part: Part | None = None


@dataclass(frozen=True)
class TaskReport:
    """A task is in the store: `metric` is the live figure (%) of the best eval setting so far, on the first split."""

    task: int
    tasks_total: int
    metric: float
    learn_seconds: float
    evaluate_seconds: float
    reused: bool


@dataclass(frozen=True)
class SequenceResult:
    """A sequence is complete in the store; seconds are those spent now, not what reused stages once took."""

    tasks_total: int
    stages_learned: int
    stages_reused: int
    learn_seconds: float
    evaluate_seconds: float
    records: tuple[dict[str, Any], ...]
