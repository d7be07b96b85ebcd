"""Parts of a benchmark: no class, no domain and no example of the other half, in any order."""

from __future__ import annotations

from typing import Any

import pytest

from clsearch.benchmarks.streams import Stream, TestedTask, open_stream
from clsearch.errors import UsageError
from clsearch.spec.protocols import Part

SEARCHED = 5  # the search's order seed
CASES = [("nano_cil", 2), ("nano_x_tail", 1), ("nano_dil", 1), ("pocket_cil_5", 2), ("pocket_x_tail_5", 3)]
ORDERS = (0, SEARCHED, 6, 7, 1993)


def stream(name: str, half: Any, tasks: int, order_seed: int) -> Stream[TestedTask]:
    return open_stream(name, order_seed, with_test=True, part=Part(half, tasks, SEARCHED))


def ids(whole: Stream[TestedTask]) -> dict[str, str]:
    """Every example of a stream with the split it is in."""
    return {
        name: split
        for task in whole.tasks
        for split, examples in (
            ("train", task.learn.train),
            ("inner", task.learn.inner),
            ("validation", task.validation),
            ("test", task.test),
        )
        for name in examples.ids
    }


def domains(whole: Stream[Any]) -> set[str]:
    return {task.name for task in whole.tasks}


@pytest.mark.parametrize(("name", "tasks"), CASES)
def test_whatever_the_order_seed_the_halves_share_nothing(name: str, tasks: int) -> None:
    first = [stream(name, "first", tasks, seed) for seed in ORDERS]
    rest = [stream(name, "rest", tasks, seed) for seed in ORDERS]
    whole = open_stream(name, 0, with_test=True)
    for part, size in ((first, tasks), (rest, whole.tasks_total - tasks)):
        assert {(len(one.tasks), one.tasks_total) for one in part} == {(size, size)}
        assert all(ids(one) == ids(part[0]) for one in part)
    assert not ids(first[0]).keys() & ids(rest[0]).keys()
    # No example changes its split by being in a part, and together the parts are the whole.
    assert ids(first[0]) | ids(rest[0]) == ids(whole)
    if whole.kind != "domain_incremental":  # whose domains share their classes
        assert {c for one in first for c in one.class_names}.isdisjoint(c for one in rest for c in one.class_names)
    if whole.kind != "class_incremental":
        assert {d for one in first for d in domains(one)}.isdisjoint(d for one in rest for d in domains(one))


@pytest.mark.parametrize(("name", "tasks"), CASES)
def test_in_the_searchs_own_order_the_tasks_are_those_of_the_whole(name: str, tasks: int) -> None:
    whole = open_stream(name, SEARCHED, with_test=True)
    first, rest = stream(name, "first", tasks, SEARCHED), stream(name, "rest", tasks, SEARCHED)
    alone = [set(task.learn.train.ids) for task in (*first.tasks, *rest.tasks)]
    assert alone == [set(task.learn.train.ids) for task in whole.tasks]
    assert first.class_names == whole.class_names[: len(first.class_names)]


def test_a_part_is_permuted_as_a_benchmark_of_its_size_is() -> None:
    orders = {stream("pocket_cil_5", "rest", 2, seed).class_names for seed in ORDERS}
    assert len(orders) == len(ORDERS) - 1  # order 0 leaves the search's order
    assert {tuple(sorted(names)) for names in orders} == {tuple(sorted(next(iter(orders))))}


@pytest.mark.parametrize(("name", "tasks"), CASES)
def test_labels_are_those_of_a_benchmark_without_the_other_half(name: str, tasks: int) -> None:
    for half in ("first", "rest"):
        part = stream(name, half, tasks, 6)
        assert {label for task in part.tasks for label in task.classes} == set(range(len(part.class_names)))
        assert set(part.candidates(len(part.tasks))) == set(range(len(part.class_names)))
        for task in part.tasks:
            assert set(task.test.labels.tolist()) == set(task.classes)


def test_the_data_of_a_part_have_digests_of_their_own() -> None:
    digests = {open_stream("nano_cil", 6).digest}
    digests |= {stream("nano_cil", half, 2, seed).digest for half in ("first", "rest") for seed in (5, 6)}
    assert len(digests) == 5


@pytest.mark.parametrize("tasks", [0, 4, 9])
def test_both_halves_have_tasks(tasks: int) -> None:
    with pytest.raises(UsageError, match="'nano_cil' has 4 tasks"):
        stream("nano_cil", "rest", tasks, 0)


@pytest.mark.parametrize("chosen", ["pocket_cil_10", "pocket_x_tail", "pocket_dil"])
def test_what_chooses_on_one_packaged_benchmark_is_no_test_image_of_another(chosen: str) -> None:
    """They share pictures, so cross_dataset refuses them; yet none that is learned in one is tested in another."""
    seen = {name for name, split in ids(open_stream(chosen, 0, with_test=True)).items() if split != "test"}
    for other in {"pocket_cil_10", "pocket_x_tail", "pocket_dil"} - {chosen}:
        assert not seen & {n for n, split in ids(open_stream(other, 0, with_test=True)).items() if split == "test"}
