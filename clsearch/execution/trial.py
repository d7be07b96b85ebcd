"""The Tune trainable: one job learned in a trial process, its life written to the store, its tasks told to Tune."""

from __future__ import annotations

import itertools
import math
import os
import re
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clsearch.errors import UsageError
from clsearch.execution.costs import measured_costs, violations
from clsearch.execution.job import Job, make_request
from clsearch.execution.objective import ranked, validation_curve, validation_scores
from clsearch.learning.request import SequenceResult, TaskReport
from clsearch.results.spending import Ended, end_attempt
from clsearch.results.store import Store, StoreError, open_store
from clsearch.spec.sweep import SweepSpec

if TYPE_CHECKING:
    from clsearch.layers.workers import Workers  # imports torch, which a driver does not need

# What learns a request: `learning.sequence.run_sequence`, or a stand-in with its signature.
Learner = Callable[..., SequenceResult]
Report = Callable[[dict[str, Any]], None]

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY", re.IGNORECASE)


def run_trial(config: dict[str, Any], spec: SweepSpec, store_uri: str, learner: Learner | None = None) -> None:
    """Learn the job in `config` and report to Tune: one dict per finished task, then one with `status`.

    Status is `complete`; `failed`, with cause and traceback (the outcome says so too); `refused`: a UsageError, which
    may be the setting's fault or the machine's, so that the driver decides; or `blocked`: something of the store must
    be mended. The last two leave no outcome. Raises only where worker processes were lost, so that Tune tries again.
    """
    from ray import tune

    # A trial that was stopped ends its attempt in the store before its process takes up another: how long Tune waits
    # for that before it gives the other trial up.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
    job = Job.from_config(config)
    try:
        store = open_store(store_uri, create=False)
        final = _attempt(spec, job, config["asked"], store, learner, tune.report)
    except StoreError as error:
        final = {"status": "blocked", "cause": redact(str(error))}
    except UsageError as error:
        final = {"status": "refused", "cause": redact(str(error))}
    tune.report(final)


def _attempt(
    spec: SweepSpec, job: Job, asked: str, store: Store, learner: Learner | None, report: Report
) -> dict[str, Any]:
    """Learn the job as an attempt of its own, which has its end in the store when this returns or raises."""
    started = time.time()
    attempt = begin_attempt(store, spec, job, asked)
    ended: Ended = "stopped"  # where neither a result nor an error comes, the process was told to exit
    try:
        final = _run(spec, job, store, attempt, started, learner, report)
        ended = final["status"]
        return final
    except Exception as error:
        # Any other error that comes this far says that workers were lost.
        ended = "blocked" if isinstance(error, StoreError) else "refused" if isinstance(error, UsageError) else "lost"
        raise
    finally:
        end_attempt(store, spec.name, job.trial, attempt, ended, time.time() - started)


def _run(
    spec: SweepSpec, job: Job, store: Store, attempt: int, started: float, learner: Learner | None, report: Report
) -> dict[str, Any]:
    outcome_path = store.outcome_path(spec.name, job.trial)
    try:
        result = _learn(spec, job, store, attempt, learner, report)
        if job.phase != "search":
            return {"status": "complete"}
        outcome = conclude(spec, job, store, result, started)
        store.put_json(outcome_path, outcome)
        told = {name: outcome[name] for name in ("status", "cause", "objective")}
        return told | {"violations": outcome.get("violations", {})}
    except UsageError:
        raise
    except Exception as error:
        if _workers_were_lost(error):
            raise
        cause = describe(error)
        if job.phase == "search":
            store.put_json(outcome_path, failed_outcome(cause, wall_seconds=time.time() - started))
        elif job.phase == "race":
            path = store.race_failure_path(spec.name, job.trial, job.order_seed, job.run_seed)
            store.put_json(path, failed_outcome(cause, wall_seconds=time.time() - started))
        return {"status": "failed", "cause": cause, "traceback": redact(traceback.format_exc())}


