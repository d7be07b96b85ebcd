"""The benchmarks by name: what each is and where its files belong, known without reading any data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clsearch.errors import UsageError, nearest

Kind = Literal["class_incremental", "domain_incremental", "cross_domain"]
Family = Literal["vit", "clip"]

_PACKAGED = "It is part of the package; nothing has to be fetched."
_IMAGENET_R = (
    "Fetch imagenet-r.tar from https://github.com/hendrycks/imagenet-r and unpack it there, so that a class lies at "
    "imagenet-r/n01443537/; CODA-Prompt's imagenet-r_train.yaml and imagenet-r_test.yaml are used where they lie "
    "beside that folder."
)
_X_TAIL = (
    "Lay the ten data sets out as https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md says (images and "
    "split_zhou_<Name>.json in one folder each), unpack fgvc-aircraft-2013b.tar.gz, and let torchvision fetch MNIST "
    "to MNIST/raw."
)
_X_TAIL_NEEDS = (
    "fgvc-aircraft-2013b/data/images",
    "fgvc-aircraft-2013b/data/variants.txt",
    "fgvc-aircraft-2013b/data/images_variant_train.txt",
    "fgvc-aircraft-2013b/data/images_variant_val.txt",
    "fgvc-aircraft-2013b/data/images_variant_test.txt",
    "caltech-101/101_ObjectCategories",
    "caltech-101/split_zhou_Caltech101.json",
    "dtd/images",
    "dtd/split_zhou_DescribableTextures.json",
    "eurosat/2750",
    "eurosat/split_zhou_EuroSAT.json",
    "oxford_flowers/jpg",
    "oxford_flowers/split_zhou_OxfordFlowers.json",
    "food-101/images",
    "food-101/split_zhou_Food101.json",
    "MNIST/raw/train-images-idx3-ubyte",
    "MNIST/raw/train-labels-idx1-ubyte",
    "MNIST/raw/t10k-images-idx3-ubyte",
    "MNIST/raw/t10k-labels-idx1-ubyte",
    "oxford_pets/images",
    "oxford_pets/split_zhou_OxfordPets.json",
    "stanford_cars/cars_train",
    "stanford_cars/cars_test",
    "stanford_cars/split_zhou_StanfordCars.json",
    "sun397/SUN397",
    "sun397/split_zhou_SUN397.json",
)
_X_TAIL_SOURCES = (
    "FGVC-Aircraft", "Caltech-101", "DTD", "EuroSAT", "Oxford Flowers", "Food-101", "MNIST", "Oxford Pets",
    "Stanford Cars", "SUN397",
)  # fmt: skip
# All domains of the pocket benchmarks but the digits and the fashion are drawings of one set of emoji.
_POCKET_X_TAIL_SOURCES = ("emoji drawings", "UCI digits", "Fashion-MNIST")


@dataclass(frozen=True)
class SplitRule:
    """How a benchmark's examples are divided: shares per class, or shots per class where given."""

    validation: float = 0.1  # of train
    inner: float = 0.1  # of what is left of train, or of the shots
    shots: int | None = None


@dataclass(frozen=True)
class BenchmarkInfo:
    """A benchmark as the catalogue knows it."""

    name: str
    kind: Kind
    families: tuple[Family, ...]  # backbones that can learn it
    tasks: int
    classes: int  # in the whole label space
    image_size: int  # side of the square images that the stream hands out, in pixels
    transforms: str  # a name in transforms.TRANSFORMS
    where: str  # a sentence: how to get the files
    sources: tuple[str, ...]  # where its pictures come from; benchmarks without a common source share no picture
    folder: str | None = None  # under the data root; None: in the package, or made up
    needs: tuple[str, ...] = ()  # paths under the data root without which nothing can start
    packaged: str | None = None  # file name in benchmarks/pocket
    domains: tuple[str, ...] | None = None  # of that file, in task order; None: all of them
    rule: SplitRule = SplitRule()


def _class_incremental(tasks: int) -> tuple[BenchmarkInfo, BenchmarkInfo]:
    pocket = BenchmarkInfo(
        f"pocket_cil_{tasks}", "class_incremental", ("vit", "clip"), tasks, 40, 48, "plain", _PACKAGED,
        ("emoji drawings", "MNIST", "Fashion-MNIST"), packaged="pocket_cil.parquet",
    )  # fmt: skip
    full = BenchmarkInfo(
        f"imagenet_r_{tasks}", "class_incremental", ("vit", "clip"), tasks, 200, 224, "pilot",
        _IMAGENET_R, ("ImageNet-R",), folder="imagenet-r", needs=("imagenet-r",),
    )  # fmt: skip
    return pocket, full


