"""ImageNet-R in its distributed form: folders, counts, CODA-Prompt's lists."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from clsearch.benchmarks import imagenet_r
from clsearch.benchmarks.catalogue import BENCHMARKS
from clsearch.benchmarks.imagenet_r import ClassFacts, published_classes, read_imagenet_r
from clsearch.benchmarks.streams import build_stream, open_stream
from clsearch.benchmarks.transforms import TRANSFORMS
from clsearch.errors import UsageError

CODA = Path("/work/shared/data/imagenet_r_lists")
PILOT = TRANSFORMS["pilot"]
FACTS = {
    "n01443537": ClassFacts("goldfish", 30),
    "n01484850": ClassFacts("great white shark", 20),
    "n01494475": ClassFacts("hammerhead", 25),
    "n01498041": ClassFacts("stingray", 20),
}
STYLES = ("art", "cartoon", "sketch", "tattoo", "toy")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four classes with the archive's names: <style>_<n>.jpg in a folder per WordNet id, and its README."""
    random = np.random.RandomState(0)
    for wordnet, facts in FACTS.items():
        folder = tmp_path / "imagenet-r" / wordnet
        folder.mkdir(parents=True)
        for i in range(facts.images):
            pixels = random.randint(0, 256, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((80, 60)).save(folder / f"{STYLES[i % 5]}_{i // 5}.jpg")
    (tmp_path / "imagenet-r" / "README.txt").write_text("ImageNet-R(endition)")
    return tmp_path


def write_lists(root: Path, train: list[str], test: list[str]) -> None:
    for part, names in (("train", train), ("test", test)):
        content = {"data": [f"data/imagenet-r/{name}" for name in names], "targets": [0] * len(names)}
        (root / f"imagenet-r_{part}.yaml").write_text(yaml.safe_dump(content))


def all_names(root: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.name}" for path in root.glob("imagenet-r/*/*.jpg"))


def test_own_split_is_stratified_and_moves_nothing(root: Path) -> None:
    before = all_names(root)
    pool = read_imagenet_r(root, PILOT, 32, FACTS)
    assert pool.class_names == ("goldfish", "great white shark", "hammerhead", "stingray")
    assert np.bincount(pool.train.labels).tolist() == [24, 16, 20, 16]
    assert np.bincount(pool.test.labels).tolist() == [6, 4, 5, 4]
    assert sorted(pool.train.ids + pool.test.ids) == [f"imagenet-r/{name}" for name in before]
    assert all_names(root) == before
    assert read_imagenet_r(root, PILOT, 32, FACTS).test.ids == pool.test.ids


def test_a_stream_of_real_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet_r, "published_classes", lambda: FACTS)
    small = dataclasses.replace(BENCHMARKS["imagenet_r_5"], tasks=2, classes=4)
    monkeypatch.setitem(BENCHMARKS, "imagenet_r_5", small)
    stream = open_stream("imagenet_r_5", 1993, with_test=True, data_root=root)
    assert stream.normalize == "none"
    assert stream.class_names == tuple(FACTS[sorted(FACTS)[i]].name for i in np.random.RandomState(1993).permutation(4))
    train = stream.tasks[0].learn.train
    rows = np.arange(3)
    plain = train.images(rows)
    assert plain.shape == (3, 224, 224, 3)
    varied = train.images(rows, augment=[4, 5, 6])
    assert (varied != plain).any()
    assert (train.images(rows[::-1], augment=[6, 5, 4])[::-1] == varied).all()
    assert (train.images(rows, augment=[4, 5, 7])[:2] == varied[:2]).all()


def test_a_damaged_image_is_named(root: Path) -> None:
    pool = read_imagenet_r(root, PILOT, 32, FACTS)
    path = root / pool.train.ids[3]
    path.write_bytes(path.read_bytes()[:200])
    reader = pool.open(pool.train.places)
    assert reader.images(np.arange(3), None).shape == (3, 32, 32, 3)
    with pytest.raises(UsageError, match=f"image '{path}' cannot be read"):
        reader.images(np.arange(4), None)
    path.unlink()
    with pytest.raises(UsageError, match=f"image '{path}' cannot be read"):
        reader.images(np.arange(4), [1, 2, 3, 4])


def test_a_missing_class_and_a_wrong_count_are_named(root: Path) -> None:
    folder = root / "imagenet-r" / "n01494475"
    next(folder.iterdir()).unlink()
    with pytest.raises(UsageError, match=r"n01494475 has 24 images, expected 25"):
        read_imagenet_r(root, PILOT, 32, FACTS)
    folder.rename(root / "elsewhere")
    with pytest.raises(UsageError, match=r"n01494475 \(hammerhead, 25 images\) is missing"):
        read_imagenet_r(root, PILOT, 32, FACTS)


def test_lists_beside_the_folder_are_used(root: Path) -> None:
    names = all_names(root)
    write_lists(root, names[19:][::-1], names[:19])
    pool = read_imagenet_r(root, PILOT, 32, FACTS)
    assert pool.train.ids == tuple(f"imagenet-r/{name}" for name in names[19:][::-1])
    assert pool.test.labels.tolist() == [0] * 19  # by folder, whatever the targets say


def test_lists_that_do_not_fit_are_refused(root: Path) -> None:
    names = all_names(root)
    train, test = names[19:], names[:19]
    cases = [
        (test, train, "are they complete, and not swapped"),
        (train[1:], test, "are they complete, and not swapped"),
        (train, [*test, train[0]], "list '.*' twice"),
        ([*train, "n01443537/art_99.jpg"], test, r"imagenet-r_train\.yaml lists 'n01443537/art_99\.jpg'"),
    ]
    for first, second, message in cases:
        write_lists(root, first, second)
        with pytest.raises(UsageError, match=message):
            read_imagenet_r(root, PILOT, 32, FACTS)
    (root / "imagenet-r_test.yaml").write_text("- not\n- a mapping\n")
    with pytest.raises(UsageError, match=r"imagenet-r_test\.yaml is not a list of CODA-Prompt"):
        read_imagenet_r(root, PILOT, 32, FACTS)
    (root / "imagenet-r_test.yaml").unlink()
    with pytest.raises(UsageError, match=r"imagenet-r_train\.yaml lies alone"):
        read_imagenet_r(root, PILOT, 32, FACTS)


def test_the_published_figures() -> None:
    facts = published_classes()
    assert len(facts) == 200
    assert sum(item.images for item in facts.values()) == 30_000
    assert len({item.name for item in facts.values()}) == 200
    assert facts["n01443537"] == ClassFacts("goldfish", 230)


@pytest.mark.skipif(not CODA.exists(), reason=f"CODA-Prompt's lists are not at {CODA}")
def test_the_real_lists_of_coda_prompt(tmp_path: Path) -> None:
    for part in ("train", "test"):
        path = CODA / f"imagenet-r_{part}.yaml"
        (tmp_path / path.name).symlink_to(path)
        for line in path.read_text().splitlines():
            if line.startswith("- data/"):
                image = tmp_path / line.removeprefix("- data/")
                image.parent.mkdir(parents=True, exist_ok=True)
                image.touch()
    stream = open_stream("imagenet_r_10", 0, with_test=True, data_root=tmp_path)
    sizes = [(len(t.learn.train), len(t.learn.inner), len(t.validation), len(t.test)) for t in stream.tasks]
    assert sum(sum(size[:3]) for size in sizes) == 24_000
    assert sum(size[3] for size in sizes) == 6_000
    assert [len(task.classes) for task in stream.tasks] == [20] * 10
    for part in ("train", "test"):
        (tmp_path / f"imagenet-r_{part}.yaml").unlink()
    ours = open_stream("imagenet_r_10", 0, with_test=True, data_root=tmp_path)
    assert ours.digest != stream.digest
    # The share is rounded down per class, so a few images more than a fifth are for test.
    assert 6_000 <= sum(len(task.test) for task in ours.tasks) <= 6_200


def test_a_class_count_that_is_not_the_catalogues(root: Path) -> None:
    pool = read_imagenet_r(root, PILOT, 32, FACTS)
    with pytest.raises(UsageError, match="should have 200 classes, its files have 4"):
        build_stream(BENCHMARKS["imagenet_r_5"], (pool,), 0, with_test=False)
