"""Compute once what the teachers say: views of every picture with Lite0's features."""

from __future__ import annotations

import gzip
import json
import time
from multiprocessing import Pool

import numpy as np
import torch
from numpy.lib.format import open_memmap

from clsearch.backbones.pocket import PRETRAINING_IDS
from tools.pocket import corpus, sources
from tools.pocket.teachers import GRID, Lite0

CACHE = sources.WORK / "cache"
VIEWS = 8
CHUNK = 128


def main() -> None:
    CACHE.mkdir(exist_ok=True)
    start = time.time()
    chosen, arrays = _read_all()
    _write_index(chosen)
    print(f"{len(chosen)} pictures read in {time.time() - start:.0f} s", flush=True)

    shape = (VIEWS, len(chosen))
    images = _array("images", (*shape, corpus.STUDENT, corpus.STUDENT, 3), "u1")
    grids = _array("grids", (*shape, GRID * GRID, 112), "f2")
    pooled = _array("pooled", (*shape, 1280), "f2")
    teacher = Lite0()
    torch.set_num_threads(2)
    for number in range(VIEWS):
        for low in range(0, len(chosen), CHUNK):
            part = slice(low, low + CHUNK)
            large, small = _views(arrays[part], number, low)
            grid, pool = teacher(torch.from_numpy(large).permute(0, 3, 1, 2) / 127.5 - 1)
            images[number, part], grids[number, part], pooled[number, part] = small, grid, pool
        print(f"view {number}: {time.time() - start:.0f} s", flush=True)


def _read_all() -> tuple[list[corpus.Picture], np.ndarray]:
    pictures = corpus.pictures()
    with Pool(2) as pool:
        arrays = pool.map(corpus.read, pictures, chunksize=32)
    usable = [(one, array) for one, array in zip(pictures, arrays, strict=True) if array is not None]
    return [one for one, _ in usable], np.stack([array for _, array in usable])


def _views(arrays: np.ndarray, number: int, low: int) -> tuple[np.ndarray, np.ndarray]:
    large, small = [], []
    for offset, array in enumerate(arrays):
        random = np.random.default_rng([number, low + offset])
        image = corpus.view(array, random)
        large.append(np.asarray(image))
        small.append(corpus.student_view(image, random))
    return np.stack(large), np.stack(small)


def _write_index(chosen: list[corpus.Picture]) -> None:
    index = [(one.identifier, one.caption, one.held_out) for one in chosen]
    (CACHE / "index.json").write_text(json.dumps(index))
    # Held-out pictures are listed too: none of this may be in a benchmark.
    text = "".join(f"{one.identifier}\n" for one in chosen)
    PRETRAINING_IDS.write_bytes(gzip.compress(text.encode(), mtime=0))


def _array(name: str, shape: tuple[int, ...], kind: str) -> np.ndarray:
    return open_memmap(CACHE / f"{name}.npy", mode="w+", dtype=kind, shape=shape)


if __name__ == "__main__":
    main()
