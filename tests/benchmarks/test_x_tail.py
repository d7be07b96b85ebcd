"""X-TAIL's ten data sets, each on small files of its true form."""

from __future__ import annotations

import dataclasses
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clsearch.benchmarks import mnist
from clsearch.benchmarks.catalogue import BENCHMARKS, missing_files
from clsearch.benchmarks.streams import Stream, TestedTask, build_stream
from clsearch.benchmarks.transforms import TRANSFORMS
from clsearch.benchmarks.x_tail import DOMAINS, Domain, read_x_tail
from clsearch.errors import UsageError

CLIP = TRANSFORMS["clip"]
# For each data set with CoOp's split: class names as the file has them, and how its paths look.
COOP = {
    "caltech101": (["airplane", "bonsai"], "{name}/image_{i:04d}.jpg"),
    "dtd": (["banded", "blotchy"], "{name}/{name}_{i:04d}.jpg"),
    "eurosat": (["Annual Crop Land", "Sea or Lake"], "AnnualCrop/{label}_{i}.jpg"),
    "flowers": (["pink primrose", "hard-leaved pocket orchid"], "image_{label}{i:04d}.jpg"),
    "food101": (["apple_pie", "baby_back_ribs"], "{name}/{i}.jpg"),
    "oxford_pet": (["abyssinian", "american_bulldog"], "{name}_{i}.jpg"),
    "stanford_cars": (["2000 AM General Hummer SUV", "2012 Acura RL Sedan"], "cars_{part}/{label}{i:04d}.jpg"),
    "sun397": (["abbey", "outdoor_apartment_building"], "a/{name}/sun_{i}.jpg"),
}
SMALL = tuple(dataclasses.replace(domain, classes=10 if domain.form == "mnist" else 2) for domain in DOMAINS)
COUNTS = {"train": 20, "val": 6, "test": 3}


def save(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (value, 0, 0)).save(path)


def write_coop(root: Path, domain: Domain) -> Path:
    names, form = COOP[domain.name]
    content: dict[str, list[list[object]]] = {}
    number = 0
    for part, count in COUNTS.items():
        content[part] = []
        for label, name in enumerate(names):
            for _ in range(count):
                number += 1
                image = form.format(name=name, label=label, i=number, part="test" if part == "test" else "train")
                save(root / domain.folder / domain.images / image, 50 + 100 * label)
                content[part].append([image, label, name])
    path = root / domain.folder / f"split_zhou_{domain.split}.json"
    path.write_text(json.dumps(content))
    return path


def write_aircraft(root: Path) -> Path:
    data = root / "fgvc-aircraft-2013b" / "data"
    data.mkdir(parents=True)
    variants = ["707-320", "Boeing 717"]
    (data / "variants.txt").write_text("".join(f"{name}\n" for name in variants))
    number = 34000
    for part, count in COUNTS.items():
        lines = []
        for _ in range(count):
            for label, variant in enumerate(variants):
                number += 1
                save(data / "images" / f"{number:07d}.jpg", 50 + 100 * label)
                lines.append(f"{number:07d} {variant}\n")
        (data / f"images_variant_{part}.txt").write_text("".join(lines))
    return data


def write_mnist(root: Path, packed: bool) -> Path:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 250), ("t10k", 30)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.repeat(labels[:, None] * 20, 784, axis=1)
        files = {
            f"{prefix}-images-idx3-ubyte": struct.pack(">HBB3I", 0, 8, 3, count, 28, 28) + images.tobytes(),
            f"{prefix}-labels-idx1-ubyte": struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes(),
        }
        for name, data in files.items():
            if packed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(data))
            else:
                (raw / name).write_bytes(data)
    return raw


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for domain in DOMAINS:
        if domain.form == "coop":
            write_coop(tmp_path, domain)
    write_aircraft(tmp_path)
    write_mnist(tmp_path, packed=True)
    return tmp_path


def stream_of(root: Path, order_seed: int = 0) -> Stream[TestedTask]:
    info = dataclasses.replace(BENCHMARKS["x_tail"], classes=sum(domain.classes for domain in SMALL))
    stream = build_stream(info, read_x_tail(root, CLIP, 224, SMALL), order_seed, with_test=True)
    assert isinstance(stream.tasks[0], TestedTask)
    return stream  # type: ignore[return-value]


def test_the_ten_data_sets_in_order(root: Path) -> None:
    assert missing_files("x_tail", root) is None
    stream = stream_of(root)
    assert [task.name for task in stream.tasks] == [
        "aircraft", "caltech101", "dtd", "eurosat", "flowers",
        "food101", "mnist", "oxford_pet", "stanford_cars", "sun397",
    ]  # fmt: skip
    assert [domain.classes for domain in DOMAINS] == [100, 100, 47, 10, 102, 101, 10, 37, 196, 397]
    assert stream.normalize == "clip"
    assert stream.image_size == 224
    assert stream.candidates(1) == tuple(range(28))
    seen: set[str] = set()
    for task in stream.tasks:
        for examples in (task.learn.train, task.learn.inner, task.validation, task.test):
            assert not seen & set(examples.ids)
            seen |= set(examples.ids)
            assert set(examples.labels.tolist()) == set(task.classes)


