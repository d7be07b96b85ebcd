"""What a driver leaves behind, and where a local store will not do."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clsearch.errors import UsageError
from clsearch.execution.capacity import Machine
from clsearch.results.store import Store
from clsearch.search import run
from clsearch.search.cluster import scratch_folder
from clsearch.spec.sweep import SweepSpec


@pytest.fixture
def short_temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cls-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_scratch_is_gone_afterwards(short_temporary: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == short_temporary
    assert list(short_temporary.iterdir()) == []


def test_the_scratch_of_a_killed_driver_is_removed_and_a_living_ones_is_not(short_temporary: Path) -> None:
    code = (
        f"import tempfile; tempfile.tempdir = '{short_temporary}'\n"
        "from clsearch.search.cluster import scratch_folder\n"
        "with scratch_folder() as folder: print(folder, flush=True); input()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    with scratch_folder():
        assert theirs.is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert theirs.is_dir()
    with scratch_folder():
        assert not theirs.exists()


def test_a_long_temporary_directory_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == Path("/tmp")


def test_a_local_store_is_refused_on_several_machines(
    make_spec: Callable[..., SweepSpec], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def connected() -> Iterator[None]:
        yield

    machines = [Machine({"CPU": 2}), Machine({"CPU": 2})]
    monkeypatch.setattr(run, "ray_cluster", connected)
    monkeypatch.setattr(run, "cluster_machines", lambda: machines)
    with pytest.raises(UsageError, match="folder of one machine"):
        run.run_sweep(make_spec(), store)
    assert store.list("") == []
