"""The sequences of a sweep that are known before it starts, and how many of their stages the store knows already."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from clsearch.execution.job import Job, make_job, make_request, search_job
from clsearch.learning.keys import Stage, request_stages, request_stream, stages_to_learn
from clsearch.results.counts import known_counts
from clsearch.results.store import Store
from clsearch.results.trials import read_trials
from clsearch.search.designs import coming_settings
from clsearch.search.stored import tasks_without_rows
from clsearch.spec.afterwards import racing
from clsearch.spec.plan import Reusable
from clsearch.spec.sweep import SweepSpec


def count_reusable(spec: SweepSpec, store: Store, weights: Collection[str]) -> Reusable:
    """See `reuse.known_stages`; `weights` are the digests seen under the backbone's name."""
    rows = set(store.row_names(spec.name))
    streams: dict[tuple[Any, ...], Any] = {}
    sequences: list[_Sequence] = []
    for job in _jobs(spec, store):
        lacking = tasks_without_rows(spec, job, rows)
        if not lacking:
            continue
        request = make_request(spec, job, attempt=0)
        place = (request.benchmark, request.order_seed, request.part, request.max_tasks, request.splits)
        if place not in streams:
            streams[place] = request_stream(request)
        chains = tuple(request_stages(request, streams[place], digest) for digest in sorted(weights))
        sequences.append(_Sequence(job.phase == "search", chains, lacking))
    found = store.read_many(sequences, lambda sequence: _count_known(store, sequence))
    return Reusable(
        search=sum(known for known, sequence in zip(found, sequences, strict=True) if sequence.is_search),
        later=sum(known for known, sequence in zip(found, sequences, strict=True) if not sequence.is_search),
        asked=sum(len(sequence.lacking) for sequence in sequences),
    )


@dataclass(frozen=True)
class _Sequence:
    """A sequence to come: its stages under each of the weights, and the tasks whose rows it lacks."""

    is_search: bool
    chains: tuple[tuple[Stage, ...], ...]
    lacking: tuple[int, ...]


def _jobs(spec: SweepSpec, store: Store) -> Iterator[Job]:
    """The sequences whose settings and seeds are known and that have not ended."""
    claimed: dict[int, dict[str, Any]] = {}
    status: dict[int, str] = {}
    for trial in read_trials(store, spec.name):
        if trial.claim is not None:
            claimed[trial.number], status[trial.number] = spec.setting_from_json(trial.claim["setting"]), trial.status
    unfinished = {number: setting for number, setting in claimed.items() if status[number] == "running"}
    for number, setting in sorted({**unfinished, **coming_settings(spec, claimed)}.items()):
        if number < spec.trials:
            yield search_job(spec, number, setting)
    if status.get(0, "running") not in ("running", "complete"):
        return  # the published setting failed: it is not compared with
    published, first = spec.published_setting(), (spec.eval_settings()[0],)
    for seeds in spec.race_seeds() if racing(spec) else ():
        yield make_job(0, published, "race", seeds, first)
    for seeds in spec.confirm_seeds():
        yield make_job(0, published, "confirm", seeds, first)


def _count_known(store: Store, sequence: _Sequence) -> int:
    """How many of the stages without rows a run would not learn."""
    return max((len(sequence.lacking) - _to_learn(store, sequence.lacking, chain)) for chain in sequence.chains)


def _to_learn(store: Store, lacking: tuple[int, ...], chain: tuple[Stage, ...]) -> int:
    there = known_counts(store, [chain[task - 1].key for task in lacking])
    unknown = [task for task in lacking if not set(chain[task - 1].counts.values()) <= there]
    learned = stages_to_learn(unknown, lambda task: store.exists(store.stage_path(chain[task - 1].key)))
    return len(set(learned) & set(lacking))
