"""Which reader lists which benchmark."""

from __future__ import annotations

from pathlib import Path

from clsearch.benchmarks.catalogue import BenchmarkInfo, packaged_file
from clsearch.benchmarks.examples import Pool
from clsearch.benchmarks.imagenet_r import read_imagenet_r
from clsearch.benchmarks.nano import read_nano
from clsearch.benchmarks.pocket_files import read_pocket
from clsearch.benchmarks.transforms import TRANSFORMS
from clsearch.benchmarks.x_tail import read_x_tail


def read_pools(info: BenchmarkInfo, data_root: Path) -> tuple[Pool, ...]:
    """The benchmark's pools in natural order, listed and checked, nothing decoded; raises UsageError."""
    transforms = TRANSFORMS[info.transforms]
    if info.packaged is not None:
        by_domain = info.kind != "class_incremental"
        pools = read_pocket(packaged_file(info), transforms, info.image_size, by_domain=by_domain)
        by_name = {pool.name: pool for pool in pools}
        return pools if info.domains is None else tuple(by_name[name] for name in info.domains)
    if info.folder == "imagenet-r":
        return (read_imagenet_r(data_root, transforms, info.image_size),)
    if info.name == "x_tail":
        return read_x_tail(data_root, transforms, info.image_size)
    return read_nano(info.name)
