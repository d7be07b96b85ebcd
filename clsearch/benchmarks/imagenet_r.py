"""ImageNet-R as Hendrycks distributes it: a folder per WordNet id under <data root>/imagenet-r, no official split.

CODA-Prompt's lists are used where both lie beside that folder; else each class is divided 80/20 by a fixed draw. No
file is moved. Natural class order: rising WordNet id, as image folders are sorted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from clsearch.benchmarks.examples import Listing, Pool, make_listing
from clsearch.benchmarks.files import open_files
from clsearch.benchmarks.splits import SPLIT_SEED
from clsearch.benchmarks.transforms import TransformSet
from clsearch.errors import UsageError
from clsearch.spec.seeds import derive_seed

FOLDER = "imagenet-r"
TRAIN_SHARE = 0.8
_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class ClassFacts:
    """A class as distributed: its first WordNet lemma and its number of images."""

    name: str
    images: int


@cache
def published_classes() -> Mapping[str, ClassFacts]:
    """The 200 classes by WordNet id, 30,000 images in all."""
    lines = (Path(__file__).parent / "imagenet_r_classes.tsv").read_text().splitlines()
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return {wordnet: ClassFacts(name, int(images)) for wordnet, images, name in rows}


def read_imagenet_r(
    data_root: Path, transforms: TransformSet, size: int, classes: Mapping[str, ClassFacts] | None = None
) -> Pool:
    """The data set as one pool; raises UsageError naming a missing class folder or list, or a wrong count."""
    facts = published_classes() if classes is None else classes
    wordnet_ids = sorted(facts)
    files = {wordnet: _class_files(data_root / FOLDER / wordnet, facts[wordnet]) for wordnet in wordnet_ids}
    train, test = _coda_lists(data_root, files) or _own_split(files)
    return Pool(
        name=FOLDER,
        class_names=tuple(facts[wordnet].name for wordnet in wordnet_ids),
        template="a photo of a {}.",
        train=_list(data_root, wordnet_ids, train),
        validation=None,
        test=_list(data_root, wordnet_ids, test),
        open=open_files(transforms, size),
    )


def _class_files(folder: Path, facts: ClassFacts) -> list[str]:
    if not folder.is_dir():
        raise UsageError(
            f"class folder {folder} ({facts.name}, {facts.images} images) is missing; unpack the archive anew"
        )
    files = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    if len(files) != facts.images:
        raise UsageError(
            f"class folder {folder} has {len(files)} images, expected {facts.images}; unpack the archive anew"
        )
    return files


def _own_split(files: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    train: list[str] = []
    test: list[str] = []
    for wordnet, names in files.items():
        ranked = sorted(names, key=lambda name: derive_seed("train and test", SPLIT_SEED, wordnet, name))
        cut = int(TRAIN_SHARE * len(names))
        train += [f"{wordnet}/{name}" for name in sorted(ranked[:cut])]
        test += [f"{wordnet}/{name}" for name in sorted(ranked[cut:])]
    return train, test


def _coda_lists(data_root: Path, files: Mapping[str, list[str]]) -> tuple[list[str], list[str]] | None:
    """The two lists as paths below the folder, checked against the files; None where neither is there."""
    paths = [data_root / f"{FOLDER}_{part}.yaml" for part in ("train", "test")]
    present = [path for path in paths if path.exists()]
    if not present:
        return None
    if len(present) == 1:
        raise UsageError(
            f"{present[0]} lies alone: CODA-Prompt's split needs {paths[0].name} and {paths[1].name}, or neither"
        )
    train, test = (_read_list(path) for path in paths)
    known = {f"{wordnet}/{name}" for wordnet, names in files.items() for name in names}
    for path, names in zip(paths, (train, test), strict=True):
        for name in names:
            if name not in known:
                raise UsageError(f"{path} lists '{name}', which is not among the images of {data_root / FOLDER}")
    twice = [name for name, count in Counter(train + test).items() if count > 1]
    if twice:
        raise UsageError(f"{paths[0]} and {paths[1].name} list '{twice[0]}' twice")
    if len(train) + len(test) != len(known) or len(train) <= len(test):
        raise UsageError(
            f"{paths[0]} lists {len(train)} images and {paths[1].name} {len(test)}, expected about {TRAIN_SHARE:.0%} "
            f"and the rest of {len(known)}: are they complete, and not swapped?"
        )
    return train, test


def _read_list(path: Path) -> list[str]:
    # The C loader reads 24,000 entries in a second, the pure one in fifteen.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        entries = yaml.load(path.read_bytes(), loader)["data"]  # a safe loader in either case
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a list of CODA-Prompt (a mapping with 'data' and 'targets'): {error}"
        ) from error
    return ["/".join(str(entry).split("/")[-2:]) for entry in entries]


def _list(data_root: Path, wordnet_ids: list[str], names: list[str]) -> Listing:
    label = {wordnet: i for i, wordnet in enumerate(wordnet_ids)}
    return make_listing(
        ids=[f"{FOLDER}/{name}" for name in names],
        labels=[label[name.split("/")[0]] for name in names],
        places=[data_root / FOLDER / name for name in names],
    )
