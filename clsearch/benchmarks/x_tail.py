"""X-TAIL: ten data sets in their distributed forms, one task each.

Class names and templates are MoRA's: underscores become spaces, EuroSAT's names gain " satellite location", and MNIST's
names repeat the words of its template, as published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clsearch.benchmarks.examples import Listing, Pool, make_listing
from clsearch.benchmarks.files import open_files
from clsearch.benchmarks.mnist import list_mnist, open_mnist
from clsearch.benchmarks.transforms import TransformSet
from clsearch.errors import UsageError, nearest

_AIRCRAFT = "fgvc-aircraft-2013b/data"
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Domain:
    """One data set: where it lies under the data root, and how its classes are put into words."""

    name: str
    classes: int
    template: str
    folder: str
    form: Literal["coop", "aircraft", "mnist"] = "coop"
    split: str = ""  # CoOp's file
    images: str = ""  # folder of the images that CoOp's paths start from
    rename: str = "{}"


DOMAINS: tuple[Domain, ...] = (
    Domain("aircraft", 100, "a photo of a {}, a type of aircraft.", _AIRCRAFT, "aircraft", images="images"),
    Domain("caltech101", 100, "a photo of a {}.", "caltech-101", split="Caltech101", images="101_ObjectCategories"),
    Domain("dtd", 47, "{} texture.", "dtd", split="DescribableTextures", images="images"),
    Domain(
        "eurosat", 10, "a centered satellite photo of the {}.", "eurosat", split="EuroSAT", images="2750",
        rename="{} satellite location",
    ),
    Domain("flowers", 102, "a photo of a {}, a type of flower.", "oxford_flowers", split="OxfordFlowers", images="jpg"),
    Domain("food101", 101, "a photo of a {}, a type of food.", "food-101", split="Food101", images="images"),
    Domain("mnist", 10, 'a photo of the number: "{}".', "MNIST/raw", "mnist", rename='number: "{}"'),
    Domain("oxford_pet", 37, "a photo of a {}, a type of pet.", "oxford_pets", split="OxfordPets", images="images"),
    Domain("stanford_cars", 196, "a photo of a {}.", "stanford_cars", split="StanfordCars"),
    Domain("sun397", 397, "a photo of a {}.", "sun397", split="SUN397", images="SUN397"),
)  # fmt: skip


def read_x_tail(
    data_root: Path, transforms: TransformSet, size: int, domains: tuple[Domain, ...] = DOMAINS
) -> tuple[Pool, ...]:
    """A pool per data set, in the published order; raises UsageError naming the file at fault."""
    return tuple(_read(data_root, domain, transforms, size) for domain in domains)


def _read(data_root: Path, domain: Domain, transforms: TransformSet, size: int) -> Pool:
    opener = open_files(transforms, size)
    validation: Listing | None
    if domain.form == "mnist":
        names = {i: f"{i} - {word}" for i, word in enumerate(_DIGITS)}
        train, validation, test = list_mnist(data_root, "train"), None, list_mnist(data_root, "t10k")
        opener = open_mnist(data_root, transforms, size)
    elif domain.form == "aircraft":
        names, (train, validation, test) = _read_aircraft(data_root, domain)
    else:
        names, (train, validation, test) = _read_coop(data_root, domain)
    if len(names) != domain.classes:
        raise UsageError(
            f"{data_root / domain.folder}: {domain.name} has {len(names)} classes, expected {domain.classes}"
        )
    class_names = tuple(domain.rename.format(names[label].replace("_", " ")) for label in sorted(names))
    return Pool(domain.name, class_names, domain.template, train, validation, test, opener)


def _read_coop(data_root: Path, domain: Domain) -> tuple[dict[int, str], tuple[Listing, ...]]:
    """CoOp's split file: `train`, `val` and `test`, each a list of [path, label, class name]."""
    path = data_root / domain.folder / f"split_zhou_{domain.split}.json"
    try:
        content = json.loads(path.read_bytes())
        parts = [[(str(n), int(y), str(c)) for n, y, c in content[part]] for part in ("train", "val", "test")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is not a split file of CoOp (train, val, test; each [path, label, class name]): {error!r}"
        ) from error
    names: dict[int, str] = {}
    for image, label, name in (entry for part in parts for entry in part):
        if names.setdefault(label, name) != name:
            raise UsageError(f"{path}: label {label} is '{names[label]}', but '{name}' at '{image}'")
    if sorted(names) != list(range(len(names))):
        raise UsageError(f"{path}: labels must run from 0 to {len(names) - 1} without a gap")
    images = data_root / domain.folder / domain.images
    return names, tuple(_list(domain, images, [(n, y) for n, y, _ in part]) for part in parts)


def _read_aircraft(data_root: Path, domain: Domain) -> tuple[dict[int, str], tuple[Listing, ...]]:
    """FGVC-Aircraft: `variants.txt` names the classes in order; each list line is an image number and a variant."""
    folder = data_root / domain.folder
    variants = [line.strip() for line in _lines(folder / "variants.txt")]
    label = {name: i for i, name in enumerate(variants)}
    parts = [_aircraft_list(folder / f"images_variant_{part}.txt", label) for part in ("train", "val", "test")]
    return dict(enumerate(variants)), tuple(_list(domain, folder / domain.images, part) for part in parts)


def _aircraft_list(path: Path, label: Mapping[str, int]) -> list[tuple[str, int]]:
    entries = []
    for line in _lines(path):
        number, _, variant = line.strip().partition(" ")
        if variant not in label:
            raise UsageError(
                f"{path}: image '{number}' is of variant '{variant}', unknown to variants.txt: "
                f"{nearest(variant, label)}"
            )
        entries.append((f"{number}.jpg", label[variant]))
    return entries


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _list(domain: Domain, images: Path, entries: list[tuple[str, int]]) -> Listing:
    return make_listing(
        ids=[f"{domain.name}/{name}" for name, _ in entries],
        labels=[label for _, label in entries],
        places=[images / name for name, _ in entries],
    )