_NANO_RULE = SplitRule(validation=0.2, inner=0.25)

BENCHMARKS: dict[str, BenchmarkInfo] = {
    info.name: info
    for info in (
        BenchmarkInfo(
            "nano_cil", "class_incremental", ("vit", "clip"), 4, 8, 16, "plain", _PACKAGED,
            ("made up as nano_cil",), rule=_NANO_RULE,
        ),
        BenchmarkInfo(
            "nano_x_tail", "cross_domain", ("clip",), 3, 9, 16, "plain", _PACKAGED,
            ("made up as nano_x_tail",), rule=_NANO_RULE,
        ),
        BenchmarkInfo(
            "nano_dil", "domain_incremental", ("vit", "clip"), 3, 4, 16, "plain", _PACKAGED,
            ("made up as nano_dil",), rule=_NANO_RULE,
        ),
        *_class_incremental(5),
        *_class_incremental(10),
        *_class_incremental(20),
        BenchmarkInfo(
            "pocket_x_tail", "cross_domain", ("clip",), 8, 61, 48, "plain", _PACKAGED,
            _POCKET_X_TAIL_SOURCES, packaged="pocket_x_tail.parquet", rule=SplitRule(shots=16),
        ),
        BenchmarkInfo(
            "pocket_x_tail_5", "cross_domain", ("clip",), 5, 40, 48, "plain", _PACKAGED,
            _POCKET_X_TAIL_SOURCES, packaged="pocket_x_tail.parquet",
            domains=("digits", "faces", "fashion", "signs", "travel"), rule=SplitRule(shots=16),
        ),
        BenchmarkInfo(
            "pocket_dil", "domain_incremental", ("vit", "clip"), 4, 12, 48, "plain", _PACKAGED,
            ("emoji drawings",), packaged="pocket_dil.parquet",
        ),
        BenchmarkInfo(
            "x_tail", "cross_domain", ("clip",), 10, 1100, 224, "clip", _X_TAIL,
            _X_TAIL_SOURCES, folder="", needs=_X_TAIL_NEEDS, rule=SplitRule(shots=16),
        ),
    )
}  # fmt: skip


def benchmark_info(name: str) -> BenchmarkInfo:
    """The benchmark of that name; raises UsageError with the nearest name."""
    if name not in BENCHMARKS:
        raise UsageError(f"unknown benchmark '{name}': {nearest(name, BENCHMARKS)}")
    return BENCHMARKS[name]


def find_data_root(data_root: Path | None = None) -> Path:
    """Where data sets lie: the argument, else the environment's CLSEARCH_DATA, else ~/clsearch/data."""
    chosen = data_root or os.environ.get("CLSEARCH_DATA") or "~/clsearch/data"
    return Path(chosen).expanduser().absolute()


def missing_files(name: str, data_root: Path | None = None) -> str | None:
    """None where the benchmark's files are in place, else sentences: what is missing, where it belongs, how to get it.

    Looks at names only; a wrong count or a damaged image is found when the stream is opened or read.
    """
    info = benchmark_info(name)
    if info.packaged is not None:
        path = packaged_file(info)
        return (
            None if path.exists() else f"benchmark '{name}' needs {path}, which is part of the package: install it anew"
        )
    root = find_data_root(data_root)
    # torchvision keeps the packed file beside the unpacked one; either serves.
    absent = [path for path in info.needs if not (root / path).exists() and not (root / f"{path}.gz").exists()]
    if not absent:
        return None
    shown = ", ".join(str(root / path) for path in absent[:3])
    more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
    return (
        f"benchmark '{name}' needs files that are not there: {shown}{more}. {info.where} "
        f"The data root is {root} (set CLSEARCH_DATA to move it). With profile=pocket the sweep runs on small data "
        "that is part of the package."
    )


def packaged_file(info: BenchmarkInfo) -> Path:
    """Where the package keeps a pocket benchmark's Parquet file."""
    return Path(__file__).parent / "pocket" / str(info.packaged)
