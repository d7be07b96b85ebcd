"""What happens to a picture between its file and the network's input: named sets, on PIL, driven by seeds.

Sources: the public code of PILOT, CODA-Prompt and MoRA (CLIP). Scaling to [0, 1] and the statistics of `normalize` are
applied later, on the device; here everything stays 8-bit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from clsearch.benchmarks.examples import Pixels
from clsearch.errors import UsageError

Normalize = Literal["none", "half", "clip", "imagenet"]
Interpolation = Literal["bilinear", "bicubic"]
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ATTEMPTS = 10
# What Pillow raises on files that are damaged, cut short, or of no known format.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class RandomCrop:
    """A crop of random area (a share of the picture's) and aspect, resized to the square; then perhaps mirrored."""

    scale: tuple[float, float]
    interpolation: Interpolation
    flip: bool
    ratio: tuple[float, float] = (3 / 4, 4 / 3)


@dataclass(frozen=True)
class TransformSet:
    """A named way from pictures to squares; `train` None: train as test."""

    name: str
    train: RandomCrop | None
    resize: float  # the shorter side before the centre crop, as a multiple of the square's side
    interpolation: Interpolation
    normalize: Normalize


TRANSFORMS: dict[str, TransformSet] = {
    item.name: item
    for item in (
        TransformSet("pilot", RandomCrop((0.05, 1.0), "bilinear", True), 256 / 224, "bicubic", "none"),
        TransformSet("coda", RandomCrop((0.08, 1.0), "bilinear", True), 256 / 224, "bilinear", "none"),
        TransformSet("clip", RandomCrop((0.9, 1.0), "bicubic", False), 1.0, "bicubic", "clip"),
        TransformSet("plain", None, 1.0, "bicubic", "half"),
    )
}


def render(
    pictures: Iterable[Callable[[], Image.Image]],
    names: Sequence[str],
    transforms: TransformSet,
    size: int,
    augment: Sequence[int] | None,
) -> Pixels:
    """The pictures, opened one after another, as squares (n, size, size, 3); `names` are for errors."""
    images = np.empty((len(names), size, size, 3), dtype=np.uint8)
    for i, (open_picture, name) in enumerate(zip(pictures, names, strict=True)):
        try:
            picture = open_picture().convert("RGB")
        except _DAMAGED as error:
            raise UsageError(f"image '{name}' cannot be read: {error}; replace the file") from error
        if augment is None or transforms.train is None:
            images[i] = np.asarray(centre_square(picture, transforms, size))
        else:
            images[i] = np.asarray(random_square(picture, transforms.train, size, augment[i]))
    return images


def centre_square(picture: Image.Image, transforms: TransformSet, size: int) -> Image.Image:
    """The test transform: the shorter side resized, the middle square cut out."""
    short = round(transforms.resize * size)
    width, height = picture.size
    shorter = min(width, height)
    target = (short * width // shorter, short * height // shorter)
    if target != picture.size:
        picture = picture.resize(target, _FILTERS[transforms.interpolation])
    left, top = round((target[0] - size) / 2), round((target[1] - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def random_square(picture: Image.Image, crop: RandomCrop, size: int, seed: int) -> Image.Image:
    """The train transform: a function of the picture and the seed alone."""
    # random.Random promises the same random() for a seed in every Python version; its other draws do not.
    draw = random.Random(seed).random
    box = _random_box(picture.size, crop, draw)
    square = picture.crop(box).resize((size, size), _FILTERS[crop.interpolation])
    if crop.flip and draw() < 0.5:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return square


def _random_box(
    picture_size: tuple[int, int], crop: RandomCrop, draw: Callable[[], float]
) -> tuple[int, int, int, int]:
    width, height = picture_size
    low, high = math.log(crop.ratio[0]), math.log(crop.ratio[1])
    for _ in range(_ATTEMPTS):
        area = width * height * (crop.scale[0] + (crop.scale[1] - crop.scale[0]) * draw())
        aspect = math.exp(low + (high - low) * draw())
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(draw() * (width - w + 1)), int(draw() * (height - h + 1))
            return left, top, left + w, top + h
    # No box of the drawn shapes fits: the largest middle one whose aspect is allowed.
    aspect = min(max(width / height, crop.ratio[0]), crop.ratio[1])
    w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
