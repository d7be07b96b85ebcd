"""What one trial process is asked to learn: a setting, a phase, a pair of seeds. Plain data, no torch, no ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from clsearch.learning.request import SequenceRequest, Split
from clsearch.spec.keys import eval_hash
from clsearch.spec.sweep import Seeds, SweepSpec

Phase = Literal["search", "race", "confirm", "analysis"]
Splits = tuple[Split, ...]

# What each phase reads. Test images are read where a result is confirmed, and for analyses that choose nothing.
SPLITS: dict[Phase, Splits] = {
    "search": ("validation",),
    "race": ("validation",),
    "confirm": ("validation", "test"),
    "analysis": ("test",),
}


@dataclass(frozen=True)
class Job:
    """One task sequence to learn for a sweep, under the setting that trial `trial` claimed."""

    trial: int
    setting: Mapping[str, Any]
    phase: Phase
    run_seed: int
    order_seed: int
    eval_settings: tuple[Mapping[str, Any], ...]
    splits: Splits

    @property
    def name(self) -> tuple[Any, ...]:
        """What tells this job from every other one of its sweep."""
        return self.trial, self.phase, self.run_seed, self.order_seed, *map(eval_hash, self.eval_settings)

    def to_config(self) -> dict[str, Any]:
        """The job as a Tune config of plain values; `from_config` is the inverse."""
        plain = {
            **vars(self),
            "setting": dict(self.setting),
            "eval_settings": [dict(setting) for setting in self.eval_settings],
        }
        return {"job": plain}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Job:
        """The job in a Tune config."""
        plain = dict(config["job"])
        return cls(**{**plain, "eval_settings": tuple(plain["eval_settings"]), "splits": tuple(plain["splits"])})


def search_job(spec: SweepSpec, trial: int, setting: Mapping[str, Any]) -> Job:
    """The search's job for a trial: the sweep's own seeds, the whole eval grid, validation rows only."""
    return make_job(trial, setting, "search", spec.seeds, tuple(spec.eval_settings()))


def make_job(
    trial: int, setting: Mapping[str, Any], phase: Phase, seeds: Seeds, eval_settings: tuple[Mapping[str, Any], ...]
) -> Job:
    """A job of a phase; the phase alone says which splits are read."""
    return Job(trial, setting, phase, seeds.run, seeds.order, eval_settings, SPLITS[phase])


def make_request(spec: SweepSpec, job: Job, attempt: int) -> SequenceRequest:
    """The sequence that a job stands for, in the words of the learning room: of the tasks that the protocol allows."""
    course = spec.course(job.phase)
    return SequenceRequest(
        sweep=spec.name,
        trial=job.trial,
        phase=job.phase,
        protocol=str(spec.protocol),
        method=spec.method,
        settings=spec.full_settings(job.setting),
        backbone=spec.backbone,
        benchmark=course.benchmark,
        order_seed=job.order_seed,
        run_seed=job.run_seed,
        eval_settings=tuple(dict(setting) for setting in job.eval_settings),
        splits=job.splits,
        precision=cast(Any, spec.precision),
        keep=cast(Any, spec.keep),
        attempt=attempt,
        parameters=dict(job.setting),
        max_tasks=course.limit,
        metric=spec.objective.metric,
        part=course.part,
    )