def test_sixteen_shots_and_validation(root: Path) -> None:
    for task in stream_of(root).tasks:
        first = task.classes[0]
        shots = np.bincount(task.learn.together().labels - first)
        assert shots.tolist() == [16] * len(task.classes)
        assert np.bincount(task.validation.labels - first).tolist() == [4] * len(task.classes)
        assert np.bincount(task.test.labels - first).tolist() == [3] * len(task.classes)
        assert task.validation_source == ("unused train images" if task.name == "mnist" else "own list")


def test_prompts_are_the_published_ones(root: Path) -> None:
    stream = stream_of(root)
    prompts = [template.format(name) for template, name in zip(stream.templates, stream.class_names, strict=True)]
    assert prompts[1:10] == [
        "a photo of a Boeing 717, a type of aircraft.",
        "a photo of a airplane.",
        "a photo of a bonsai.",
        "banded texture.",
        "blotchy texture.",
        "a centered satellite photo of the Annual Crop Land satellite location.",
        "a centered satellite photo of the Sea or Lake satellite location.",
        "a photo of a pink primrose, a type of flower.",
        "a photo of a hard-leaved pocket orchid, a type of flower.",
    ]
    assert prompts[10] == "a photo of a apple pie, a type of food."
    assert prompts[12] == 'a photo of the number: "number: "0 - zero"".'
    assert prompts[22:] == [
        "a photo of a abyssinian, a type of pet.",
        "a photo of a american bulldog, a type of pet.",
        "a photo of a 2000 AM General Hummer SUV.",
        "a photo of a 2012 Acura RL Sedan.",
        "a photo of a abbey.",
        "a photo of a outdoor apartment building.",
    ]


def test_images_lie_where_the_lists_say(root: Path) -> None:
    for task in stream_of(root).tasks:
        for examples in (task.learn.train, task.validation, task.test):
            rows = np.array([0, len(examples) - 1])
            expected = [
                int(20 * d if task.name == "mnist" else 50 + 100 * d) for d in examples.labels[rows] - task.classes[0]
            ]
            images = examples.images(rows)
            assert images.shape == (2, 224, 224, 3)
            assert np.abs(images[:, 100, 100, 0].astype(int) - expected).max() <= 2, task.name
            assert examples.images(rows, augment=[1, 2]).shape == (2, 224, 224, 3)


def test_the_draw_does_not_depend_on_order_or_packing(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    def drawn(order_seed: int) -> dict[str, tuple[str, ...]]:
        return {task.name: task.learn.train.ids for task in stream_of(root, order_seed).tasks}

    packed = drawn(0)
    assert packed == drawn(4)
    for path in (root / "MNIST" / "raw").iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert missing_files("x_tail", root) is None
    assert drawn(0) == packed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a split file of CoOp"),
        ('{"train": [], "val": []}', "is not a split file of CoOp"),
        ('{"train": [["a.jpg", 0]], "val": [], "test": []}', "is not a split file of CoOp"),
        (
            '{"train": [["a.jpg", 0, "x"], ["b.jpg", 0, "y"]], "val": [], "test": []}',
            "label 0 is 'x', but 'y' at 'b.jpg'",
        ),
        ('{"train": [["a.jpg", 0, "x"], ["b.jpg", 2, "y"]], "val": [], "test": []}', "labels must run from 0 to 1"),
        ('{"train": [["a.jpg", 0, "x"]], "val": [], "test": []}', "dtd has 1 classes, expected 2"),
    ],
)
def test_damaged_split_files_are_named(root: Path, content: str, message: str) -> None:
    (root / "dtd" / "split_zhou_DescribableTextures.json").write_text(content)
    with pytest.raises(UsageError, match=message) as raised:
        read_x_tail(root, CLIP, 224, SMALL)
    assert "dtd" in str(raised.value)


def test_a_class_without_images_is_named(root: Path) -> None:
    path = root / "dtd" / "split_zhou_DescribableTextures.json"
    content = json.loads(path.read_text())
    content["train"] = [entry for entry in content["train"] if entry[1] != 1]
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="dtd: class 'blotchy' has 0 train images"):
        stream_of(root)


def test_an_aircraft_of_an_unknown_variant(root: Path) -> None:
    path = root / "fgvc-aircraft-2013b" / "data" / "images_variant_val.txt"
    path.write_text(path.read_text() + "1234567 Boing 717\n")
    with pytest.raises(UsageError, match=r"image '1234567' is of variant 'Boing 717'.*did you mean 'Boeing 717'"):
        read_x_tail(root, CLIP, 224, SMALL)


def test_damaged_idx_files_are_named(root: Path) -> None:
    raw = root / "MNIST" / "raw"
    whole = gzip.decompress((raw / "t10k-labels-idx1-ubyte.gz").read_bytes())
    for data, message in (
        (whole[:-1], "is not a whole IDX file"),
        (b"\0\0", "cannot be read as an IDX file"),
        (struct.pack(">HBBI", 0, 8, 1, 4) + whole[8:12], "t10k has 30 images but 4 labels"),
    ):
        # The unpacked file is preferred to the packed one.
        (raw / "t10k-labels-idx1-ubyte").write_bytes(data)
        mnist._idx.cache_clear()
        with pytest.raises(UsageError, match=message):
            read_x_tail(root, CLIP, 224, SMALL)
    mnist._idx.cache_clear()
    (raw / "t10k-labels-idx1-ubyte").unlink()
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(whole)[:-12])
    with pytest.raises(UsageError, match=r"t10k-labels-idx1-ubyte\.gz cannot be read"):
        read_x_tail(root, CLIP, 224, SMALL)
