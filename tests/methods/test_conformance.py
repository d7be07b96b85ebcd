"""What holds for every method, under every switch: one suite, on nano networks in float64."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from clsearch.methods import METHODS
from clsearch.spec import settings as spec_settings
from tests.methods import golden
from tests.methods.nano import CASES, Nano

every_case = pytest.mark.parametrize("case", CASES)


def bits(tensors: dict[str, torch.Tensor]) -> dict[str, bytes]:
    return {name: tensor.detach().contiguous().numpy().tobytes() for name, tensor in tensors.items()}


def test_every_method_has_settings_and_a_case() -> None:
    assert set(METHODS) == set(spec_settings.METHODS)
    assert {case[0] for case in CASES.values()} == set(METHODS)


@every_case
def test_golden_numbers(case: str) -> None:
    stored, measured = json.loads(golden.FILE.read_text())[case], golden.measure(case)
    assert stored["numerics"] == measured["numerics"], "numerics raised: run python -m tests.methods.golden"
    assert len(stored["losses"]) == len(measured["losses"])
    assert stored["losses"] == pytest.approx(measured["losses"], rel=1e-8, abs=1e-12)
    assert stored["norms"] == pytest.approx(measured["norms"], rel=1e-8, abs=1e-12)
    assert stored["scores"] == pytest.approx(measured["scores"], rel=1e-8, abs=1e-8)


@every_case
def test_a_loaded_state_goes_on_as_if_never_stopped(case: str) -> None:
    straight, first, second = Nano(case), Nano(case), Nano(case)
    for t in (1, 2, 3):
        straight.learn(t)
    for t in (1, 2):
        first.learn(t)
    second.method.load_state({name: tensor.clone() for name, tensor in first.method.state().items()})
    assert bits(second.method.state()) == bits(first.method.state())
    assert torch.equal(second.scores(1), first.scores(1))
    second.learn(3)
    assert bits(second.method.state()) == bits(straight.method.state())
    assert torch.equal(second.scores(2), straight.scores(2))


@every_case
def test_frozen_parts_are_unchanged_bit_for_bit(case: str) -> None:
    nano = Nano(case)
    before = bits({n: p for n, p in nano.backbone.named_parameters() if ".adapter." not in n})
    nano.learn(1)
    nano.learn(2)
    after = bits({n: p for n, p in nano.backbone.named_parameters() if ".adapter." not in n})
    if CASES[case][0] == "fine_tuning":
        assert before.keys() == after.keys()
        changed = {name for name in before if before[name] != after[name]}
        assert len(changed) > len(before) / 2
        assert not any(name.endswith("logit_scale") for name in changed)
    else:
        assert before == after


@every_case
def test_the_number_of_trained_parameters_is_what_the_optimiser_gets(case: str) -> None:
    nano = Nano(case)
    nano.begin(1)
    groups = nano.method.parameter_groups()
    parameters = [p for group in groups for p in group.parameters]
    assert all(p.requires_grad for p in parameters)
    assert len({id(p) for p in parameters}) == len(parameters)
    assert nano.method.trained_parameters() == sum(p.numel() for p in parameters)


@every_case
def test_every_trained_parameter_moves(case: str) -> None:
    nano = Nano(case)
    nano.learn(1)
    data = nano.begin(2)
    parameters = [p for group in nano.method.parameter_groups() for p in group.parameters]
    before = [p.detach().clone() for p in parameters]
    nano.train(data)
    unmoved = [tuple(p.shape) for p, b in zip(parameters, before, strict=True) if torch.equal(p.detach(), b)]
    # CLIP's text tower has token embeddings for words that no class name uses; all else must learn.
    assert not [shape for shape in unmoved if math.prod(shape) > 0], unmoved


@every_case
def test_predicting_changes_nothing_and_does_not_depend_on_the_batch(case: str) -> None:
    nano = Nano(case)
    nano.learn(1)
    before = bits(nano.method.state())
    examples = nano.stream.tasks[0].validation
    images = nano.prepare(examples.images(torch.arange(len(examples)).numpy()))
    with torch.inference_mode():
        predict = nano.method.predictor({})
        together = predict(images)
        alone = torch.cat([predict(image[None]) for image in images])
    assert torch.allclose(together, alone, rtol=1e-9, atol=1e-9)
    assert bits(nano.method.state()) == before


@every_case
def test_a_state_of_other_names_is_refused(case: str) -> None:
    nano = Nano(case)
    nano.learn(1)
    state = nano.method.state()
    if not state:
        pytest.skip("zero-shot CLIP keeps no state")
    state.pop(sorted(state)[0])
    with pytest.raises(KeyError):
        nano.method.load_state(state)


def starts_where_the_last_task_ended() -> list[str]:
    """Oracle 1's methods: new parts that start as no change. MoRA is exact only under its own conditions."""
    return [c for c in CASES if not c.startswith("mora") and c not in ("fm_lora_last", "fm_lora_continue")]


@pytest.mark.parametrize("case", starts_where_the_last_task_ended())
def test_oracle_1_outputs_do_not_jump_at_a_task_boundary(case: str) -> None:
    nano = Nano(case)
    nano.learn(1)
    before = nano.scores(1)
    nano.begin(2)
    after = nano.scores(1)
    seen = before > -1e8  # a head may have gained rows for the new classes
    assert torch.allclose(before[seen], after[seen], rtol=1e-9, atol=1e-9)


class Watched:
    """A reader that notes for which task's learning data, and when, it was read."""

    def __init__(self, reader: Any, name: Any, log: list[Any]) -> None:
        self.reader, self.name, self.log = reader, name, log

    def images(self, rows: Any, augment: Any) -> Any:
        self.log.append(self.name)
        return self.reader.images(rows, augment)


@every_case
def test_no_method_looks_at_past_or_future_data(case: str) -> None:
    nano = Nano(case)
    log: list[Any] = []
    for task in nano.stream.tasks:
        for view, examples in (("train", task.learn.train), ("inner", task.learn.inner), ("val", task.validation)):
            object.__setattr__(examples, "reader", Watched(examples.reader, (task.index, view), log))
    for t in (1, 2, 3):
        nano.learn(t)
        assert {index for index, _ in log} <= {t}
        assert "val" not in {view for _, view in log}
        log.clear()
