"""The reader of the pocket Parquet files, on small files of the same schema and on the real ones."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clsearch.benchmarks.catalogue import BENCHMARKS, packaged_file
from clsearch.benchmarks.pocket_files import read_pocket
from clsearch.benchmarks.streams import open_stream
from clsearch.benchmarks.transforms import TRANSFORMS
from clsearch.errors import UsageError

PLAIN = TRANSFORMS["plain"]
PACKAGED = sorted({packaged_file(info) for info in BENCHMARKS.values() if info.packaged})
# OpenMoji's line drawing of this sign is filled in one colour only.
KNOWN_BLANK = {"emoji/1f195/openmoji-line"}


def encode(value: int, mode: str = "L", size: int = 28, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), (value, value, value)).convert(mode).save(buffer, form)
    return buffer.getvalue()


def row(
    identifier: str, name: str, split: str = "train", domain: str = "one", image: bytes | None = None
) -> dict[str, object]:
    return {
        "id": identifier,
        "image": encode(100) if image is None else image,
        "class_name": name,
        "domain": domain,
        "split": split,
        "source": "made up",
        "licence": "none",
    }


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_rows_become_pools(tmp_path: Path) -> None:
    rows = [
        row("b/1", "bird", domain="animals"),
        row("emoji/1f413/x", "ant", domain="animals"),
        row("emoji/1f413/y", "ant", "test", domain="animals"),
        row("z/1", "zero", domain="digits"),
    ]
    path = write(tmp_path / "small.parquet", rows)
    animals, digits = read_pocket(path, PLAIN, 48, by_domain=True)
    assert (animals.name, animals.class_names) == ("animals", ("bird", "ant"))
    assert animals.train.labels.tolist() == [0, 1]
    assert animals.test.ids == ("emoji/1f413/y",)
    assert animals.test.groups == animals.train.groups[1:] == ("emoji/1f413",)
    assert animals.train.marks[0] == digits.train.marks[0]
    assert len(animals.train.marks[0]) == 16
    assert digits.template == 'a photo of the number: "{}".'
    (whole,) = read_pocket(path, PLAIN, 48, by_domain=False)
    assert (whole.name, whole.class_names) == ("small", ("bird", "ant", "zero"))


def test_images_of_every_kind_are_decoded_to_one_size(tmp_path: Path) -> None:
    images = [encode(10), encode(20, "RGB", 48, "WEBP"), encode(30, "L", 8)]
    path = write(tmp_path / "kinds.parquet", [row(str(i), "a", image=image) for i, image in enumerate(images)])
    (pool,) = read_pocket(path, PLAIN, 48, by_domain=False)
    pixels = pool.open(pool.train.places).images(np.array([2, 0, 1, 0]), None)
    assert pixels.shape == (4, 48, 48, 3)
    assert np.abs(pixels[:, 24, 24, 0].astype(int) - [30, 10, 20, 10]).max() <= 2
    pixels[:] = 0  # a caller's own copy
    assert pool.open(pool.train.places).images(np.array([2]), None)[0, 0, 0, 0] == 30


def test_a_damaged_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "torn.parquet", [row("fine", "a"), row("torn/7", "a", image=encode(1)[:40])])
    (pool,) = read_pocket(path, PLAIN, 48, by_domain=False)
    reader = pool.open(pool.train.places)
    assert reader.images(np.array([0]), None).shape == (1, 48, 48, 3)
    with pytest.raises(UsageError, match=r"image 'torn/7 in .*torn\.parquet' cannot be read"):
        reader.images(np.array([0, 1]), None)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UsageError, match=r"bad\.parquet cannot be read"):
        read_pocket(path, PLAIN, 48, by_domain=False)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(UsageError, match=r"bad\.parquet has no column 'image'"):
        read_pocket(path, PLAIN, 48, by_domain=False)
    write(path, [row("a", "a", "validation")])
    with pytest.raises(UsageError, match="rows of split 'validation'"):
        read_pocket(path, PLAIN, 48, by_domain=False)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "twice.parquet", [row("a", "a")])
    read_pocket(path, PLAIN, 48, by_domain=False)
    write(path, [row("a", "a"), row("b", "b")])
    assert read_pocket(path, PLAIN, 48, by_domain=False)[0].class_names == ("a", "b")


@pytest.mark.parametrize("path", PACKAGED, ids=lambda path: path.stem)
def test_the_packaged_images_are_all_whole_and_name_their_licence(path: Path) -> None:
    table = pq.read_table(path)
    assert all(table["source"].to_pylist())
    assert all(table["licence"].to_pylist())
    blank: set[str] = set()
    for pool in read_pocket(path, PLAIN, 48, by_domain=True):
        for listing in (pool.train, pool.test):
            pixels = pool.open(listing.places).images(np.arange(len(listing)), None)
            blank |= {listing.ids[i] for i in np.flatnonzero(pixels.reshape(len(listing), -1).std(1) < 1)}
    assert blank <= KNOWN_BLANK


def test_images_are_decoded_once_in_a_process() -> None:
    def read_all() -> float:
        start = time.perf_counter()
        for task in open_stream("pocket_cil_10", 0, with_test=True).tasks:
            for part in (task.learn.train, task.learn.inner, task.validation, task.test):
                part.images(np.arange(len(part)))
        return time.perf_counter() - start

    first, again = read_all(), min(read_all() for _ in range(3))
    assert again < 0.4 or again < first / 2
