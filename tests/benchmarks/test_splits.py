"""Carve-outs and few-shot draws."""

from __future__ import annotations

import numpy as np
import pytest

from clsearch.benchmarks.catalogue import SplitRule
from clsearch.benchmarks.examples import Listing, Pool, make_listing
from clsearch.benchmarks.splits import by_class, split_pool
from clsearch.errors import UsageError


def listing(part: str, counts: tuple[int, ...], group_size: int = 1) -> Listing:
    ids = [f"{part}/{label}/{i}" for label, count in enumerate(counts) for i in range(count)]
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    groups = [f"{name.rsplit('/', 1)[0]}/{int(name.rsplit('/', 1)[1]) // group_size}" for name in ids]
    return make_listing(ids, labels, ids, groups)


def pool(train: tuple[int, ...], validation: tuple[int, ...] | None = None, group_size: int = 1) -> Pool:
    names = tuple(f"class {i}" for i in range(len(train)))
    return Pool(
        "made up",
        names,
        "{}",
        listing("train", train, group_size),
        None if validation is None else listing("val", validation),
        listing("test", (3,) * len(train)),
        lambda places: pytest.fail("nothing may be opened"),
    )


def counts(part: Listing) -> list[int]:
    return [int(count) for count in np.bincount(part.labels)]


def test_shares_are_per_class_and_never_empty() -> None:
    split = split_pool(pool((100, 40, 3)), SplitRule(validation=0.1, inner=0.1))
    assert counts(split.validation) == [10, 4, 1]
    assert counts(split.inner) == [9, 4, 1]
    assert counts(split.train) == [81, 32, 1]
    assert split.validation_source == "train"


def test_parts_keep_the_order_of_the_list() -> None:
    source = pool((30, 30))
    split = split_pool(source, SplitRule())
    position = {name: i for i, name in enumerate(source.train.ids)}
    for part in (split.train, split.inner, split.validation):
        places = [position[name] for name in part.ids]
        assert places == sorted(places)
    # It is a draw and not the head of the list.
    assert split.validation.ids[:3] != source.train.ids[:3]


def test_a_class_does_not_feel_its_neighbours() -> None:
    alone, beside = split_pool(pool((50,)), SplitRule()), split_pool(pool((50, 80)), SplitRule())
    assert alone.validation.ids == tuple(name for name in beside.validation.ids if name.startswith("train/0/"))


def test_groups_are_not_parted() -> None:
    split = split_pool(pool((40, 44), group_size=4), SplitRule(validation=0.1, inner=0.1))
    groups = [set(part.groups) for part in (split.train, split.inner, split.validation)]
    assert not (groups[0] & groups[1])
    assert not (groups[0] & groups[2])
    assert not (groups[1] & groups[2])
    assert counts(split.validation) == [4, 4]


def test_a_class_of_one_large_group_is_parted_after_all() -> None:
    split = split_pool(pool((20,), group_size=20), SplitRule())
    assert len(split.validation) == 2
    assert len(split.inner) == 2
    assert len(split.train) == 16


def test_few_shots_without_a_validation_list() -> None:
    split = split_pool(pool((40, 17)), SplitRule(shots=16))
    assert counts(split.validation) == [4, 4]
    assert (np.add(counts(split.train), counts(split.inner))).tolist() == [16, 13]
    assert split.validation_source == "unused train images"


def test_few_shots_with_a_validation_list() -> None:
    split = split_pool(pool((40, 16), (10, 2)), SplitRule(shots=16))
    assert counts(split.validation) == [4, 2]
    assert (np.add(counts(split.train), counts(split.inner))).tolist() == [16, 16]
    assert split.validation_source == "own list"
    assert all(name.startswith("val/") for name in split.validation.ids)


def test_fewer_shots_than_four_cap_validation_too() -> None:
    split = split_pool(pool((40,), (10,)), SplitRule(shots=2))
    assert len(split.validation) == 2
    assert len(split.train) + len(split.inner) == 2


def test_a_class_with_too_few_images_is_named() -> None:
    with pytest.raises(UsageError, match="class 'class 1' has 1 train images, too few to keep one for validation"):
        split_pool(pool((9, 1)), SplitRule())
    with pytest.raises(UsageError, match="class 'class 1' has 1 train images, too few to keep one for inner"):
        split_pool(pool((9, 2)), SplitRule())
    with pytest.raises(UsageError, match="class 'class 0' has no validation image"):
        split_pool(pool((9, 9), (0, 3)), SplitRule())


def test_rows_by_class() -> None:
    rows = by_class(np.array([2, 0, 2, 0], dtype=np.int64), 4)
    assert [part.tolist() for part in rows] == [[1, 3], [], [0, 2], []]