def begin_attempt(store: Store, spec: SweepSpec, job: Job, asked: str) -> int:
    """Write the next free attempt of the job's trial; returns its number, from 1.

    Args:
        asked: the name under which the driver asked for the job, by which it knows the attempt again.
    """
    attempt = {
        "started_at": _now(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "phase": job.phase,
        "run_seed": job.run_seed,
        "order_seed": job.order_seed,
        "gpus": spec.gpus_per_worker * spec.workers,
        "asked": asked,
    }
    for number in itertools.count(1):
        if store.put_json(store.attempt_path(spec.name, job.trial, number), attempt):
            return number
    raise AssertionError("unreachable")


def conclude(spec: SweepSpec, job: Job, store: Store, result: SequenceResult, started: float) -> dict[str, Any]:
    """The outcome of a learned sequence: the objective of each eval setting from its rows, the best one first."""
    rows = store.read_rows(
        spec.name, trial=job.trial, phase=job.phase, order_seed=job.order_seed, run_seed=job.run_seed
    )
    scores = validation_scores(rows, spec.protocol, spec.objective.metric, job.eval_settings)
    order = ranked(scores, spec.objective.direction)
    curve = validation_curve(rows, spec.protocol, spec.objective, job.eval_settings)
    seconds: dict[str, Any] = {
        "learn_seconds": result.learn_seconds,
        "evaluate_seconds": result.evaluate_seconds,
        "wall_seconds": time.time() - started,
    }
    costs = measured_costs(rows)
    if not order:
        return failed_outcome(f"ValueError: the objective {spec.objective.metric} is not a number", **seconds)
    return {
        "status": "complete",
        "tasks_learned": result.tasks_total,
        "tasks_total": result.tasks_total,
        "objective": scores[order[0]],
        "eval_setting": dict(job.eval_settings[order[0]]),
        "objectives": [[dict(job.eval_settings[i]), scores[i]] for i in order],
        "curve": [_number(value) for value in curve],
        "costs": costs,
        "violations": violations(costs, spec.constraints.limits()),
        "cause": None,
        **seconds,
        "stages_reused": result.stages_reused,
        "stages_learned": result.stages_learned,
        "records": list(result.records),
        "finished_at": _now(),
    }


def failed_outcome(cause: str, *, tasks_learned: int = 0, **seconds: float) -> dict[str, Any]:
    """The outcome of a trial that ended with an error."""
    return {
        "status": "failed",
        "tasks_learned": tasks_learned,
        "tasks_total": None,
        "objective": None,
        "eval_setting": None,
        "objectives": [],
        "cause": cause,
        "learn_seconds": 0.0,
        "evaluate_seconds": 0.0,
        "wall_seconds": 0.0,
        **seconds,
        "stages_reused": 0,
        "stages_learned": 0,
        "finished_at": _now(),
    }


def pruned_outcome(
    reports: Sequence[Mapping[str, Any]], stopped: Mapping[str, Any], wall_seconds: float
) -> dict[str, Any]:
    """The outcome of a trial that was stopped: no result, and the curve as far as it came.

    Args:
        reports: what Tune was told of each finished task (`task_report`).
        stopped: what the decision rests on.
    """
    reused = sum(report["reused"] for report in reports)
    return {
        "status": "pruned",
        "tasks_learned": len(reports),
        "tasks_total": reports[-1]["tasks_total"],
        "objective": None,
        "eval_setting": None,
        "objectives": [],
        "curve": [_number(report["metric"]) for report in reports],
        "stopped": dict(stopped),
        "cause": None,
        "learn_seconds": sum(report["learn_seconds"] for report in reports),
        "evaluate_seconds": sum(report["evaluate_seconds"] for report in reports),
        "wall_seconds": wall_seconds,
        "stages_reused": reused,
        "stages_learned": len(reports) - reused,
        "finished_at": _now(),
    }


def describe(error: BaseException) -> str:
    """`Type: message` in one line, without secrets."""
    lines = str(error).strip().splitlines()
    return redact(f"{type(error).__name__}: {lines[0] if lines else ''}")[:500]


def redact(text: str) -> str:
    """The text without the values of environment variables that hold secrets."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 8:
            text = text.replace(value, "***")
    return text


def task_report(report: TaskReport) -> dict[str, Any]:
    """What Tune is told of a finished task."""
    return {
        "task": report.task,
        "tasks_total": report.tasks_total,
        "metric": report.metric,
        "learn_seconds": report.learn_seconds,
        "evaluate_seconds": report.evaluate_seconds,
        "reused": report.reused,
    }


def learn_here(
    spec: SweepSpec, job: Job, store: Store, attempt: int, learner: Learner | None, workers: Workers, report: Report
) -> SequenceResult:
    """Run the job's sequence in this process, as one of `workers`; `report` is told of every finished task."""
    if not spec.gpus_per_worker:
        # Ray hides the GPUs it did not give, but not where it gave none at all.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    if learner is None:
        from clsearch.learning.sequence import run_sequence

        learner = run_sequence
    # Sums are split over threads: a fixed number of them gives the same bits in every attempt.
    torch.set_num_threads(max(1, int(spec.cpus_per_worker)))
    request = make_request(spec, job, attempt)
    return learner(request, store, workers, lambda task: report(task_report(task)))


def _learn(
    spec: SweepSpec, job: Job, store: Store, attempt: int, learner: Learner | None, report: Report
) -> SequenceResult:
    if spec.runner == "train":
        from clsearch.execution.workers import learn_on_workers

        return learn_on_workers(spec, job, store.uri, attempt, learner)
    from clsearch.layers.workers import Workers

    return learn_here(spec, job, store, attempt, learner, Workers(), report)


def _workers_were_lost(error: Exception) -> bool:
    """Whether a Ray Train run ended because its processes or machines went away, not because code raised."""
    from ray.train import TrainingFailedError

    return isinstance(error, TrainingFailedError)


def _number(value: float) -> float | None:
    """A figure as JSON has it, which knows no NaN."""
    return value if math.isfinite(value) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
