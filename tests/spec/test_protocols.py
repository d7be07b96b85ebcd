"""Protocols as asked: what each lets a phase learn, what the plan counts, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clsearch.results.store import open_store
from clsearch.spec.plan import make_plan
from clsearch.spec.protocols import Course, Part, Protocol, read_protocol
from clsearch.spec.show import render
from clsearch.spec.sweep import Constraints, SweepSpec, load_sweep

Loader = Callable[..., SweepSpec]
CIL = ("benchmark=nano_cil", "objective.metric=last")  # four tasks


@pytest.mark.parametrize(
    "text", ["end_of_sequence", "first_tasks(3)", "disjoint_tasks(2)", "cross_dataset(imagenet_r_10)", "published"]
)
def test_a_protocols_text_is_read_back(text: str) -> None:
    assert str(read_protocol(text, "here")) == text
    assert read_protocol(f" {text} ", "here") == read_protocol(text, "here")


def courses(spec: SweepSpec) -> dict[str, Course]:
    return {phase: spec.course(phase) for phase in ("search", "race", "confirm")}


def test_end_of_sequence_learns_the_whole_of_it_everywhere(small: Loader) -> None:
    assert set(courses(small()).values()) == {Course("nano_x_tail", 3)}


def test_first_tasks_are_all_that_chooses(small: Loader) -> None:
    limited, whole = Course("nano_x_tail", 2, limit=2), Course("nano_x_tail", 3)
    found = courses(small("protocol=first_tasks(2)"))
    assert found == {"search": limited, "race": limited, "confirm": whole}


def test_disjoint_tasks_are_halves_of_the_searchs_own_order(small: Loader) -> None:
    found = courses(small("protocol=disjoint_tasks(2)", "seeds.order=7", *CIL))
    first, rest = (Course("nano_cil", 2, part=Part(half, 2, 7)) for half in ("first", "rest"))  # type: ignore[arg-type]
    assert found == {"search": first, "race": first, "confirm": rest}


def test_another_dataset_chooses_and_the_sweeps_own_is_measured(small: Loader) -> None:
    spec = small("protocol=cross_dataset(nano_cil)", "objective.metric=last")
    other, own = Course("nano_cil", 4), Course("nano_x_tail", 3)
    assert courses(spec) == {"search": other, "race": other, "confirm": own}
    assert spec.benchmarks() == ("nano_x_tail", "nano_cil")
    assert small().benchmarks() == ("nano_x_tail",)


def test_the_example_of_the_readme_is_allowed() -> None:
    spec = load_sweep("mora_clip", ["protocol=cross_dataset(imagenet_r_10)", "objective.metric=last"])
    assert spec.benchmarks() == ("x_tail", "imagenet_r_10")


def test_published_learns_one_setting_and_says_what_it_leaves_out(small: Loader) -> None:
    spec = small("protocol=published", "race.top=3", "race.pairs=4", "confirm.pairs=2")
    assert (spec.trials, spec.eval_settings(), spec.race.top, spec.confirm.pairs) == (1, [{"threshold": 0.2}], 0, 2)
    (note,) = spec.notes
    assert note == (
        "protocol published chooses nothing: 1 trial instead of 4, the eval grid at its published values, no race"
    )
    strict = small("protocol=published", "stopping.name=guarded", "constraints.stored_parameters=3")
    assert (strict.stopping.name, strict.constraints) == ("none", Constraints())
    assert strict.notes[0].endswith("values, no stopping, no constraints")
    plain = small("protocol=published", "trials=1", "eval_grid.threshold=[0.2]")
    assert plain.notes == ()


def test_a_protocol_is_part_of_a_sweeps_identity(small: Loader) -> None:
    texts = ["end_of_sequence", "first_tasks(2)", "published"]
    assert len({small(f"protocol={text}").identity_hash() for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("overrides", "search", "confirm", "said"),
    [
        ((), 4 * 3, 2 * 2 * 3, "chosen by validation of the whole sequence"),
        (("protocol=first_tasks(2)",), 4 * 2, 2 * 2 * 3, "chosen on the first 2 tasks, confirmed on all 3"),
        (("protocol=published",), 3, 2 * 3, "nothing is chosen"),
        (
            ("protocol=cross_dataset(nano_cil)", "objective.metric=last"), 4 * 4, 2 * 2 * 3,
            "chosen on nano_cil, confirmed on nano_x_tail",
        ),
        (
            ("protocol=disjoint_tasks(2)", *CIL), 4 * 2, 2 * 2 * 2,
            "chosen on the first 2 tasks, confirmed on the other 2 alone",
        ),
    ],
)  # fmt: skip
def test_the_plan_counts_what_the_protocol_learns(
    small: Loader, overrides: tuple[str, ...], search: int, confirm: int, said: str
) -> None:
    plan = make_plan(small("confirm.pairs=2", *overrides), open_store(create=False))
    assert (plan.search_stages, plan.confirm_stages) == (search, confirm)
    assert (plan.search_left, plan.confirm_left) == (search, confirm)
    assert said in render(plan)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("protocol=first_tasks(1)",), "k is a whole number of at least 2"),
        (("protocol=first_tasks(two)",), "k is a whole number of at least 2"),
        (("protocol=first_tasks(2.0)",), "k is a whole number of at least 2"),
        (("protocol=first_tasks(-2)",), "k is a whole number of at least 2"),
        (("protocol=first_tasks(3)",), "has 3 tasks: k may be 2; protocol=end_of_sequence chooses by all of them"),
        (("protocol=first_tasks(99)",), "override 'protocol=first_tasks(99)': protocol first_tasks(99): 'nano_x_tail'"),
        (("protocol=first_tasks(20)", "benchmark=pocket_x_tail"), "has 8 tasks: k may be 2 .. 7"),
        (("protocol=first_tasks",), "is written first_tasks(k)"),
        (("protocol=disjoint_tasks(2)",), "at least 2 must be left to confirm on: too few for this protocol"),
        (("protocol=disjoint_tasks(3)", *CIL), "of which at least 2 must be left to confirm on: k may be 2"),
        (("protocol=cross_dataset(nano_cli)",), "unknown benchmark 'nano_cli': did you mean 'nano_cil'?"),
        (("protocol=cross_dataset",), "is written cross_dataset(benchmark)"),
        (("protocol=cross_dataset(nano_x_tail)",), "on what 'nano_x_tail' itself is made of"),
        (("protocol=cross_dataset(nano_cil)",), "which the class-incremental 'nano_cil' does not have"),
        (("protocol=cross_dataset(nano_dil)",), "which the domain-incremental 'nano_dil' does not have"),
        (("protocol=cross_dataset(pocket_x_tail)",), "its images have 48 px and those of 'nano_x_tail' 16 px"),
        (
            ("protocol=cross_dataset(pocket_x_tail_5)", "benchmark=pocket_x_tail"),
            "(emoji drawings, UCI digits, Fashion-MNIST): take another data set, or protocol=disjoint_tasks(k)",
        ),
        *(
            (("benchmark=pocket_" + own, f"protocol=cross_dataset(pocket_{other})", "objective.metric=last"), sentence)
            for own, other, sentence in (
                ("dil", "cil_10", "on what 'pocket_dil' itself is made of (emoji drawings)"),
                ("cil_10", "cil_5", "on what 'pocket_cil_10' itself is made of (emoji drawings, MNIST, Fashion-MNIST)"),
                ("cil_5", "dil", "on what 'pocket_cil_5' itself is made of (emoji drawings)"),
                ("dil", "x_tail", "on what 'pocket_dil' itself is made of (emoji drawings)"),
                ("x_tail_5", "cil_20", "on what 'pocket_x_tail_5' itself is made of (emoji drawings, Fashion-MNIST)"),
            )
        ),
        (
            ("benchmark=imagenet_r_5", "protocol=cross_dataset(imagenet_r_10)", "objective.metric=last"),
            "on what 'imagenet_r_5' itself is made of (ImageNet-R)",
        ),
        (
            ("protocol=cross_dataset(nano_x_tail)", "backbone=nano_vit", *CIL),
            "protocol cross_dataset(nano_x_tail): benchmark 'nano_x_tail' is for clip backbones",
        ),
        (("protocol=published()",), "is written published"),
        (("protocol=publish",), "did you mean 'published'?"),
        (("protocol=published", "company.ours.temperature=0.02"), "take the company ours away (company=null)"),
        (("protocol=first_tasks(2)", "table.pairs=2"), "a table holds whole sequences"),
    ],
)  # fmt: skip
def test_what_does_not_fit(refused: Callable[..., str], overrides: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused(*overrides)


def test_the_message_names_the_file_where_the_protocol_stands(refused: Callable[..., str]) -> None:
    message = refused(change=("benchmark: nano_x_tail", "benchmark: nano_x_tail\nprotocol: first_tasks(7)"))
    assert message.startswith("small.yaml: protocol first_tasks(7): 'nano_x_tail' has 3 tasks")


def test_a_stated_protocol_is_a_value_of_its_own() -> None:
    assert Protocol() == read_protocol("end_of_sequence", "") != read_protocol("published", "")
