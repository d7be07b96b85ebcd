"""The catalogue: names, and sentences for files that are not there."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from clsearch.benchmarks.catalogue import BENCHMARKS, BenchmarkInfo, find_data_root, missing_files, packaged_file
from clsearch.benchmarks.streams import open_stream
from clsearch.errors import UsageError


def test_the_catalogue_is_read_with_the_standard_library_alone() -> None:
    code = (
        "import sys; import clsearch.benchmarks.catalogue;"
        "assert not {'numpy', 'PIL', 'pyarrow', 'yaml'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("name", [name for name, info in BENCHMARKS.items() if info.needs])
def test_missing_files_say_where_and_how(name: str, tmp_path: Path) -> None:
    sentence = missing_files(name, tmp_path)
    assert sentence is not None
    assert str(tmp_path / BENCHMARKS[name].needs[0]) in sentence
    assert "https://" in sentence
    assert "profile=pocket" in sentence
    assert "CLSEARCH_DATA" in sentence
    with pytest.raises(UsageError, match="profile=pocket"):
        open_stream(name, 0, data_root=tmp_path)


def test_files_that_are_there_are_not_missed(tmp_path: Path) -> None:
    for path in BENCHMARKS["x_tail"].needs:
        packed = tmp_path / (f"{path}.gz" if path.endswith("ubyte") else path)
        packed.parent.mkdir(parents=True, exist_ok=True)
        packed.touch()
    assert missing_files("x_tail", tmp_path) is None
    (tmp_path / "dtd" / "split_zhou_DescribableTextures.json").unlink()
    assert "split_zhou_DescribableTextures.json" in str(missing_files("x_tail", tmp_path))
    assert missing_files("pocket_cil_10") is None
    assert missing_files("nano_cil") is None


# How the ids of a packaged file begin, and the source that the catalogue names for them.
SOURCES = {"emoji": "emoji drawings", "digits": "UCI digits", "mnist": "MNIST", "fashion": "Fashion-MNIST"}


def pictures(info: BenchmarkInfo) -> dict[str, bytes]:
    """The ids of a packaged benchmark's own domains, with the image of each."""
    rows = pq.read_table(packaged_file(info), columns=["id", "image", "domain"]).to_pylist()
    return {row["id"]: row["image"] for row in rows if info.domains is None or row["domain"] in info.domains}


def test_benchmarks_that_share_a_picture_have_a_source_in_common() -> None:
    found = {name: pictures(info) for name, info in BENCHMARKS.items() if info.packaged}
    for name, own in found.items():
        assert set(BENCHMARKS[name].sources) == {SOURCES[picture.partition("/")[0]] for picture in own}
        for other, theirs in found.items():
            shares = bool(own.keys() & theirs.keys() or {*own.values()} & {*theirs.values()})
            assert shares <= bool({*BENCHMARKS[name].sources} & {*BENCHMARKS[other].sources})


def test_made_up_benchmarks_share_nothing() -> None:
    found = {}
    for name in ("nano_cil", "nano_x_tail", "nano_dil"):
        tasks = open_stream(name, 0, with_test=True).tasks
        parts = [part for task in tasks for part in (task.learn.train, task.learn.inner, task.validation, task.test)]
        found[name] = {image.tobytes() for part in parts for image in part.images(np.arange(len(part)))}
    for one, other in itertools.combinations(found, 2):
        assert not found[one] & found[other]
        assert not {*BENCHMARKS[one].sources} & {*BENCHMARKS[other].sources}


def test_the_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLSEARCH_DATA", raising=False)
    assert find_data_root() == Path.home() / "clsearch" / "data"
    monkeypatch.setenv("CLSEARCH_DATA", str(tmp_path))
    assert find_data_root() == tmp_path
    assert find_data_root(tmp_path / "other") == tmp_path / "other"
