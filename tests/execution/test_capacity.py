"""How many trials fit, and the refusal of what never can."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from clsearch.errors import UsageError
from clsearch.execution.capacity import Machine, concurrency
from clsearch.spec.sweep import SweepSpec, load_sweep


def spec(**changes: Any) -> SweepSpec:
    return dataclasses.replace(load_sweep("mora_clip", ["profile=nano"]), **changes)


@pytest.mark.parametrize(
    ("machines", "changes", "expected"),
    [
        ([Machine({"CPU": 2})], {}, 2),
        ([Machine({"CPU": 2})], {"max_parallel": 1}, 1),
        ([Machine({"CPU": 8}), Machine({"CPU": 3})], {"cpus_per_worker": 2.0}, 5),
        ([Machine({"CPU": 0}), Machine({"CPU": 32, "GPU": 4}, 8)], {"gpus_per_worker": 1.0}, 32),
        ([Machine({"CPU": 8, "GPU": 4})], {"gpus_per_worker": 0.5}, 8),
        ([Machine({"CPU": 8, "GPU": 2})], {"gpus_per_worker": 0.6}, 2),
        ([Machine({"CPU": 8, "GPU": 1}, 3)], {"gpus_per_worker": 1.0, "runner": "train", "workers": 2}, 1),
        ([Machine({"CPU": 4}, math.inf)], {"max_parallel": 20}, 20),
        ([Machine({"CPU": 4}, math.inf)], {}, 500),
        ([Machine({"CPU": 2})], {"cpus_per_worker": 0.01}, 200),
    ],
)
def test_concurrency(machines: list[Machine], changes: dict[str, Any], expected: int) -> None:
    assert concurrency(spec(**changes), machines) == expected


@pytest.mark.parametrize(
    ("machines", "changes", "message"),
    [
        ([Machine({"CPU": 8})], {"gpus_per_worker": 1.0}, r"resources\.gpus=1 .* \(0\)"),
        ([Machine({"CPU": 8, "GPU": 2}, 9)], {"gpus_per_worker": 4.0}, r"resources\.gpus=4 .* \(2\)"),
        ([Machine({"CPU": 2})], {"cpus_per_worker": 8.0}, r"resources\.cpus=8 .* \(2\)"),
        ([Machine({"CPU": 2})], {"runner": "train", "workers": 3}, r"resources\.workers=3 with 1 CPU each"),
    ],
)
def test_what_can_never_be_placed_is_refused(machines: list[Machine], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        concurrency(spec(**changes), machines)
