"""Made-up data of 16 x 16 pixels for tests: a coarse pattern per class, a tint per domain, and noise.

Whole-number arithmetic throughout, so that golden numbers do not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from clsearch.benchmarks.examples import Listing, Pixels, Place, Pool, Reader, Rows, make_listing
from clsearch.spec.seeds import derive_seed

SIZE = 16
TRAIN, TEST = 20, 6  # per class; the catalogue's rule keeps 4 of the 20 for validation and 4 for inner
_VERSION = "nano 1"  # part of every mark: raise it when the pictures change
_NOISE = 48
_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "nano_cil": {"patterns": ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")},
    "nano_x_tail": {
        "animals": ("cat", "dog", "bird"),
        "food": ("apple", "bread", "soup"),
        "signs": ("arrow", "circle", "star"),
    },
    "nano_dil": dict.fromkeys(("photo", "sketch", "negative"), ("boat", "house", "tree", "wheel")),
}


def read_nano(benchmark: str) -> tuple[Pool, ...]:
    """The pools of a nano benchmark, in natural order."""
    pools = []
    for domain, names in _CLASSES[benchmark].items():
        parts = {part: _list(benchmark, domain, names, part, n) for part, n in (("train", TRAIN), ("test", TEST))}
        pools.append(Pool(domain, names, "a photo of a {}.", parts["train"], None, parts["test"], _open))
    return tuple(pools)


def _list(benchmark: str, domain: str, names: tuple[str, ...], part: str, count: int) -> Listing:
    ids = [f"{benchmark}/{domain}/{name}/{part}/{i:02d}" for name in names for i in range(count)]
    labels = np.repeat(np.arange(len(names)), count)
    return make_listing(ids, labels, ids, marks=[_VERSION] * len(ids))


@dataclass(frozen=True)
class _NanoReader:
    ids: tuple[str, ...]

    def images(self, rows: Rows, augment: Sequence[int] | None) -> Pixels:
        if not len(rows):
            return np.empty((0, SIZE, SIZE, 3), dtype=np.uint8)
        return np.stack([_picture(self.ids[row]) for row in rows])


def _open(places: Sequence[Place]) -> Reader:
    return _NanoReader(tuple(str(place) for place in places))


@cache
def _picture(identifier: str) -> Pixels:
    """The class's 4 x 4 coloured pattern, moved by up to a pixel, tinted by its domain, with noise."""
    benchmark, domain, name, _, _ = identifier.split("/")
    # In nano_dil the domains share their classes, so the pattern must not know the domain.
    home = "" if benchmark == "nano_dil" else domain
    pattern = _random("pattern", home, name).randint(0, 256, (4, 4, 3))
    tint = _random("tint", benchmark, domain).randint(-40, 41, 3)
    draw = _random("noise", identifier)
    image = np.kron(pattern, np.ones((4, 4, 1), dtype=np.int64))
    image = np.roll(image, tuple(int(step) for step in draw.randint(-1, 2, 2)), axis=(0, 1))
    if domain == "negative":
        image = 255 - image
    image = image + tint + draw.randint(-_NOISE, _NOISE + 1, image.shape)
    clipped: Pixels = np.clip(image, 0, 255).astype(np.uint8)
    return clipped


def _random(*address: str) -> np.random.RandomState:
    return np.random.RandomState(derive_seed(*address) % 2**32)
