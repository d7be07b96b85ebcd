"""The same sweep on a folder and on a real S3 server: the same rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from clsearch.results.store import open_store

_COLUMNS = ("trial", "phase", "run_seed", "order_seed", "task_learned", "task_evaluated", "split", "eval_setting")


def rows_of_sweep(uri: str) -> list[tuple[Any, ...]]:
    words = ["mora_clip", "profile=nano", "trials=2", "confirm.pairs=1", "max_parallel=1", f"storage={uri}"]
    done = subprocess.run(
        [sys.executable, "-m", "clsearch.sweep", *words], capture_output=True, text=True, env=os.environ, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = open_store(uri).read_rows("mora_clip-nano").to_pylist()
    return sorted(tuple(row[name] for name in (*_COLUMNS, "stage_key", "correct", "count")) for row in rows)


def test_a_sweep_on_s3_gives_the_rows_of_a_folder(s3_uri: str, tmp_path: Path) -> None:
    on_folder = rows_of_sweep(str(tmp_path))
    assert rows_of_sweep(s3_uri) == on_folder
    assert on_folder
