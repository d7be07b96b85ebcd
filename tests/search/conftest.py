"""What the tests of search share: a small sweep over known curves, and one local Ray cluster for all of them."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clsearch.results.store import Store, open_store
from clsearch.search.cluster import QUIET
from clsearch.spec.sweep import SweepSpec, load_sweep


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty local store."""
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def make_spec(store: Store) -> Callable[..., SweepSpec]:
    """`make_spec("trials=8", ...)`: MoRA's nano sweep with overrides, one trial at a time."""

    def make(*overrides: str) -> SweepSpec:
        given = {"profile": "nano", "max_parallel": "1", "confirm.pairs": "0", "storage": store.uri}
        given |= dict(override.split("=", 1) for override in overrides)
        return load_sweep("mora_clip", [f"{key}={value}" for key, value in given.items()])

    return make


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A local Ray cluster of two CPUs with a temporary directory of its own."""
    scratch = tempfile.mkdtemp(prefix="cls-t-", dir="/tmp")  # Ray's sockets need a short path
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-seen-4711")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # trial processes import the known curves
        patch.delenv("RAY_ADDRESS", raising=False)
        import ray

        ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=150_000_000,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=scratch,
        )
        yield
        ray.shutdown()
    shutil.rmtree(scratch, ignore_errors=True)
