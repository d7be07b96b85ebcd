"""What a sweep will do, and what of it the store already holds: the answer of --dry-run. Starts and writes nothing."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.results.layout import parse_race_failure
from clsearch.results.spending import AttemptLog, Spending, exhausted
from clsearch.results.store import Store, parse_row_name
from clsearch.results.trials import TrialRecord, read_trials
from clsearch.results.verdicts import Verdict, read_verdicts
from clsearch.spec import afterwards
from clsearch.spec.backbones import find_backbone
from clsearch.spec.cost import StageCost, stage_bytes, stage_cost
from clsearch.spec.identity import check_identity
from clsearch.spec.sweep import Budget, SweepSpec


@dataclass(frozen=True)
class Holdings:
    """What a store holds of one sweep. A stage is counted where its rows are: (trial, phase, seeds, task)."""

    known: bool  # whether a sweep of this name and identity was started there
    trials: Mapping[str, int]  # by status: complete, pruned, failed, running (claimed, without outcome)
    causes: tuple[str, ...]  # of the failed ones
    search_stages: int
    race_by_trial: Mapping[int, int]  # stages, as of the next two
    confirm_by_trial: Mapping[int, int]
    analysis_by_trial: Mapping[int, int]
    unfinished_stages: int  # those of claimed trials without outcome: they are not learned again

    @property
    def race_stages(self) -> int:
        return sum(self.race_by_trial.values())

    @property
    def confirm_stages(self) -> int:
        return sum(self.confirm_by_trial.values())

    @property
    def analysis_stages(self) -> int:
        return sum(self.analysis_by_trial.values())


@dataclass(frozen=True)
class Reusable:
    """Stages that no run has to learn, because the store knows them from anywhere, by what asks for them.

    Of the sequences whose settings are known beforehand, which lack the rows of `asked` stages in all.
    """

    search: int
    later: int  # race and confirmation
    asked: int


@dataclass(frozen=True)
class Plan:
    """A sweep, what it takes, and what is left of it."""

    spec: SweepSpec
    uri: str
    tasks: int  # that a trial of the search learns, by the protocol
    confirm_tasks: int  # that a sequence of the confirmation learns
    eval_settings: int
    held: Holdings
    search_left: int  # stages; only those of claimed trials once the budget is spent
    race_left: int  # at most
    confirm_left: int  # at most, until the verdict is written
    table_left: int  # at most, while trials are searched
    analysis_left: int  # likewise, test rows of the table
    latest: Verdict | None  # what was settled when the sweep ended last, whether or not it stands as asked now
    cost: StageCost | None  # None before the first complete trial of this sweep or one alike
    spent: Spending  # in all phases
    search_spent: Spending  # what the budget counts
    bytes_left: int | None  # of checkpoints, for the largest setting of the space
    parallel: int
    parallel_is_asked: bool  # else a guess from this machine's processors
    reusable: Reusable | None = None  # None: not looked up

    @property
    def search_stages(self) -> int:
        return self.spec.trials * self.tasks

    @property
    def race_stages(self) -> int:
        return afterwards.race_stages(self.spec)

    @property
    def confirm_stages(self) -> int:
        return afterwards.confirm_stages(self.spec)

    @property
    def table_stages(self) -> int:
        return afterwards.table_stages(self.spec, self.spec.trials)

    @property
    def analysis_stages(self) -> int:
        return afterwards.analysis_stages(self.spec, self.spec.trials)

    @property
    def analysis_learns(self) -> bool:
        """Whether test rows of the table take learning again, because the checkpoints are not kept."""
        return self.spec.keep != "all"

    @property
    def affordable(self) -> int | None:
        """The stages that the search can still learn within its budget; None where that is not known or is over."""
        budget, gpus = self.spec.budget, self.spec.gpus_per_worker * self.spec.workers
        if self.cost is None or budget == Budget() or exhausted(budget, self.search_spent):
            return None
        hours, spent = self.cost.seconds / 3600, self.search_spent
        limits = (
            (budget.hours, spent.hours, hours / self.parallel),
            (budget.gpu_hours, spent.gpu_hours, hours * gpus),
        )
        return min(max(0, int((most - so_far) / each)) for most, so_far, each in limits if most is not None)

    @property
    def stages_left(self) -> int:
        """As many as will be learned: none that the store knows, and no more of the search than its budget allows."""
        known = self.reusable or Reusable(0, 0, 0)
        search = max(0, self.search_left - known.search)
        search = search if self.affordable is None else min(search, self.affordable)
        table = self.table_left + (self.analysis_left if self.analysis_learns else 0)
        return search + max(0, self.race_left + self.confirm_left - known.later) + table

    @property
    def seconds_left(self) -> float | None:
        """Wall seconds with `parallel` trials at a time; None where nothing is measured."""
        return None if self.cost is None else self.cost.seconds * self.stages_left / self.parallel

    @property
    def gpu_hours_left(self) -> float | None:
        """None where nothing is measured."""
        gpus = self.spec.gpus_per_worker * self.spec.workers
        return None if self.cost is None else self.cost.seconds * self.stages_left * gpus / 3600


def make_plan(spec: SweepSpec, store: Store) -> Plan:
    """The plan; raises UsageError where the store has another sweep under this name."""
    known = check_identity(spec, store)
    trials = [trial for trial in read_trials(store, spec.name) if trial.claim is not None]
    tasks, confirm_tasks = spec.course("search").tasks, spec.course("confirm").tasks
    held = _holdings(known, trials, store.row_names(spec.name))
    ended = sum(held.trials.get(status, 0) for status in ("complete", "pruned", "failed"))
    search_left = max(0, spec.trials - ended) * tasks - held.unfinished_stages
    paths = store.list(f"trials/{spec.name}/")
    log = AttemptLog(store, spec.name)
    log.refresh(paths)
    search_spent = log.spending(("search",))
    if exhausted(spec.budget, search_spent):
        search_left = min(search_left, held.trials.get("running", 0) * tasks - held.unfinished_stages)
    search_left = max(0, search_left)
    verdicts = read_verdicts(store, spec.name)
    verdict = afterwards.settled(spec, verdicts, search_left)
    race_left = afterwards.race_left(spec, verdict, held.race_stages)
    confirm_left = afterwards.confirm_left(spec, verdict, held.confirm_by_trial)
    complete = {trial.number for trial in trials if trial.status == "complete"} - _failed_in_race(paths)
    in_table = len(complete) + (max(0, spec.trials - ended) if search_left else 0)
    table_left = afterwards.left(afterwards.table_stages(spec, in_table), complete, held.race_by_trial)
    analysis_left = afterwards.left(afterwards.analysis_stages(spec, in_table), complete, held.analysis_by_trial)
    return Plan(
        spec=spec,
        uri=store.uri,
        tasks=tasks,
        confirm_tasks=confirm_tasks,
        eval_settings=len(spec.eval_settings()),
        held=held,
        search_left=search_left,
        race_left=race_left,
        confirm_left=confirm_left,
        table_left=table_left,
        analysis_left=analysis_left,
        latest=verdicts[-1] if verdicts else None,
        cost=stage_cost(spec, trials, store),
        spent=log.spending(),
        search_spent=search_spent,
        bytes_left=_bytes_left(spec, {"search": search_left, "race": race_left + table_left, "confirm": confirm_left}),
        parallel=_parallel(spec),
        parallel_is_asked=spec.max_parallel is not None,
    )


def _holdings(known: bool, trials: Iterable[TrialRecord], row_paths: Iterable[str]) -> Holdings:
    trials = [*trials]
    open_trials = {trial.number for trial in trials if trial.outcome is None}
    names = [name for path in row_paths if (name := parse_row_name(path)) is not None]
    # One file per eval setting: a stage has as many as the grid is large.
    stages = {(n.phase, n.trial, n.order_seed, n.run_seed, n.task_learned) for n in names}
    by_trial: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for stage in stages:
        by_trial[stage[0]][stage[1]] += 1
    failed = [trial.outcome for trial in trials if trial.outcome is not None and trial.status == "failed"]
    return Holdings(
        known=known,
        trials=Counter(trial.status for trial in trials),
        causes=tuple(dict.fromkeys(str(outcome.get("cause")) for outcome in failed)),
        search_stages=by_trial["search"].total(),
        race_by_trial=by_trial["race"],
        confirm_by_trial=by_trial["confirm"],
        analysis_by_trial=by_trial["analysis"],
        unfinished_stages=sum(by_trial["search"][trial] for trial in open_trials),
    )


def _failed_in_race(paths: Iterable[str]) -> set[int]:
    """The trials, of a listing of the sweep's, whose settings failed after the search: no table has them."""
    return {int(path.split("/")[2]) for path in paths if parse_race_failure(path.rpartition("/")[2])}


