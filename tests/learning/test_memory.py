"""The peak of a stage's own memory, whatever its process needed before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clsearch.learning import memory
from clsearch.learning.memory import forget_peak, peak_gb
from clsearch.learning.request import SequenceRequest
from clsearch.learning.sequence import run_sequence
from clsearch.results.store import open_store

# In a process of its own: the peak of this one is whatever other tests needed.
CODE = """
import numpy, torch
from clsearch.learning.memory import forget_peak, peak_gb
cpu = torch.device("cpu")
block = numpy.ones(60_000_000)
del block
before = peak_gb(cpu)
forget_peak(cpu)
after = peak_gb(cpu)
block = numpy.ones(25_000_000)
print(before, after, peak_gb(cpu))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system cannot forget a peak")
def test_the_peak_is_forgotten_and_measured_anew() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, after, anew = map(float, done.stdout.split())
    assert before - after > 0.4  # 60 million floats are 0.48 GB
    assert 0.15 < anew - after < 0.25  # 25 million


def test_a_system_that_does_not_let_us_forget_is_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CLEAR", tmp_path)  # a folder: it cannot be written
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    (tmp_path / "status").write_text("Name: python\n")  # and no VmHWM
    forget_peak(torch.device("cpu"))
    assert 0.01 < peak_gb(torch.device("cpu")) < 100


def test_rows_say_what_their_stage_needed_whoever_learned_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))

    def memory(trial: int) -> list[float]:
        fixed = {"phase": "search", "protocol": "end_of_sequence", "order_seed": 0, "run_seed": 0, "max_tasks": 2}
        request = SequenceRequest(
            sweep="s",
            trial=trial,
            method="sequential_lora",
            settings={"iterations": 2, "batch": 4},
            backbone="nano_vit",
            benchmark="nano_cil",
            **fixed,  # type: ignore[arg-type]
        )
        result = run_sequence(request, store)
        assert (result.stages_learned, result.stages_reused) == ((2, 0) if trial == 0 else (0, 2))
        rows = store.read_rows("s", trial=trial)
        return sorted(set(rows["memory_gb"].to_pylist()))

    first = memory(0)
    assert all(0.05 < value < 10 for value in first)
    assert memory(1) == first  # from the store: the peak of the process that learned it
