"""One sequence on several worker processes: Ray Train inside the trial (`runner: train`)."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import ray.train
import ray.util
from ray.train.torch import TorchConfig, TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from clsearch.errors import UsageError
from clsearch.execution.capacity import worker_resources
from clsearch.execution.job import Job
from clsearch.results.store import open_store
from clsearch.spec.sweep import SweepSpec

if TYPE_CHECKING:
    from clsearch.execution.trial import Learner
    from clsearch.learning.request import SequenceResult

_BROKEN_OFF = re.compile(r"gloo|nccl|connection|peer", re.IGNORECASE)


def learn_on_workers(
    spec: SweepSpec, job: Job, store_uri: str, attempt: int, learner: Learner | None
) -> SequenceResult:
    """Learn the job on `spec.workers` processes; rank 0's task reports reach Tune. Only inside a Tune trial.

    Raises what a worker raised, or ray.train's TrainingFailedError where processes were lost.
    """
    resources = worker_resources(spec)
    # Nothing of Ray's is kept: the store holds the state, so the inner run writes to scratch and never restores.
    with tempfile.TemporaryDirectory(prefix="clsearch-train-") as scratch:
        trainer: Any = TorchTrainer(
            cast(Any, _learn_as_worker),  # its result is `return_value`, which Ray's type does not say
            train_loop_config={
                "spec": spec,
                "job": job.to_config(),
                "store_uri": store_uri,
                "attempt": attempt,
                "learner": learner,
                # Train's own report is a barrier over all workers, and only rank 0 has something to say.
                "reports": TuneReportCallback()._training_actor_item_queue,  # type: ignore[no-untyped-call]
            },
            torch_config=TorchConfig(backend="nccl" if resources.get("GPU") else "gloo"),
            scaling_config=ray.train.ScalingConfig(
                num_workers=spec.workers, use_gpu=bool(resources.get("GPU")), resources_per_worker=resources
            ),
            run_config=ray.train.RunConfig(
                name=f"{spec.name}-{job.trial}-{job.phase}-{job.order_seed}-{job.run_seed}",
                storage_path=scratch,
                failure_config=ray.train.FailureConfig(max_failures=0),
            ),
        )
        try:
            return cast("SequenceResult", trainer.fit().return_value)
        except ray.train.WorkerGroupError as error:
            own = _own_error(error.worker_failures.values())
            if own is None:
                raise
            raise own from error  # whose message holds the worker's traceback


def _own_error(failures: Iterable[Exception]) -> Exception | None:
    """What a worker's own code raised, where no process was lost; then it is the reason, and the rest follows from it.

    When one worker raises, its peers break off with errors of their communication, which tell nothing.
    """
    errors = list(failures)
    if any(type(error).__module__.startswith("ray.") for error in errors):
        return None
    return min(
        errors, key=lambda one: (not isinstance(one, UsageError), bool(_BROKEN_OFF.search(str(one)))), default=None
    )


def _learn_as_worker(config: dict[str, Any]) -> SequenceResult | None:
    from clsearch.execution.trial import learn_here
    from clsearch.layers.workers import Workers

    context = ray.train.get_context()
    reports = config["reports"]
    group = ray.util.get_current_placement_group()
    assert group is not None  # Train places its workers in one
    place = {"placement_group": group.id.hex()}  # see search.places
    workers = Workers(context.get_world_rank(), context.get_world_size())
    result = learn_here(
        config["spec"],
        Job.from_config(config["job"]),
        open_store(config["store_uri"], create=False),
        config["attempt"],
        config["learner"],
        workers,
        lambda report: None if workers.rank else reports.put({**report, **place}),
    )
    return result if workers.rank == 0 else None
