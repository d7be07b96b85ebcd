"""What a request's stages are called in a store: their keys, and the names of their counts. Known without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clsearch.benchmarks.streams import Stream, open_stream
from clsearch.learning.request import SequenceRequest, Split
from clsearch.results.layout import counts_path
from clsearch.spec.keys import digest, stage_key
from clsearch.spec.settings import MethodSettings, acts, fields, from_task, make_settings


@dataclass(frozen=True)
class Stage:
    """One stage of a request. `counts`: the path of its counts, by position of the eval setting and by split."""

    task: int
    key: str
    evaluated: int  # how many tasks it is measured on
    counts: Mapping[tuple[int, Split], str]


def request_settings(request: SequenceRequest) -> MethodSettings:
    """The method's settings, complete and checked; raises UsageError."""
    return make_settings(request.method, request.settings, f"method '{request.method}'")


def request_stream(request: SequenceRequest) -> Stream[Any]:
    """The stream that the request learns; test images are on it only where the request asks for that split."""
    return open_stream(
        request.benchmark,
        request.order_seed,
        with_test="test" in request.splits,
        tasks=request.max_tasks,
        part=request.part,
    )


def request_stages(request: SequenceRequest, stream: Stream[Any], weights: str) -> tuple[Stage, ...]:
    """Every stage of the request, in task order; `weights` is the digest of its backbone's."""
    keys = stage_keys(request, request_settings(request), stream, weights)
    grid = [full_eval_setting(request, eval_setting) for eval_setting in request.eval_settings]
    stages = []
    for t, key in enumerate(keys, 1):
        evaluated = stream.evaluated(t)
        paths: dict[tuple[int, Split], str] = {}
        for split in request.splits:
            examples = digest([stream.evaluation_digests[task.index - 1][split] for task in evaluated])
            measured = {"split": split, "examples": examples, "candidates": digest(stream.candidates(t))}
            for i, eval_setting in enumerate(grid):
                paths[i, split] = counts_path(key, digest(measured | {"eval_setting": eval_setting})[:16])
        stages.append(Stage(t, key, len(evaluated), paths))
    return tuple(stages)


def full_eval_setting(request: SequenceRequest, eval_setting: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that acts at evaluation: as the eval setting says, else as the request's own settings say."""
    settings = make_settings(request.method, {**request.settings, **eval_setting}, "eval setting")
    return {name: getattr(settings, name) for name in fields(request.method) if acts(request.method, name) != "train"}


def stage_keys(
    request: SequenceRequest, settings: MethodSettings, stream: Stream[Any], weights: str
) -> tuple[str, ...]:
    """The key of every stage, in task order (see the design's contract): what learns it, from what, on what."""
    facts: dict[str, Any] = {
        "method": request.method,
        "numerics": settings.numerics,
        "backbone": request.backbone,
        "weights": weights,
        "precision": request.precision,
        "run_seed": request.run_seed,
        "order_seed": request.order_seed,
    }
    if settings.reads_tasks_total:
        facts["tasks_total"] = stream.tasks_total
    if request.part is not None:
        facts["part"] = vars(request.part)
    keys: list[str] = []
    for task in stream.tasks:
        acting = {"settings": _acting(request.method, settings, task.index), "data": stream.task_digest(task.index)}
        keys.append(stage_key(keys[-1] if keys else None, facts | acting))
    return tuple(keys)


def _acting(method: str, settings: MethodSettings, task: int) -> dict[str, Any]:
    """The settings that training has obeyed when `task` is learned: a later one leaves the earlier keys alone."""
    trains = (name for name in fields(method) if acts(method, name) != "eval" and from_task(method, name) <= task)
    return {name: getattr(settings, name) for name in trains}


def resume_point(first: int, is_kept: Callable[[int], bool]) -> int:
    """The stage to go on from so that stage `first` is had: the latest kept one at or before it; 0: from the start."""
    return next((task for task in range(first, 0, -1) if is_kept(task)), 0)


def stages_to_learn(unknown: list[int], is_kept: Callable[[int], bool]) -> list[int]:
    """The tasks that are learned where these stages (ascending) have neither rows nor counts: the way to them, too."""
    if not unknown:
        return []
    return [t for t in range(resume_point(unknown[0], is_kept) + 1, unknown[-1] + 1) if not is_kept(t)]
