"""Conditional parameters: what is active, in which order, how many settings; and what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clsearch.errors import UsageError
from clsearch.results.store import open_store
from clsearch.spec.backbones import find_backbone
from clsearch.spec.conditions import active_setting, count_settings, every_setting, in_order, same_setting
from clsearch.spec.cost import hopeless_settings, least_parameters
from clsearch.spec.parameters import parameter_from_json
from clsearch.spec.plan import make_plan
from clsearch.spec.show import render
from clsearch.spec.sweep import SweepSpec, as_json, load_sweep

HEAD = """\
method: fm_lora
backbone: nano_vit
benchmark: nano_cil
objective: {metric: final_acc_micro}
trials: 4
space:
"""
# The names are such that order by name is not the order of the conditions.
CHAIN = """\
  rank_selector: {choices: [gumbel, validate, fixed]}
  selector_temperature: {low: 0.1, high: 5.0, log: true, if: {rank_selector: gumbel}}
  prompt_tokens: {low: 0, high: 20, step: 5}
  prompt_learning_rate: {low: 0.5, high: 2.0, step: 0.5, if: {prompt_tokens: [5, 10], rank_selector: [gumbel, fixed]}}
  combination: {choices: [sum, last], if: {prompt_learning_rate: 1.5}}
"""
Make = Callable[..., SweepSpec]


@pytest.fixture
def make(folder: Path) -> Make:
    """`make(space, *overrides)`: an FM-LoRA sweep of nano size over the lines of a space."""

    def load(space: str = CHAIN, *overrides: str) -> SweepSpec:
        Path("chain.yaml").write_text(HEAD + space)
        return load_sweep("chain.yaml", overrides)

    return load


def whole(spec: SweepSpec, **values: Any) -> dict[str, Any]:
    return {parameter.name: parameter.published for parameter in spec.space} | values


def test_a_parameter_comes_after_those_it_depends_on(make: Make) -> None:
    names = [parameter.name for parameter in make().space]
    assert names == ["prompt_tokens", "rank_selector", "prompt_learning_rate", "combination", "selector_temperature"]


def test_all_conditions_must_hold_and_what_they_name_be_active(make: Make) -> None:
    spec = make()

    def active(**values: Any) -> set[str]:
        return {*active_setting(spec.space, whole(spec, **values))} - {"rank_selector", "prompt_tokens"}

    assert active(rank_selector="validate", prompt_tokens=10) == set()
    assert active(rank_selector="gumbel", prompt_tokens=15) == {"selector_temperature"}
    assert active(rank_selector="fixed", prompt_tokens=5, prompt_learning_rate=1.0) == {"prompt_learning_rate"}
    chain = {"prompt_learning_rate", "combination"}
    assert active(rank_selector="fixed", prompt_tokens=5, prompt_learning_rate=1.5) == chain
    # The value that the condition asks for does not count where its parameter is not active.
    assert active(rank_selector="validate", prompt_tokens=5, prompt_learning_rate=1.5) == set()


def test_an_inactive_parameter_stands_at_its_published_value(make: Make) -> None:
    space = CHAIN.replace("log: true, if", "log: true, published: 2.5, if")
    spec = make(space, "space.rank_selector.published=fixed")
    assert "selector_temperature" not in spec.published_setting()
    assert spec.full_settings()["selector_temperature"] == 2.5
    assert spec.full_settings({"rank_selector": "validate"})["selector_temperature"] == 2.5
    assert spec.full_settings({"rank_selector": "gumbel", "selector_temperature": 1.0})["selector_temperature"] == 1.0


def test_settings_are_counted_as_they_are_listed(make: Make) -> None:
    space = CHAIN.replace("low: 0.1, high: 5.0, log: true,", "choices: [0.5, 1.0, 2.0],")
    spec = make(space)
    cells = [*every_setting(spec.space)]
    assert len({same_setting(spec.space, cell) for cell in cells}) == len(cells) == count_settings(spec.space)
    # 5 token counts x (gumbel with 3 temperatures, validate, fixed); where there are 5 or 10 tokens, gumbel and fixed
    # have 4 rates, one of them with 2 combinations.
    assert len(cells) == 3 * (3 + 1 + 1) + 2 * (3 * 5 + 1 + 5)
    assert count_settings(make().space) is None


def test_the_condition_belongs_to_the_identity_only_where_there_is_one(make: Make) -> None:
    spec = make()
    stated = spec.identity()["space"]
    assert stated["selector_temperature"]["if"] == {"rank_selector": ["gumbel"]}
    assert "if" not in stated["rank_selector"]
    assert "if" not in load_sweep("fm_lora_vit").identity()["space"]["candidate_ranks"]
    assert spec.identity_hash() != make(CHAIN, "space.selector_temperature.if=null").identity_hash()


def test_a_space_comes_back_from_its_identity(make: Make) -> None:
    named = "  candidate_ranks: {choices: {small: [2, 4], wide: [2, 4, 8, 16]}}\n"
    spec = make(CHAIN + named + "  warmup: {low: 1, high: 9, log: true, published: 1, if: {candidate_ranks: small}}\n")
    stored = as_json(spec.identity()["space"])
    read = [parameter_from_json(spec.method, name, facts) for name, facts in stored.items()]
    assert in_order(read) == spec.space


def test_the_dry_run_shows_conditions_company_and_constraints(make: Make, folder: Path) -> None:
    overrides = ("company.ours.prompt_tokens=5", "constraints.stored_parameters=3", "constraints.memory_gb=1.5")
    text = render(make_plan(make(CHAIN, *overrides), open_store(str(folder / "store"), create=False)))
    assert "0.1 .. 5, log; only where rank_selector is gumbel; published 1" in text
    assert "only where prompt_tokens is one of 5, 10 and rank_selector is one of gumbel, fixed" in text
    assert "company.ours  " in text
    assert "prompt_tokens=5  (override)" in text
    assert "constraints.memory_gb" in text
    for name in ("published", "ours"):
        assert f"note: the {name} setting has at least " in text
    assert "stored parameters, more than constraints.stored_parameters=3: it is learned and shown, and never" in text


def test_a_setting_that_is_too_large_only_where_it_is_confirmed_is_told() -> None:
    # Incremental LoRA adds an adapter a task: here 2 tasks choose, and 4 are confirmed.
    asked = ["profile=nano", "benchmark=nano_cil", "protocol=first_tasks(2)"]
    spec = load_sweep("incremental_lora_vit", asked)
    full, backbone = spec.full_settings(spec.published_setting()), find_backbone(spec.backbone)
    least, later = (least_parameters(spec.method, full, backbone, tasks)["stored_parameters"] for tasks in (2, 4))
    assert least < later
    for limit, said in (
        (later, []),
        (later - 1, [f"{later:,} stored parameters after the 4 tasks to confirm on, more than"]),
        (least, [f"{later:,} stored parameters after the 4 tasks to confirm on, more than"]),
        (least - 1, [f"{least:,} stored parameters, more than"]),
    ):
        notes = hopeless_settings(
            load_sweep("incremental_lora_vit", [*asked, f"constraints.stored_parameters={limit}"])
        )
        assert len(notes) == len(said)
        assert all(text in note for text, note in zip(said, notes, strict=True))


def test_company_holds_what_is_active(make: Make) -> None:
    spec = make(CHAIN, "company.ours={rank_selector: fixed, prompt_tokens: 5, prompt_learning_rate: 1.5}")
    assert spec.named_settings()["ours"] == {
        "rank_selector": "fixed",
        "prompt_tokens": 5,
        "prompt_learning_rate": 1.5,
        "combination": "sum",
    }
    assert spec.named_settings()["published"] == spec.published_setting()


CONDITIONS = [
    (
        "{rank_selectr: gumbel}",
        "'rank_selectr' is not searched (it is not under 'space'): did you mean 'rank_selector'?",
    ),
    ("{batch: 8}", "'batch' is not searched"),
    ("{selector_temperature: 1.0}", "'selector_temperature' cannot depend on itself"),
    ("{rank_selector: gumbl}", "there is no choice 'gumbl': did you mean 'gumbel'?"),
    ("{rank_selector: 3}", "'rank_selector' must be one of"),
    ("{rank_selector: []}", "if.rank_selector has no value"),
    ("{prompt_tokens: 3}", "3 is not in 0 .. 20, step 5"),
    ("{prompt_tokens: 5.0}", "'prompt_tokens' must be a whole number"),
    ("{prompt_tokens: true}", "'prompt_tokens' must be a whole number"),
    ("{learning_rate: 0.001}", "'learning_rate' is a range without steps"),
    ("gumbel", "if must be a mapping of searched parameters to a value or a list"),
    ("{}", "if must be a mapping of searched parameters to a value or a list"),
    ("{rank_selector: validate, prompt_learning_rate: 1.0}", "if never holds"),
]


@pytest.mark.parametrize(("condition", "sentence"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_a_condition_that_cannot_be(make: Make, condition: str, sentence: str) -> None:
    rate = "  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
    with pytest.raises(UsageError) as caught:
        make(CHAIN.replace("{rank_selector: gumbel}", condition) + rate)
    assert str(caught.value).startswith("chain.yaml: space.selector_temperature.if")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_circle_is_named(make: Make) -> None:
    space = (
        "  rank_selector: {choices: [gumbel, fixed], if: {combination: sum}}\n"
        "  combination: {choices: [sum, last], if: {schedule: cosine}}\n"
        "  schedule: {choices: [cosine, constant], if: {rank_selector: gumbel}}\n"
        "  batch: {choices: [8, 256], if: {schedule: cosine}}\n"
    )
    circle = "combination -> schedule -> rank_selector -> combination"
    with pytest.raises(UsageError, match=f"chain.yaml: space.combination.if is a circle: {circle}"):
        make(space)


def test_a_condition_may_come_from_an_override_and_go(make: Make) -> None:
    assert make(CHAIN, "space.selector_temperature.if={rank_selector: fixed}").space[-1].when == (
        ("rank_selector", ("fixed",)),
    )
    assert all(not parameter.when for parameter in make(CHAIN, "space.selector_temperature.if=null").space[-1:])
    with pytest.raises(UsageError, match=r"override.*did you mean 'space.warmup.if'"):
        make(CHAIN, "space.warmup.iff={rank_selector: gumbel}")
    with pytest.raises(UsageError, match=r"'rank_selector' is not searched"):
        make(CHAIN, "space.rank_selector=null")


COMPANY = [
    ("{rank_selector: fixed, selector_temperature: 1.0}", "ours.selector_temperature is not active there: only where"),
    ("{rank_selektor: fixed}", "rank_selektor"),
    ("{rank_selector: fixd}", "there is no choice 'fixd': did you mean 'fixed'?"),
    ("{prompt_tokens: 3}", "3 is not in 0 .. 20, step 5"),
    ("{prompt_tokens: true}", "must be a whole number"),
    ("{learning_rate: 0.001}", "ours.learning_rate is not searched"),
    ("3", "company"),
]


@pytest.mark.parametrize(("company", "sentence"), COMPANY, ids=[text for text, _ in COMPANY])
def test_company_that_cannot_be(make: Make, company: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        make(CHAIN, f"company.ours={company}")
    assert sentence in str(caught.value)


def test_what_else_cannot_be_asked(make: Make) -> None:
    for override, sentence in (
        ("eval_grid.treshold=[0.1]", "unknown key 'eval_grid.treshold'"),
        ("eval_grid.threshold=[0.1]", "unknown key 'eval_grid.threshold'"),  # MoRA's, not this method's
        ("eval_grid.learning_rate=[0.1]", "acts in training"),
        ("constraints.memory=3", "did you mean 'constraints.memory_gb'?"),
        ("constraints.trained_parameters=1.5", "must be a whole number"),
        ("constraints.memory_gb=-1", "at least 0"),
        ("sampler.name=gird", "did you mean 'grid'?"),
        ("sampler.name=grid", "chain.yaml: space.selector_temperature is a range without steps"),
        ("company.published.prompt_tokens=5", "must have a name of your own"),
    ):
        with pytest.raises(UsageError) as caught:
            make(CHAIN, override)
        assert sentence in str(caught.value), override
