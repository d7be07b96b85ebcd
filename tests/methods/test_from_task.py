"""A field that acts from a later task on leaves no trace in the stages before it: what lets trials share them."""

from __future__ import annotations

from typing import Any, get_args, get_origin

import pytest
import torch

from clsearch.spec.settings import METHODS, acts, field_type, fields, forks, from_task
from tests.methods.nano import CASES, Nano

LATER = [
    (case, name, value)
    for case, (method, settings, _, _) in CASES.items()
    for name, field in fields(method).items()
    if from_task(method, name) > 1
    for value in (
        get_args(field_type(method, name))
        if get_origin(field_type(method, name)) is not None
        else [settings.get(name, field.default) * 3]
    )
]


def learned(case: str, **overrides: Any) -> Nano:
    nano = Nano(case, overrides=overrides)
    nano.learn(1)
    return nano


def facts(nano: Nano) -> tuple[Any, ...]:
    method = nano.method
    return method.record(), method.stored_parameters(), nano.losses


@pytest.mark.parametrize(("case", "name", "value"), LATER)
def test_the_first_stage_is_the_same_to_the_bit(case: str, name: str, value: Any) -> None:
    assert acts(CASES[case][0], name) == "train"
    one, other = learned(case), learned(case, **{name: value})
    first, second = one.method.state(), other.method.state()
    assert list(first) == list(second)
    assert all(torch.equal(first[part], second[part]) and first[part].dtype == second[part].dtype for part in first)
    assert facts(one) == facts(other)
    assert torch.equal(one.scores(1), other.scores(1))


def test_what_is_said_to_act_later_acts_later() -> None:
    """The selector of FM-LoRA has nothing to select before task 2; the rank bounds and the bases are there at once."""
    later = {(method, name) for method in METHODS for name in fields(method) if from_task(method, name) > 1}
    assert later == {
        ("fm_lora", name)
        for name in (
            *("rank_selector", "selector_temperature", "selector_tolerance"),
            *("selector_learning_rate", "selector_epochs"),
        )
    }
    assert [(method, task) for method in METHODS for task in (2, 3) if forks(method, task)] == [("fm_lora", 2)]
    assert all(from_task(method, name) in (1, 2) for method in METHODS for name in fields(method))


@pytest.mark.parametrize(
    "change", [{"combination": "continue"}, {"orthonormalise": "none"}, {"candidate_ranks": (1, 4)}]
)
def test_what_looks_later_but_is_not(change: dict[str, Any]) -> None:
    """These seem to concern the passage to the next task, and are in the first stage's state already."""
    one, other = learned("fm_lora").method.state(), learned("fm_lora", **change).method.state()
    assert list(one) != list(other) or any(not torch.equal(one[part], other[part]) for part in one)
