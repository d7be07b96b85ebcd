"""Streams: who may see what, label maps, orders, splits, digests."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing

import numpy as np
import pytest

from clsearch.benchmarks import streams
from clsearch.benchmarks.catalogue import BENCHMARKS, SplitRule
from clsearch.benchmarks.examples import Listing, Pool
from clsearch.benchmarks.nano import read_nano
from clsearch.benchmarks.streams import Stream, Task, TestedTask, build_stream, open_stream
from clsearch.errors import UsageError

PACKAGED = [name for name, info in BENCHMARKS.items() if not info.needs]
PARTS = ("train", "inner", "validation", "test")


def parts(task: TestedTask) -> dict[str, streams.ExampleSet]:
    return dict(zip(PARTS, (task.learn.train, task.learn.inner, task.validation, task.test), strict=True))


# ------------------------------------------------------------------------------------------ who may see what


def test_a_task_of_a_search_has_no_test() -> None:
    assert "test" not in {field.name for field in dataclasses.fields(Task)}
    assert not hasattr(Task, "test")
    for task in open_stream("nano_cil", 0).tasks:
        assert type(task) is Task
        assert not hasattr(task, "test")
        assert {field.name for field in dataclasses.fields(task.learn)} == {"train", "inner"}


def test_only_with_test_is_the_type_a_tested_task() -> None:
    returned = {}
    for overload in typing.get_overloads(open_stream):
        hints = typing.get_type_hints(overload)
        returned[hints["with_test"]] = hints["return"]
    assert returned[typing.Literal[False]] == Stream[Task]
    assert returned[typing.Literal[True]] == Stream[TestedTask]
    assert all(type(task) is TestedTask for task in open_stream("nano_cil", 0, with_test=True).tasks)


def test_the_images_of_a_search_task_lead_to_no_other_example() -> None:
    task = open_stream("pocket_cil_10", 0).tasks[0]
    with pytest.raises(IndexError):
        task.learn.train.images(np.array([len(task.learn.train)]))
    with pytest.raises(IndexError):
        task.learn.train.images(np.array([-1]))


def test_opening_streams_needs_no_torch() -> None:
    code = (
        "import sys; from clsearch.benchmarks.streams import open_stream; import numpy as np;"
        "open_stream('nano_cil', 0).tasks[0].learn.train.images(np.arange(2));"
        "assert not {'torch', 'torchvision', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ------------------------------------------------------------------------------------------ every packaged benchmark


@pytest.mark.parametrize("name", PACKAGED)
def test_the_parts_are_disjoint_and_every_class_is_in_each(name: str) -> None:
    stream = open_stream(name, 3, with_test=True)
    seen: set[str] = set()
    for task in stream.tasks:
        for part, examples in parts(task).items():
            assert len(set(examples.ids)) == len(examples)
            assert not seen & set(examples.ids), part
            seen |= set(examples.ids)
            assert set(examples.labels.tolist()) == set(task.classes), part


@pytest.mark.parametrize("name", PACKAGED)
def test_the_catalogue_tells_the_truth(name: str) -> None:
    info, stream = BENCHMARKS[name], open_stream(name, 0)
    assert (stream.name, stream.kind, stream.image_size) == (name, info.kind, info.image_size)
    assert len(stream.tasks) == stream.tasks_total == info.tasks
    assert len(stream.class_names) == len(stream.templates) == info.classes
    assert len(set(stream.class_names)) == info.classes
    images = stream.tasks[0].validation.images(np.arange(2))
    assert images.shape == (2, info.image_size, info.image_size, 3)
    assert images.dtype == np.uint8


@pytest.mark.parametrize("name", ["nano_cil", "nano_x_tail", "nano_dil", "pocket_cil_10", "pocket_x_tail"])
def test_the_split_does_not_depend_on_the_order_seed(name: str) -> None:
    def split(order_seed: int) -> dict[str, tuple[str, str]]:
        stream = open_stream(name, order_seed, with_test=True)
        return {
            identifier: (part, stream.class_names[label])
            for task in stream.tasks
            for part, examples in parts(task).items()
            for identifier, label in zip(examples.ids, examples.labels, strict=True)
        }

    assert split(0) == split(1) == split(1993)


@pytest.mark.parametrize("tasks", [5, 10, 20])
def test_every_task_of_pocket_cil_has_at_least_two_classes(tasks: int) -> None:
    stream = open_stream(f"pocket_cil_{tasks}", 0)
    assert [len(task.classes) for task in stream.tasks] == [40 // tasks] * tasks
    assert min(len(task.classes) for task in stream.tasks) >= 2


@pytest.mark.parametrize("name", ["pocket_cil_10", "pocket_x_tail", "pocket_dil"])
def test_validation_shows_no_concept_that_the_task_learns(name: str) -> None:
    # An emoji drawn by another vendor is the same concept: validation must not be easier than test.
    def concepts(examples: streams.ExampleSet) -> set[str]:
        return {name.rsplit("/", 1)[0] for name in examples.ids if name.startswith("emoji/")}

    for task in open_stream(name, 0).tasks:
        learned = concepts(task.learn.train) | concepts(task.learn.inner)
        assert not learned & concepts(task.validation)


def test_pocket_x_tail_draws_sixteen_shots() -> None:
    stream = open_stream("pocket_x_tail", 0)
    for task in stream.tasks:
        shots = np.bincount(np.concatenate([task.learn.train.labels, task.learn.inner.labels]))[list(task.classes)]
        assert shots.max() == 16
        assert shots.min() >= 15
        validation = np.bincount(task.validation.labels)[list(task.classes)]
        assert validation.max() <= 4
        assert validation.min() >= 1
        assert task.validation_source == "unused train images"


# ------------------------------------------------------------------------------------------ label maps


def test_class_incremental_labels_are_positions_in_the_order() -> None:
    natural, permuted = open_stream("nano_cil", 0), open_stream("nano_cil", 7)
    expected = np.random.RandomState(7).permutation(8)
    assert permuted.class_names == tuple(natural.class_names[i] for i in expected)
    assert [task.classes for task in permuted.tasks] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    for task in permuted.tasks:
        for identifier, label in zip(task.learn.train.ids, task.learn.train.labels, strict=True):
            assert identifier.split("/")[2] == permuted.class_names[label]
    assert permuted.seen_classes(2) == permuted.candidates(2) == (0, 1, 2, 3)


def test_cross_domain_labels_are_blocks_in_stream_order() -> None:
    stream = open_stream("nano_x_tail", 1)
    domains = np.array(["animals", "food", "signs"])[np.random.RandomState(1).permutation(3)]
    assert [task.name for task in stream.tasks] == domains.tolist() != ["animals", "food", "signs"]
    assert [task.classes for task in stream.tasks] == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    for task in stream.tasks:
        for identifier, label in zip(task.validation.ids, task.validation.labels, strict=True):
            assert identifier.split("/")[1:3] == [task.name, stream.class_names[label]]
    assert stream.seen_classes(1) == (0, 1, 2)
    assert stream.candidates(1) == tuple(range(9))
    assert all("{}" in template for template in stream.templates)


def test_domain_incremental_tasks_share_one_label_space() -> None:
    stream = open_stream("nano_dil", 5)
    assert all(task.classes == (0, 1, 2, 3) for task in stream.tasks)
    assert stream.class_names == ("boat", "house", "tree", "wheel")
    assert {task.name for task in stream.tasks} == {"photo", "sketch", "negative"}


# ------------------------------------------------------------------------------------------ a limited stream


@pytest.mark.parametrize("name", ["nano_cil", "nano_x_tail"])
def test_the_first_tasks_are_those_of_the_whole_stream(name: str) -> None:
    whole, part = open_stream(name, 2), open_stream(name, 2, tasks=2)
    assert len(part.tasks) == 2
    assert part.tasks_total == len(whole.tasks)
    assert part.class_names == whole.class_names
    assert part.digest == whole.digest
    assert part.task_digests == whole.task_digests
    assert part.tasks[1].learn.train.ids == whole.tasks[1].learn.train.ids


@pytest.mark.parametrize("tasks", [0, -1, 5])
def test_a_number_of_tasks_out_of_range_is_refused(tasks: int) -> None:
    with pytest.raises(UsageError, match=r"must lie in 1\.\.4"):
        open_stream("nano_cil", 0, tasks=tasks)


# ------------------------------------------------------------------------------------------ images


def test_nano_is_made_of_the_same_numbers_everywhere() -> None:
    images = open_stream("nano_cil", 0).tasks[0].learn.train.images(np.array([0, 5]))
    assert images[:, 3, 3].tolist() == NANO_PIXELS


NANO_PIXELS = [[60, 17, 36], [122, 38, 16]]


def test_images_come_in_the_order_asked_for() -> None:
    examples = open_stream("pocket_cil_10", 0).tasks[2].learn.train
    rows = np.array([7, 2, 2, 9])
    images = examples.images(rows)
    for i, row in enumerate(rows):
        assert (images[i] == examples.images(np.array([row]))[0]).all()
    assert examples.images(np.array([], dtype=np.int64)).shape == (0, 48, 48, 3)


def test_train_and_inner_together() -> None:
    learn = open_stream("nano_cil", 0).tasks[1].learn
    together = learn.together()
    assert together.ids == learn.train.ids + learn.inner.ids
    rows = np.array([len(learn.train) + 3, 0, len(learn.train), 5])
    images = together.images(rows, augment=[1, 2, 3, 4])
    assert (images[[0, 2]] == learn.inner.images(np.array([3, 0]))).all()
    assert (images[[1, 3]] == learn.train.images(np.array([0, 5]))).all()
    assert together.images(np.array([], dtype=np.int64)).shape == (0, 16, 16, 3)


def test_as_many_seeds_as_images() -> None:
    with pytest.raises(ValueError, match="2 images need as many seeds"):
        open_stream("nano_cil", 0).tasks[0].validation.images(np.arange(2), augment=[1])


# ------------------------------------------------------------------------------------------ digests

INFO = BENCHMARKS["nano_x_tail"]


def rename_first(listing: Listing) -> Listing:
    return dataclasses.replace(listing, ids=(listing.ids[0] + "x", *listing.ids[1:]))


def remark_all(listing: Listing) -> Listing:
    return dataclasses.replace(listing, marks=("other",) * len(listing))


def digests(change: typing.Callable[[Pool], Pool] = lambda pool: pool, **info: typing.Any) -> tuple[list[str], str]:
    """Digests of the nano domains with the first pool changed."""
    pools = read_nano("nano_x_tail")
    stream = build_stream(dataclasses.replace(INFO, **info), (change(pools[0]), *pools[1:]), 0, with_test=False)
    return [stream.task_digest(i) for i in (1, 2, 3)], stream.digest


def test_what_a_model_is_measured_on_has_a_digest_of_its_own_by_split() -> None:
    def evaluation(change: typing.Callable[[Pool], Pool] = lambda pool: pool) -> list[tuple[str, str]]:
        pools = read_nano("nano_x_tail")
        stream = build_stream(INFO, (change(pools[0]), *pools[1:]), 0, with_test=False)
        return [(digest["validation"], digest["test"]) for digest in stream.evaluation_digests]

    before = evaluation()
    assert len({digest for pair in before for digest in pair}) == 6
    relabelled = evaluation(
        lambda pool: dataclasses.replace(pool, test=dataclasses.replace(pool.test, labels=2 - pool.test.labels))
    )
    assert relabelled[0][0] == before[0][0]
    assert relabelled[0][1] != before[0][1]
    assert relabelled[1:] == before[1:]
    remarked = evaluation(lambda pool: dataclasses.replace(pool, train=remark_all(pool.train)))
    assert remarked[0][0] != before[0][0]
    assert remarked[0][1] == before[0][1]
    assert remarked[1:] == before[1:]


def test_after_a_task_a_model_is_measured_on_what_it_met_or_on_all() -> None:
    def names(benchmark: str) -> list[list[int]]:
        stream = open_stream(benchmark, 0, tasks=3)
        return [[task.index for task in stream.evaluated(t)] for t in (1, 3)]

    assert names("nano_cil") == names("nano_dil") == [[1], [1, 2, 3]]
    assert names("nano_x_tail") == [[1, 2, 3]] * 2


def test_digests_are_the_same_again_and_with_test() -> None:
    assert digests() == digests()
    searched, confirmed = open_stream("nano_x_tail", 0), open_stream("nano_x_tail", 0, with_test=True)
    assert searched.digest == confirmed.digest
    assert searched.task_digests == confirmed.task_digests
    assert len({*searched.task_digests, searched.digest}) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda pool: dataclasses.replace(pool, train=rename_first(pool.train)),
        lambda pool: dataclasses.replace(pool, train=remark_all(pool.train)),
        lambda pool: dataclasses.replace(pool, train=pool.train.select(np.arange(len(pool.train))[::-1])),
        lambda pool: dataclasses.replace(pool, train=dataclasses.replace(pool.train, labels=2 - pool.train.labels)),
    ],
    ids=["id", "content", "order of examples", "label"],
)
def test_a_changed_train_list_changes_its_task_alone(change: typing.Callable[[Pool], Pool]) -> None:
    (first, *others), whole = digests()
    (changed, *same), changed_whole = digests(change)
    assert changed != first
    assert same == others
    assert changed_whole != whole


@pytest.mark.parametrize(
    "change",
    [
        lambda pool: dataclasses.replace(pool, template="a drawing of a {}."),
        lambda pool: dataclasses.replace(pool, class_names=("lion", *pool.class_names[1:])),
    ],
    ids=["template", "class name"],
)
def test_changed_words_change_every_task_that_reads_them(change: typing.Callable[[Pool], Pool]) -> None:
    tasks, whole = digests()
    changed, changed_whole = digests(change)
    assert all(a != b for a, b in zip(tasks, changed, strict=True))
    assert whole != changed_whole


@pytest.mark.parametrize(
    "info",
    [{"transforms": "clip"}, {"image_size": 32}, {"rule": SplitRule(0.2, 0.1)}, {"rule": SplitRule(0.1, 0.25)},
     {"rule": SplitRule(0.2, 0.25, shots=16)}],
    ids=["transforms", "size", "inner", "validation", "shots"],
)  # fmt: skip
def test_a_changed_benchmark_changes_every_task(info: dict[str, typing.Any]) -> None:
    tasks, whole = digests()
    changed, changed_whole = digests(**info)
    assert all(a != b for a, b in zip(tasks, changed, strict=True))
    assert whole != changed_whole


def test_the_test_list_is_in_the_digest_of_the_stream_alone() -> None:
    tasks, whole = digests()
    changed, changed_whole = digests(lambda pool: dataclasses.replace(pool, test=rename_first(pool.test)))
    assert changed == tasks
    assert changed_whole != whole


def test_later_classes_do_not_exist_for_an_early_task() -> None:
    def build(names: tuple[str, ...]) -> Stream[Task]:
        pool = dataclasses.replace(read_nano("nano_cil")[0], class_names=names)
        return build_stream(BENCHMARKS["nano_cil"], (pool,), 0, with_test=False)

    names = read_nano("nano_cil")[0].class_names
    one, other = build(names), build((*names[:-1], "yak"))
    assert one.task_digests[:3] == other.task_digests[:3]
    assert one.task_digest(4) != other.task_digest(4)


def test_where_images_lie_is_not_in_a_digest() -> None:
    moved = lambda pool: dataclasses.replace(  # noqa: E731
        pool, train=dataclasses.replace(pool.train, places=tuple(f"/elsewhere/{p}" for p in pool.train.places))
    )
    assert digests(moved) == digests()


# ------------------------------------------------------------------------------------------ what is refused


def test_unknown_benchmark_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'pocket_cil_10'"):
        open_stream("pocket_cil_1O", 0)


@pytest.mark.parametrize(
    ("benchmark", "change", "message"),
    [
        ("nano_x_tail", lambda pools: pools[:2], "should have 3 domains, its files have 2"),
        ("nano_x_tail", lambda pools: (pools[0], *pools[:2]), "domain 'animals' is listed twice"),
        (
            "nano_x_tail",
            lambda pools: (dataclasses.replace(pools[1], name="again"), *pools[1:]),
            "image 'nano_x_tail/food/apple/train/00' is listed in train of again and again in train of food",
        ),
        (
            "nano_x_tail",
            lambda pools: (dataclasses.replace(pools[0], test=pools[0].train), *pools[1:]),
            "cat/train/00' is listed in train of animals and again in test of animals",
        ),
        (
            "nano_x_tail",
            lambda pools: (dataclasses.replace(pools[0], template="a photo."), *pools[1:]),
            "needs one placeholder",
        ),
        (
            "nano_dil",
            lambda pools: (pools[0], dataclasses.replace(pools[1], class_names=("a", "b", "c", "d")), pools[2]),
            "domain 'sketch' has other classes than domain 'photo'",
        ),
        (
            "nano_dil",
            lambda pools: (
                dataclasses.replace(pools[0], test=pools[0].test.select(np.flatnonzero(pools[0].test.labels != 2))),
                *pools[1:],
            ),
            "photo: class 'tree' has no test image",
        ),
        (
            "nano_dil",
            lambda pools: (
                dataclasses.replace(pools[0], train=pools[0].train.select(np.flatnonzero(pools[0].train.labels != 1))),
                *pools[1:],
            ),
            "photo: class 'house' has 0 train images",
        ),
    ],
)
def test_pools_that_are_not_what_was_promised(
    benchmark: str, change: typing.Callable[[tuple[Pool, ...]], tuple[Pool, ...]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build_stream(BENCHMARKS[benchmark], change(read_nano(benchmark)), 0, with_test=False)


def test_classes_that_do_not_divide() -> None:
    info = dataclasses.replace(BENCHMARKS["nano_cil"], tasks=3)
    with pytest.raises(UsageError, match="8 classes cannot be divided into 3 tasks"):
        build_stream(info, read_nano("nano_cil"), 0, with_test=False)


def test_an_order_seed_out_of_range() -> None:
    with pytest.raises(UsageError, match="order seed"):
        open_stream("nano_cil", -1)
