"""One trial evaluated under 12 settings beside 12 trials with one setting each.

    python -m tests.speed.grid [nano | pocket]

Printed: seconds of each and their ratio, and whether every count is equal.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import torch

from clsearch.learning.request import SequenceRequest
from clsearch.learning.sequence import run_sequence
from clsearch.results.store import Store, open_store

BENCHMARKS = {"nano": "nano_x_tail", "pocket": "pocket_x_tail_5"}
GRID = tuple({"threshold": round(0.05 * i, 2)} for i in range(12))


def learn(size: str, store: Store, trial: int, grid: tuple[dict[str, Any], ...]) -> None:
    settings = {"iterations": 20, "batch": 16} if size == "pocket" else {"iterations": 6, "batch": 8}
    request = SequenceRequest(
        "speed", trial, "search", "end_of_sequence", "mora", settings, f"{size}_clip", BENCHMARKS[size], 0, 0,
        eval_settings=grid, keep="none",
    )  # fmt: skip
    run_sequence(request, store)


def counts(store: Store) -> dict[tuple[Any, ...], int]:
    rows = store.read_rows("speed").to_pylist()
    return {(row["task_learned"], row["task_evaluated"], row["eval_setting"]): row["correct"] for row in rows}


def main(size: str = "nano") -> None:
    torch.set_num_threads(1)
    together, apart = open_store(tempfile.mkdtemp()), open_store(tempfile.mkdtemp())
    learn(size, open_store(tempfile.mkdtemp()), 0, GRID[:1])  # imports and decoding, for neither side
    begun = time.perf_counter()
    learn(size, together, 0, GRID)
    middle = time.perf_counter()
    for trial, eval_setting in enumerate(GRID):
        learn(size, apart, trial, (eval_setting,))
    once, many = middle - begun, time.perf_counter() - middle
    equal = counts(together) == counts(apart)
    print(
        f"{size}: one trial, 12 settings {once:.1f} s; 12 trials {many:.1f} s; ratio {many / once:.1f}; equal: {equal}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
