"""What a plan says that a setting needs at the least, against what its method holds in the end."""

from __future__ import annotations

import dataclasses

import pytest

from clsearch.spec.backbones import find_backbone
from clsearch.spec.cost import least_parameters
from tests.methods.nano import CASES, Nano


@pytest.mark.parametrize("case", CASES)
def test_no_method_needs_less(case: str) -> None:
    nano = Nano(case)
    tasks = len(nano.stream.tasks)
    for t in range(1, tasks):
        nano.learn(t)
    data = nano.begin(tasks)
    trained = nano.method.trained_parameters()
    nano.method.end_task(data)
    name, _, backbone, _ = CASES[case]
    settings = dataclasses.asdict(nano.method.settings)
    least = least_parameters(name, settings, find_backbone(backbone), tasks)
    assert least.get("trained_parameters", 0) <= trained
    stored = nano.method.stored_parameters()
    assert least.get("stored_parameters", 0) <= stored
    # It is of use only where it is not far below: what is left out are heads, routers and restarts.
    assert not least or least["stored_parameters"] >= 0.6 * stored
