"""Examples: what a reader lists before any image is read, and the sets of examples that a task hands out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.integer[Any]]
Pixels = npt.NDArray[np.uint8]
Place = int | Path | str


class Reader(Protocol):
    """The pixels of one set of examples, and of no other."""

    def images(self, rows: Rows, augment: Sequence[int] | None) -> Pixels:
        """RGB images (n, H, W, 3) of the set's rows; `augment` is as in ExampleSet.images."""
        ...


@dataclass(frozen=True, eq=False)
class ExampleSet:
    """Some examples in a fixed order: their ids, global labels and, when asked for, their images."""

    ids: tuple[str, ...]
    labels: Labels
    reader: Reader

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.labels):
            raise ValueError(f"{len(self.ids)} ids but {len(self.labels)} labels")
        self.labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.ids)

    def images(self, indices: Rows, augment: Sequence[int] | None = None) -> Pixels:
        """RGB images (n, H, W, 3), values 0-255, in the order of `indices`.

        `augment` holds one seed per index for the train-time crop and flip of the benchmark's transform set; None
        asks for the test transform. Raises UsageError naming an image that cannot be decoded.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if augment is not None and len(augment) != len(rows):
            raise ValueError(f"{len(rows)} images need as many seeds, not {len(augment)}")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"indices must lie in 0..{len(self) - 1}")
        return self.reader.images(rows, augment)


@dataclass(frozen=True, eq=False)
class _JoinedReader:
    first: ExampleSet
    second: ExampleSet

    def images(self, rows: Rows, augment: Sequence[int] | None) -> Pixels:
        in_first = rows < len(self.first)
        parts = []
        for mask, examples, offset in (
            (in_first, self.first, 0),
            (~in_first, self.second, len(self.first)),
        ):
            positions = np.flatnonzero(mask)
            seeds = None if augment is None else [augment[int(i)] for i in positions]
            if len(positions):
                parts.append((positions, examples.images(rows[positions] - offset, seeds)))
        if not parts:
            return self.first.images(rows, augment)
        joined = np.empty((len(rows), *parts[0][1].shape[1:]), dtype=np.uint8)
        for positions, images in parts:
            joined[positions] = images
        return joined


@dataclass(frozen=True, eq=False)
class LearnData:
    """All that a method may see of a task: what it learns from, and what it may adapt itself on."""

    train: ExampleSet
    inner: ExampleSet

    def together(self) -> ExampleSet:
        """Train and then inner as one set, for a method that keeps nothing back to adapt itself on."""
        return ExampleSet(
            ids=self.train.ids + self.inner.ids,
            labels=np.concatenate([self.train.labels, self.inner.labels]),
            reader=_JoinedReader(self.train, self.inner),
        )


@dataclass(frozen=True, eq=False)
class Listing:
    """Examples as a reader lists them: nothing decoded, labels counted within their pool.

    `groups` names what belongs together (drawings of one concept): a carve-out never parts a group. `marks` are
    content hashes where they are cheap, else empty strings. `places` say where the reader finds each image.
    """

    ids: tuple[str, ...]
    labels: Labels
    groups: tuple[str, ...]
    marks: tuple[str, ...]
    places: tuple[Place, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Rows) -> Listing:
        """The listed rows, in the order given."""
        return Listing(
            ids=tuple(self.ids[i] for i in rows),
            labels=self.labels[rows],
            groups=tuple(self.groups[i] for i in rows),
            marks=tuple(self.marks[i] for i in rows),
            places=tuple(self.places[i] for i in rows),
        )


def make_listing(
    ids: Sequence[str],
    labels: Sequence[int] | Labels,
    places: Sequence[Place],
    groups: Sequence[str] | None = None,
    marks: Sequence[str] | None = None,
) -> Listing:
    """A listing in the order given; without groups every example stands for itself."""
    return Listing(
        ids=tuple(ids),
        labels=np.asarray(labels, dtype=np.int64),
        groups=tuple(ids if groups is None else groups),
        marks=("",) * len(ids) if marks is None else tuple(marks),
        places=tuple(places),
    )


@dataclass(frozen=True, eq=False)
class Pool:
    """One source of examples as distributed: a whole class-incremental data set, or one domain."""

    name: str
    class_names: tuple[str, ...]
    template: str
    train: Listing
    validation: Listing | None  # where the source has its own list
    test: Listing
    open: Callable[[Sequence[Place]], Reader]
