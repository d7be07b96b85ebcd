"""Reading images that lie as files on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from clsearch.benchmarks.examples import Pixels, Place, Reader, Rows
from clsearch.benchmarks.transforms import TransformSet, render


@dataclass(frozen=True)
class _FileReader:
    paths: tuple[Path, ...]
    transforms: TransformSet
    size: int

    def images(self, rows: Rows, augment: Sequence[int] | None) -> Pixels:
        paths = [self.paths[row] for row in rows]
        pictures = (partial(_load, path) for path in paths)
        return render(pictures, [str(path) for path in paths], self.transforms, self.size, augment)


def open_files(transforms: TransformSet, size: int) -> Callable[[Sequence[Place]], Reader]:
    """A pool's `open` for places that are paths."""
    return lambda places: _FileReader(
        tuple(Path(place) for place in places if not isinstance(place, int)), transforms, size
    )


def _load(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
        return picture
