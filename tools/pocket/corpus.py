"""The pictures and captions that pre-training may use, and the mild views made of them.

Only Google's and Twitter's emoji and openclipart: nothing that a benchmark shows. Captions are
the names of the pictures; subcategories and folder names stay out, since classes are named so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from tools.pocket import sources

SIDE = 128  # the teacher's view
STUDENT = 48  # the student's view
MAX_PIXELS = 20_000_000  # some clip art has more than 100 million
Image.MAX_IMAGE_PIXELS = None  # Pillow would stop at those; `read` looks at the size itself
CLIPART_LEFT_OUT = ("shapes/stars", "logos", "buttons")


@dataclass(frozen=True)
class Picture:
    identifier: str
    caption: str
    path: Path

    @property
    def held_out(self) -> bool:
        """One concept in twenty is kept from training to measure with; vendors share the fate."""
        return sources.digest("held out " + self.identifier.split("/", 1)[1]) % 20 == 0


def pictures() -> list[Picture]:
    return [*_emoji("google", sources.GOOGLE), *_emoji("twitter", sources.TWITTER), *_clipart()]


def read(picture: Picture) -> np.ndarray | None:
    """The picture fitted into SIDE x SIDE, RGBA; None when it cannot be used."""
    with Image.open(picture.path) as image:
        if image.width * image.height > MAX_PIXELS or min(image.size) < 8:
            return None
        rgba = image.convert("RGBA")
    scale = SIDE / max(rgba.size)
    size = (max(1, round(rgba.width * scale)), max(1, round(rgba.height * scale)))
    fitted = rgba.resize(size, Image.Resampling.BICUBIC)
    canvas = Image.new("RGBA", (SIDE, SIDE))
    canvas.paste(fitted, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    array = np.asarray(canvas)
    # An almost empty picture teaches nothing.
    return array if (array[..., 3] > 32).mean() > 0.02 else None


def view(rgba: np.ndarray, random: np.random.Generator) -> Image.Image:
    """A mild view at SIDE x SIDE: other background, perhaps grey or a silhouette, slightly moved."""
    background = _background(random)
    image = Image.fromarray(rgba)
    if random.random() < 0.6:
        image = _silhouette(rgba, background, random) if random.random() < 0.35 else _grey(image)
    size = round(SIDE * random.uniform(0.78, 1.0))
    moved = Image.new("RGBA", (SIDE, SIDE))
    corner = tuple(int(value) for value in random.integers(0, SIDE - size + 1, 2))
    moved.paste(image.resize((size, size), Image.Resampling.BILINEAR), corner)
    if random.random() < 0.3:
        angle = random.uniform(-12, 12)
        moved = moved.rotate(angle, Image.Resampling.BILINEAR)
    return sources.on_background(moved, background)


def student_view(image: Image.Image, random: np.random.Generator) -> np.ndarray:
    """What the student sees of a view; at times through 28 pixels, as small data sets are."""
    if random.random() < 0.3:
        image = image.resize((28, 28), Image.Resampling.BOX)
    return np.asarray(image.resize((STUDENT, STUDENT), Image.Resampling.BILINEAR))


def _background(random: np.random.Generator) -> tuple[int, int, int]:
    kind = random.random()
    if kind < 0.4:
        return (255, 255, 255)
    if kind < 0.8:
        return (0, 0, 0)
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    return (red, green, blue)


def _grey(image: Image.Image) -> Image.Image:
    grey = image.convert("LA")
    return grey.convert("RGBA")


def _silhouette(rgba: np.ndarray, background: tuple[int, int, int], random: np.random.Generator) -> Image.Image:
    """The outline filled with one grey that stands out from the background."""
    dark = sum(background) < 384
    value = int(random.integers(150, 256) if dark else random.integers(0, 106))
    filled = np.full_like(rgba, value)
    filled[..., 3] = rgba[..., 3]
    return Image.fromarray(filled)


def _emoji(vendor: str, folder: Path) -> Iterator[Picture]:
    rows = json.loads((folder / "emoji.json").read_text())
    for row in sorted(rows, key=lambda row: row["unified"]):
        path = folder / "img" / vendor / "64" / row["image"]
        if row[f"has_img_{vendor}"] and path.exists():
            code = sources.plain_code(row["unified"])
            caption = _caption([row["name"], *row["short_names"]])
            yield Picture(f"{vendor}/{code}", caption, path)


def _caption(names: list[str]) -> str:
    """The first name that says something, and another one that adds words to it."""
    plain = [" ".join(re.findall(r"[a-z]+|[0-9]+", name.lower())) for name in names]
    first, *others = [name for name in dict.fromkeys(plain) if name]
    added = [name for name in others if not set(name.split()) <= set(first.split())]
    return ", ".join([first, *added[:1]])


def _clipart() -> Iterator[Picture]:
    for path in sorted(sources.CLIPART.rglob("*.png")):
        name = path.relative_to(sources.CLIPART).as_posix()
        if path.is_symlink() or name.startswith(CLIPART_LEFT_OUT):
            continue
        words = [word for word in re.findall(r"[a-z]+", path.stem.lower()) if word in plain_words()]
        if words:
            caption = " ".join(dict.fromkeys(words))
            yield Picture(f"openclipart/{name.removesuffix('.png')}", caption, path)


@cache
def plain_words() -> frozenset[str]:
    """Words of WordNet's nouns and glosses as timm ships them: names of authors are not among them."""
    text = " ".join(part for pair in wordnet() for part in pair)
    return frozenset(word for word in re.findall(r"[a-z]+", text) if len(word) > 2)


@cache
def wordnet() -> tuple[tuple[str, str], ...]:
    """Names and glosses of ImageNet's 21,841 nouns."""
    from clsearch.backbones.torchvision_ops import declare_missing_operators

    declare_missing_operators()
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet21k")
    pairs = []
    for index in range(info.num_classes()):
        name = info.index_to_description(index).lower()
        gloss = info.index_to_description(index, detailed=True).lower().removeprefix(name)
        pairs.append((name, gloss.strip(": ")))
    return tuple(pairs)
