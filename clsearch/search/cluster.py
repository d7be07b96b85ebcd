"""The Ray cluster of a sweep: the one it runs in, or a small one of its own, and a quiet Tune."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "clsearch-"
_LOCK = "alive.lock"
_LONGEST_BASE = 20  # characters; Ray adds some 80, and a socket's path may have 107
_OBJECT_STORE_BYTES = 150_000_000  # nothing of ours passes through it; Ray would reserve a third of the memory

# Read by Ray and Tune when they start: no telemetry, no output and no files of their own, Ctrl-C ends at once.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}


@contextmanager
def ray_cluster() -> Iterator[None]:
    """A connection to Ray: the one this process has, else the cluster of RAY_ADDRESS (jobs have it), else a new local
    cluster with a temporary directory of its own. Whatever was started here is ended here.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    # Tune logs the whole traceback of every lost process; the board says so in a line.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    with scratch_folder() as scratch:
        try:
            if address:
                ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
            else:
                ray.init(
                    "local",
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _temp_dir=str(scratch),
                )
            with _termination_as_interrupt():
                yield
        finally:
            ray.shutdown()


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM (`ray job stop`) raises KeyboardInterrupt, as Ctrl-C does; Ray's own handler would dump its stacks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder with a short path, gone afterwards.

    Folders left by drivers that were killed are removed too: a living driver holds the lock in its own.
    """
    base = tempfile.gettempdir()
    if len(base) > _LONGEST_BASE:
        base = "/tmp"
    for left in Path(base).glob(f"{_PREFIX}*/{_LOCK}"):
        _remove_if_dead(left)
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    with open(scratch / _LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _remove_if_dead(lock_path: Path) -> None:
    try:
        with open(lock_path) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_path.parent, ignore_errors=True)
    except OSError:
        return  # held by a living driver, or another user's, or just removed: not ours to clear
