"""Counts by stage: what the evaluation of a stage gave, kept for whoever comes to the same stage again.

Rows belong to a trial of a sweep. These facts belong to the stage alone, so that another trial number, sweep, metric or
phase writes its rows from them and neither learns nor evaluates anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clsearch.results.layout import backbone_path, backbone_prefix, counts_prefix
from clsearch.results.objects import StoreConflict, StoreError
from clsearch.results.store import Store

_RECORD = ("trained_parameters", "stored_parameters", "learn_seconds")  # what rows need of a stage's record


@dataclass(frozen=True)
class StageCounts:
    """A stage under one eval setting on one split, with what a row says of where its numbers come from.

    correct, count: one number per evaluated task, in task order. record: the stage's own (parameters, learn_seconds,
    what its method noted). eval_seconds: of this eval setting on this split. source: the code that computed it.
    """

    stage_key: str
    eval_setting: Mapping[str, Any]
    split: str
    correct: tuple[int, ...]
    count: tuple[int, ...]
    record: Mapping[str, Any]
    eval_seconds: float
    workers: int
    device: str
    source: Mapping[str, Any]


def put_counts(store: Store, path: str, counts: StageCounts) -> bool:
    """Create the counts: True if written, False if they were there and say the same.

    Raises:
        StoreConflict: other numbers are there. Under one key and on one kind of machine a stage has one result.
    """
    if store.put_json(path, dataclasses.asdict(counts)):
        return True
    stored = read_counts(store, path, len(counts.count))
    if stored is not None and (stored.correct, stored.count) != (counts.correct, counts.count):
        raise StoreConflict(
            f"counts {store.uri}/{path} say {list(stored.correct)} of {list(stored.count)} (on {stored.device}), and "
            f"{list(counts.correct)} of {list(counts.count)} were measured now (on {counts.device}). If two runs on "
            "unlike machines learned the stage at once, run the same command again: it takes what is stored. Else one "
            "of the two was computed by changed code under the same numerics version, or on damaged data"
        )
    return False


def read_counts(store: Store, path: str, tasks: int) -> StageCounts | None:
    """The counts at `path`, of `tasks` evaluated tasks; None where there are none. Raises StoreError if damaged."""
    try:
        value = store.get_json(path)
    except FileNotFoundError:
        return None
    problem = _problem(value, tasks)
    if problem is not None:
        raise StoreError(
            f"counts {store.uri}/{path} are damaged ({problem}): remove the object, and the same command measures the "
            "stage anew"
        )
    known = {field.name: value[field.name] for field in dataclasses.fields(StageCounts)}
    return StageCounts(**known | {"correct": tuple(value["correct"]), "count": tuple(value["count"])})


def _problem(value: Any, tasks: int) -> str | None:
    """What is wrong with a counts object, in words; None if nothing is."""
    if not isinstance(value, Mapping):
        return "not an object"
    missing = [field.name for field in dataclasses.fields(StageCounts) if field.name not in value]
    if missing:
        return f"without {', '.join(missing)}"
    for name in ("correct", "count"):
        numbers = value[name]
        if not isinstance(numbers, list) or len(numbers) != tasks or any(type(number) is not int for number in numbers):
            return f"'{name}' is no list of {tasks} whole numbers"
    if any(not 0 <= right <= total for right, total in zip(value["correct"], value["count"], strict=True)):
        return "more correct answers than examples"
    if not isinstance(value["record"], Mapping) or any(name not in value["record"] for name in _RECORD):
        return f"its record lacks one of {', '.join(_RECORD)}"
    return None


def known_counts(store: Store, keys: Sequence[str]) -> set[str]:
    """The paths of all counts of these stages of a chain: first those without rows of one's own, parents first.

    Whoever learned a stage has measured its parent before: where the first stage has no counts (one listing), the
    others are not asked for. Rows say nothing of counts, as those of old stores have none.
    """
    first = store.list(counts_prefix(keys[0]))
    if not first:
        return set()
    others = store.read_many(keys[1:], lambda key: store.list(counts_prefix(key)))
    return {*first, *(path for paths in others for path in paths)}


def note_weights(store: Store, backbone: str, precision: str, weights: str) -> None:
    """Write down which weights stages are learned on, once: a plan derives keys from it without loading a network."""
    path = backbone_path(backbone, precision, weights)
    if not store.exists(path):
        store.put_json(path, {"backbone": backbone, "precision": precision, "weights": weights})


def noted_weights(store: Store, backbone: str, precision: str) -> Collection[str]:
    """The digests of the weights that stages of this store were learned on under the backbone's name, mostly one."""
    found = store.read_many(store.list(backbone_prefix(backbone, precision)), store.get_json)
    return {note["weights"] for note in found if (note["backbone"], note["precision"]) == (backbone, precision)}
