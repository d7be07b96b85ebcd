"""What a sweep will do, and what of it the store already holds: the answer of --dry-run. Starts and writes nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.results.store import Store, parse_row_name
from clsearch.results.trials import TrialRecord, read_trials
from clsearch.spec.backbones import find_backbone
from clsearch.spec.cost import seconds_per_stage, stage_bytes
from clsearch.spec.identity import check_identity
from clsearch.spec.sweep import SweepSpec

CONFIRMED = 2  # settings that are confirmed: the best one and the published one


@dataclass(frozen=True)
class Holdings:
    """What a store holds of one sweep. A stage is counted where its rows are: (trial, phase, seeds, task)."""

    known: bool  # whether a sweep of this name and identity was started there
    trials: Mapping[str, int]  # by status: complete, pruned, failed, running (claimed, without outcome)
    causes: tuple[str, ...]  # of the failed ones
    search_stages: int
    confirm_stages: int
    unfinished_stages: int  # those of claimed trials without outcome: they are not learned again


@dataclass(frozen=True)
class Plan:
    """A sweep, what it takes, and what is left of it."""

    spec: SweepSpec
    uri: str
    tasks: int
    eval_settings: int
    held: Holdings
    search_left: int  # stages
    confirm_left: int
    seconds_per_stage: float | None  # median over `measured` complete trials of this sweep
    measured: int
    bytes_left: int | None  # of checkpoints, for the largest setting of the space
    parallel: int
    parallel_is_asked: bool  # else a guess from this machine's processors

    @property
    def search_stages(self) -> int:
        return self.spec.trials * self.tasks

    @property
    def confirm_stages(self) -> int:
        return _confirmed(self.spec) * self.spec.confirm.pairs * self.tasks

    @property
    def seconds_left(self) -> float | None:
        """Wall seconds with `parallel` trials at a time; None before the first complete trial."""
        if self.seconds_per_stage is None:
            return None
        return self.seconds_per_stage * (self.search_left + self.confirm_left) / self.parallel


def make_plan(spec: SweepSpec, store: Store) -> Plan:
    """The plan; raises UsageError where the store has another sweep under this name."""
    known = check_identity(spec, store)
    trials = [trial for trial in read_trials(store, spec.name) if trial.claim is not None]
    tasks = benchmark_info(spec.benchmark).tasks
    held = _holdings(known, trials, store.row_names(spec.name))
    ended = sum(held.trials.get(status, 0) for status in ("complete", "pruned", "failed"))
    search_left = max(0, spec.trials - ended) * tasks - held.unfinished_stages
    confirm_left = max(0, _confirmed(spec) * spec.confirm.pairs * tasks - held.confirm_stages)
    cost = seconds_per_stage(trial.outcome for trial in trials if trial.outcome is not None)
    search_left = max(0, search_left)
    return Plan(
        spec=spec,
        uri=store.uri,
        tasks=tasks,
        eval_settings=len(spec.eval_settings()),
        held=held,
        search_left=search_left,
        confirm_left=confirm_left,
        seconds_per_stage=cost[0] if cost else None,
        measured=cost[1] if cost else 0,
        bytes_left=_bytes_left(spec, tasks, search_left + confirm_left),
        parallel=_parallel(spec),
        parallel_is_asked=spec.max_parallel is not None,
    )


def _confirmed(spec: SweepSpec) -> int:
    return CONFIRMED if spec.space else 1


def _holdings(known: bool, trials: Iterable[TrialRecord], row_paths: Iterable[str]) -> Holdings:
    trials = [*trials]
    open_trials = {trial.number for trial in trials if trial.outcome is None}
    names = [name for path in row_paths if (name := parse_row_name(path)) is not None]
    # One file per eval setting: a stage has as many as the grid is large.
    stages = {(n.phase, n.trial, n.order_seed, n.run_seed, n.task_learned) for n in names}
    phases = Counter(stage[0] for stage in stages)
    failed = [trial.outcome for trial in trials if trial.outcome is not None and trial.status == "failed"]
    return Holdings(
        known=known,
        trials=Counter(trial.status for trial in trials),
        causes=tuple(dict.fromkeys(str(outcome.get("cause")) for outcome in failed)),
        search_stages=phases["search"],
        confirm_stages=phases["confirm"],
        unfinished_stages=sum(stage[0] == "search" and stage[1] in open_trials for stage in stages),
    )


def _parallel(spec: SweepSpec) -> int:
    """How many trials run at a time: as asked, else what this machine's processors hold. Ray knows the cluster."""
    if spec.max_parallel is not None:
        return min(spec.max_parallel, spec.trials)
    return max(1, min(spec.trials, int((os.cpu_count() or 1) / (spec.cpus_per_worker * spec.workers))))


def _bytes_left(spec: SweepSpec, tasks: int, stages: int) -> int | None:
    """Checkpoints of the stages that are left, each sequence at the largest setting of the space."""
    if spec.keep == "none":
        return 0
    backbone, classes = find_backbone(spec.backbone), benchmark_info(spec.benchmark).classes
    settings = spec.full_settings(_largest(spec))
    kept = range(1, tasks + 1) if spec.keep == "all" else (tasks,)
    sizes = [stage_bytes(spec.method, settings, backbone, classes, tasks, task, spec.precision) for task in kept]
    known = [size for size in sizes if size is not None]
    return sum(known) * -(-stages // tasks) if len(known) == len(sizes) else None


def _largest(spec: SweepSpec) -> dict[str, Any]:
    """The setting that stores most: what it stores grows with the ranks and with nothing else that is searched."""
    setting = spec.published_setting()
    for parameter in spec.space:
        if parameter.name in ("rank", "new_rank", "prompt_tokens"):
            setting[parameter.name] = max(parameter.choices) if parameter.choices else parameter.high
        elif parameter.name == "candidate_ranks":
            setting[parameter.name] = max(parameter.choices, key=max)
    return setting
