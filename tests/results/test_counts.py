"""Counts by stage as objects of a store: created once, agreed upon, found by a stage's key alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from clsearch.results.counts import StageCounts, known_counts, note_weights, noted_weights, put_counts, read_counts
from clsearch.results.layout import counts_path
from clsearch.results.store import Store, StoreConflict, open_store

RECORD = {"trained_parameters": 10, "stored_parameters": 20, "learn_seconds": 1.5, "method": {"rank": 4}}
COUNTS = StageCounts(
    "ab" * 32, {"threshold": 0.2}, "validation", (3, 4), (5, 6), RECORD, 0.5, 1, "cpu", {"git_sha": None}
)
PATH = counts_path(COUNTS.stage_key, "0123456789abcdef")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_counts_come_back_as_they_were(store: Store) -> None:
    assert read_counts(store, PATH, 2) is None
    assert put_counts(store, PATH, COUNTS)
    assert read_counts(store, PATH, 2) == COUNTS
    # The same figures from another run: the first stay, with their seconds.
    assert not put_counts(store, PATH, dataclasses.replace(COUNTS, eval_seconds=9.0))
    assert read_counts(store, PATH, 2) == COUNTS
    with pytest.raises(StoreConflict, match=r"\[3, 4\] of \[5, 6\] \(on cpu\), and \[3, 5\] of"):
        put_counts(store, PATH, dataclasses.replace(COUNTS, correct=(3, 5)))


_RACER = """
import sys
from tests.results.test_counts import COUNTS, PATH
from clsearch.results.counts import put_counts
from clsearch.results.store import open_store
store = open_store(sys.argv[1], create=False)
print("ready", flush=True)
sys.stdin.readline()
print([put_counts(store, f"{PATH}-{turn}", COUNTS) for turn in range(20)])
"""


def test_two_processes_at_one_object_agree(store: Store) -> None:
    command = [sys.executable, "-c", _RACER, store.uri]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [eval(racer.communicate(timeout=60)[0]) for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert all(first != second for first, second in zip(*won, strict=True))
    assert all(read_counts(store, f"{PATH}-{turn}", 2) == COUNTS for turn in range(20))


def test_counts_are_found_along_a_chain(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["aa" * 32, "bb" * 32, "cc" * 32]
    listed: list[str] = []
    list_all = store.list
    monkeypatch.setattr(store, "list", lambda prefix: listed.append(prefix) or list_all(prefix))
    assert known_counts(store, keys) == set()
    assert len(listed) == 1  # a fresh sequence asks once
    paths = {counts_path(key, name) for key in (keys[0], keys[2]) for name in ("01", "02")}
    for path in paths:
        put_counts(store, path, COUNTS)
    put_counts(store, counts_path("aab" + "0" * 61, "01"), COUNTS)
    assert known_counts(store, keys) == paths
    assert known_counts(store, keys[1:]) == set()
    assert known_counts(store, [keys[2], *keys[:2]]) == paths  # the first two have rows: they are not what decides


def test_weights_are_noted_once_each(store: Store) -> None:
    name = "open_clip:ViT-B-16/openai"
    assert not noted_weights(store, name, "float32")
    for weights in ("1" * 64, "2" * 64, "1" * 64):
        note_weights(store, name, "float32", weights)
    note_weights(store, "open_clip:ViT-B-16:openai", "float32", "3" * 64)  # the same name, as far as a path can say
    note_weights(store, name, "float64", "4" * 64)
    assert noted_weights(store, name, "float32") == {"1" * 64, "2" * 64}
    assert len(store.list("backbones/")) == 4
