"""Death between any two writes, then the same command again: rows, choices and verdict are as in an undisturbed run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from clsearch.learning.checkpoint import decode
from clsearch.learning.request import SequenceRequest
from clsearch.learning.sequence import run_sequence
from clsearch.results.spending import spent
from clsearch.results.store import Store
from clsearch.spec.sweep import SweepSpec, load_sweep

sys.path.append(str(Path(__file__).parents[1] / "search"))

import known_curves
from mortal import KilledError, MemoryObjects, drive
from said import facts


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


# The life of trials, and what follows the search


@pytest.fixture(scope="module")
def spec() -> SweepSpec:
    asked = ("trials=2", "sampler.startup=1", "race.top=2", "race.pairs=2", "confirm.pairs=1", "max_parallel=1")
    return load_sweep("mora_clip", ["profile=nano", "eval_grid.threshold=[0.2]", *asked])


@pytest.fixture(scope="module")
def undisturbed(spec: SweepSpec) -> MemoryObjects:
    objects = MemoryObjects()
    with pytest.MonkeyPatch.context() as patch:
        drive(spec, Store(objects), known_curves.learn, patch)
    return objects


def test_a_sweep_has_every_kind_of_write(undisturbed: MemoryObjects, spec: SweepSpec) -> None:
    kinds = ("claim", "attempt-", "end-", "outcome", "stages/", "verdicts/", "-search-", "-race-", "-confirm-")
    assert {kind for kind in kinds if any(kind in path for path in undisturbed.objects)} == set(kinds)
    assert spent(Store(undisturbed), spec.name).lost_attempts == 0


def test_a_driver_that_dies_between_two_writes_is_taken_up(
    undisturbed: MemoryObjects, spec: SweepSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = facts(undisturbed.objects)
    for written, left in enumerate(undisturbed.history):
        objects = MemoryObjects(left)
        drive(spec, Store(objects), known_curves.learn, monkeypatch)
        assert facts(objects.objects) == expected, f"after {written} writes"
        # At most the one that was cut off has no end.
        assert spent(Store(objects), spec.name).lost_attempts <= 1


def test_a_driver_that_dies_again_and_again_arrives(
    undisturbed: MemoryObjects, spec: SweepSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every start lives for four writes only, and one of them says that it started."""
    left: Mapping[str, bytes] = {}
    starts, arrived = 0, False
    while not arrived:
        starts += 1
        objects = MemoryObjects(left, lives=4)
        try:
            drive(spec, Store(objects), known_curves.learn, monkeypatch)
            arrived = True
        except KilledError:
            left = objects.objects
    assert starts > len(undisturbed.history) / 4
    assert facts(objects.objects) == facts(undisturbed.objects)


# A sequence


@pytest.mark.parametrize("keep", ["all", "last", "none"])
def test_a_sequence_that_dies_between_two_writes_is_taken_up(keep: Any) -> None:
    request = SequenceRequest(
        sweep="s", trial=0, phase="search", protocol="end_of_sequence", method="mora",
        settings={"iterations": 1, "batch": 8, "new_rank": 4}, backbone="nano_clip", benchmark="nano_x_tail",
        order_seed=0, run_seed=0, eval_settings=({"threshold": 0.2}, {"threshold": 0.0}), parameters={"new_rank": 4},
        metric="average", keep=keep,
    )  # fmt: skip
    whole = MemoryObjects()
    run_sequence(request, Store(whole))
    expected, kept = facts(whole.objects), checkpoints(whole.objects)
    for written, left in enumerate(whole.history):
        objects = MemoryObjects(left)
        run_sequence(request, Store(objects))
        assert facts(objects.objects) == expected, f"after {written} writes"
        found = checkpoints(objects.objects)
        assert found.keys() >= kept.keys(), f"after {written} writes"
        # A run removes what it wrote itself and nothing it finds, which may be another sweep's: a death leaves at most
        # the checkpoint it went on from and the one before, whose removal was next.
        assert len(found) - len(kept) <= 2 * (keep == "last"), f"after {written} writes"
        for path, state in kept.items():
            assert all(torch.equal(state[name], found[path][name]) for name in state), f"after {written} writes"


def checkpoints(objects: Mapping[str, bytes]) -> dict[str, Any]:
    return {path: decode(data).state for path, data in objects.items() if path.startswith("stages/")}