def _parallel(spec: SweepSpec) -> int:
    """How many trials run at a time: as asked, else what this machine's processors hold. Ray knows the cluster."""
    if spec.max_parallel is not None:
        return min(spec.max_parallel, spec.trials)
    return max(1, min(spec.trials, int((os.cpu_count() or 1) / (spec.cpus_per_worker * spec.workers))))


def _bytes_left(spec: SweepSpec, stages: Mapping[str, int]) -> int | None:
    """Checkpoints of the stages that are left of each phase, each sequence at the largest setting of the space."""
    if spec.keep == "none":
        return 0
    settings, backbone = spec.full_settings(_largest(spec)), find_backbone(spec.backbone)
    total = 0
    for phase, left in stages.items():
        course = spec.course(phase)
        info = benchmark_info(course.benchmark)
        kept = range(1, course.tasks + 1) if spec.keep == "all" else (course.tasks,)
        for task in kept:
            size = stage_bytes(spec.method, settings, backbone, info.classes, info.tasks, task, spec.precision)
            if size is None:
                return None
            total += size * -(-left // course.tasks)
    return total


def _largest(spec: SweepSpec) -> dict[str, Any]:
    """The setting that stores most: what it stores grows with the ranks and with nothing else that is searched."""
    setting = spec.published_setting()
    for parameter in spec.space:
        if parameter.name in ("rank", "new_rank", "prompt_tokens"):
            setting[parameter.name] = max(parameter.choices) if parameter.choices else parameter.high
        elif parameter.name == "candidate_ranks":
            setting[parameter.name] = max(parameter.choices, key=max)
    return setting
