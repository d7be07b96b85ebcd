"""A whole sweep: search, confirmation, summary. The same call again goes on where the store says it stands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune

from clsearch.errors import EXIT_FAILED_TRIALS, UsageError
from clsearch.execution.capacity import cluster_machines, concurrency, worker_resources
from clsearch.execution.trial import Learner, run_trial
from clsearch.results.store import Store
from clsearch.results.trials import best_trial
from clsearch.search.cluster import ray_cluster, scratch_folder
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.live import Board
from clsearch.search.places import PlaceKeeper
from clsearch.search.scheduler import GuardedStopping
from clsearch.search.searcher import Deaths, SweepSearcher
from clsearch.search.summary import summary
from clsearch.search.table import table_jobs
from clsearch.spec.identity import register
from clsearch.spec.sweep import SweepSpec

EXIT_INTERRUPTED = 130
_LOSSES = 2  # how often a trial whose process was lost is tried again at once


def run_sweep(spec: SweepSpec, store: Store, learner: Learner | None = None) -> int:
    """Learn what the sweep asks for and the store lacks; returns the exit code.

    Connects to the cluster of RAY_ADDRESS (a submitted job has it) or starts a local one for as long as this lasts.

    Args:
        learner: stands in for `run_sequence` in tests; a function at the top of an importable module.

    Returns:
        0, or 3 where trials of the sweep have failed, or 130 after Ctrl-C.

    Raises:
        UsageError: resources that the cluster can never have, a local store on several machines, another sweep under
            this name (nothing is claimed in these cases); or what trials found missing or damaged: what could be
            learned is in the store, and the same command goes on once it is mended.
    """
    try:
        with ray_cluster():
            parallel = concurrency(spec, cluster_machines())
            if store.is_local and sum(machine.count for machine in cluster_machines()) > 1:
                raise UsageError(
                    f"storage '{store.uri}' is a folder of one machine, and the cluster has several: "
                    "give a place all of them reach, such as storage=s3://bucket/prefix"
                )
            register(spec, store)
            return _search(spec, store, parallel, learner)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", flush=True)
        return EXIT_INTERRUPTED


def _search(spec: SweepSpec, store: Store, parallel: int, learner: Learner | None) -> int:
    ledger = Ledger(spec, store)
    searcher = SweepSearcher(ledger, table_jobs if spec.table.pairs else follow_up)
    best = best_trial(ledger.trials, spec.objective.direction)
    with Board(spec, best.objective if best is not None else None) as board:
        board.say(_opening(spec, ledger, parallel))
        with _tune_folder() as folder:
            try:
                _tuner(spec, store, searcher, board, parallel, learner, folder).fit()
            finally:
                searcher.stop()
    if searcher.refused:
        raise UsageError(searcher.refused[0][1])
    ledger.refresh()
    print(summary(ledger, board, len(searcher.failed_jobs)), flush=True)
    if searcher.blocked:
        raise UsageError(searcher.blocked[0][1])
    failed = any(trial.status == "failed" for trial in ledger.trials) or ledger.race_failures() or searcher.failed_jobs
    return EXIT_FAILED_TRIALS if failed else 0


def _tuner(
    spec: SweepSpec,
    store: Store,
    searcher: SweepSearcher,
    board: Board,
    parallel: int,
    learner: Learner | None,
    folder: Path,
) -> tune.Tuner:
    trainable: Any = tune.with_parameters(run_trial, spec=spec, store_uri=store.uri, learner=learner)
    # With runner `train` the trial itself only waits for its workers, and they ask for their own places: it takes a
    # byte, because Tune refuses an empty request.
    bundle = worker_resources(spec) if spec.runner == "process" else {"memory": 1.0}
    stops = spec.stopping.name != "none"
    return tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([bundle])),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=GuardedStopping(searcher, board.say) if stops else None,
            num_samples=-1,
            max_concurrent_trials=parallel,
            # A new process costs seconds (it imports torch); Train's own workers are new in any case, and while they
            # live their trial's process cannot take up another one.
            reuse_actors=spec.runner == "process" or (spec.workers == 1 and not stops),
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=spec.name,
            storage_path=str(folder),
            callbacks=[Deaths(searcher), PlaceKeeper(), board],
            failure_config=tune.FailureConfig(max_failures=_LOSSES),
            verbose=0,
        ),
    )


@contextmanager
def _tune_folder() -> Iterator[Path]:
    """Tune's own folder: scratch, because the store holds whatever is worth keeping."""
    with scratch_folder() as folder:
        try:
            yield folder / "tune"
        finally:
            shutil.rmtree(folder / "tune", ignore_errors=True)


def _opening(spec: SweepSpec, ledger: Ledger, parallel: int) -> str:
    trials = [trial for trial in ledger.trials if trial.number < spec.trials]
    ended = sum(trial.status != "running" for trial in trials)
    new = spec.trials - len(trials)
    return (
        f"sweep {spec.name}: {spec.trials} trials, {parallel} at a time; store {ledger.store.uri}\n"
        f"{ended} have ended, {len(trials) - ended} carry on with the setting they claimed, {new} are new"
    )
