"""The Tune trainable: one job learned in a trial process, its life written to the store, its tasks told to Tune."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from clsearch.errors import UsageError
from clsearch.execution.job import Job, make_request
from clsearch.execution.objective import ranked, score_settings
from clsearch.learning.request import SequenceResult, TaskReport
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

    job = Job.from_config(config)
    try:
        store = open_store(store_uri, create=False)
        final = _run(spec, job, store, learner, tune.report)
    except StoreError as error:
        final = {"status": "blocked", "cause": redact(str(error))}
    except UsageError as error:
        final = {"status": "refused", "cause": redact(str(error))}
    tune.report(final)


def _run(spec: SweepSpec, job: Job, store: Store, learner: Learner | None, report: Report) -> dict[str, Any]:
    started = time.time()
    attempt = begin_attempt(store, spec.name, job)
    outcome_path = store.outcome_path(spec.name, job.trial)
    try:
        result = _learn(spec, job, store, attempt, learner, report)
        if job.phase != "search":
            return {"status": "complete"}
        outcome = conclude(spec, job, store, result, started)
        store.put_json(outcome_path, outcome)
        return {name: outcome[name] for name in ("status", "cause", "objective")}
    except UsageError:
        raise
    except Exception as error:
        if _workers_were_lost(error):
            raise
        cause = describe(error)
        if job.phase == "search":
            store.put_json(outcome_path, failed_outcome(cause, wall_seconds=time.time() - started))
        return {"status": "failed", "cause": cause, "traceback": redact(traceback.format_exc())}


def begin_attempt(store: Store, sweep: str, job: Job) -> int:
    """Write the next free attempt of the job's trial; returns its number, from 1."""
    attempt = {
        "started_at": _now(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "phase": job.phase,
        "run_seed": job.run_seed,
        "order_seed": job.order_seed,
    }
    for number in itertools.count(1):
        if store.put_json(store.attempt_path(sweep, job.trial, number), attempt):
            return number
    raise AssertionError("unreachable")


def conclude(spec: SweepSpec, job: Job, store: Store, result: SequenceResult, started: float) -> dict[str, Any]:
    """The outcome of a learned sequence: the objective of each eval setting from its rows, the best one first."""
    rows = store.read_rows(
        spec.name, trial=job.trial, phase=job.phase, order_seed=job.order_seed, run_seed=job.run_seed
    )
    scores = score_settings(rows, result.tasks_total, spec.objective.metric, job.eval_settings, "validation")
    order = ranked(scores, spec.objective.direction)
    seconds: dict[str, Any] = {
        "learn_seconds": result.learn_seconds,
        "evaluate_seconds": result.evaluate_seconds,
        "wall_seconds": time.time() - started,
    }
    if not order:
        return failed_outcome(f"ValueError: the objective {spec.objective.metric} is not a number", **seconds)
    return {
        "status": "complete",
        "tasks_learned": result.tasks_total,
        "tasks_total": result.tasks_total,
        "objective": scores[order[0]],
        "eval_setting": dict(job.eval_settings[order[0]]),
        "objectives": [[dict(job.eval_settings[i]), scores[i]] for i in order],
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
