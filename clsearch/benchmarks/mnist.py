"""MNIST's IDX files as torchvision lays them out: <data root>/MNIST/raw, packed or not."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from clsearch.benchmarks.examples import Listing, Pixels, Place, Reader, Rows, make_listing
from clsearch.benchmarks.transforms import TransformSet, render
from clsearch.errors import UsageError

RAW = "MNIST/raw"


def list_mnist(data_root: Path, prefix: str) -> Listing:
    """The images of `train` or `t10k` in file order; raises UsageError on damaged files or differing counts."""
    labels = _idx(_find(data_root, f"{prefix}-labels-idx1-ubyte"), 1)
    images = _idx(_find(data_root, f"{prefix}-images-idx3-ubyte"), 3)
    if len(images) != len(labels):
        raise UsageError(f"{data_root / RAW}: {prefix} has {len(images)} images but {len(labels)} labels")
    ids = [f"mnist/{prefix}/{i:05d}" for i in range(len(labels))]
    return make_listing(ids, labels.astype(np.int64), [f"{prefix}/{i}" for i in range(len(labels))])


@dataclass(frozen=True)
class _MnistReader:
    data_root: Path
    places: tuple[str, ...]
    transforms: TransformSet
    size: int

    def images(self, rows: Rows, augment: Sequence[int] | None) -> Pixels:
        names = [self.places[row] for row in rows]
        pictures = (partial(self._picture, name) for name in names)
        return render(pictures, [f"mnist/{name}" for name in names], self.transforms, self.size, augment)

    def _picture(self, place: str) -> Image.Image:
        prefix, row = place.split("/")
        return Image.fromarray(_idx(_find(self.data_root, f"{prefix}-images-idx3-ubyte"), 3)[int(row)])


def open_mnist(data_root: Path, transforms: TransformSet, size: int) -> Callable[[Sequence[Place]], Reader]:
    """A pool's `open` for the places of list_mnist."""
    return lambda places: _MnistReader(data_root, tuple(str(place) for place in places), transforms, size)


def _find(data_root: Path, name: str) -> Path:
    path = data_root / RAW / name
    return path if path.exists() else path.with_name(f"{name}.gz")


@lru_cache(maxsize=4)
def _idx(path: Path, dimensions: int) -> Pixels:
    """An IDX file of unsigned bytes (big-endian header: 0, 0, type 8, dimensions, sizes)."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
    except (OSError, EOFError, struct.error) as error:
        raise UsageError(f"{path} cannot be read as an IDX file: {error}; fetch it anew") from error
    start = 4 + 4 * dimensions
    if magic != (0, 8, dimensions) or len(data) - start != int(np.prod(shape)):
        raise UsageError(f"{path} is not a whole IDX file of {dimensions}-dimensional bytes; fetch it anew")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
