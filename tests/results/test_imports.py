"""The results side is light: no torch, no Ray, and no s3fs before an S3 store is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_CHECK = """
import sys
{code}
heavy = {{"torch", "ray", "optuna", "timm", "open_clip", "transformers", *{more!r}}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("import clsearch", ["pyarrow", "numpy"]),
        ("import clsearch.results.store, clsearch.results.trials", ["s3fs", "fsspec", "duckdb", "pandas", "scipy"]),
        ("import clsearch.results.metrics, clsearch.results.board, clsearch.results.show", ["s3fs", "pandas", "scipy"]),
        ("import clsearch.query", ["s3fs", "duckdb", "pandas"]),
        ("from clsearch.leaderboard import main; main([sys.argv[1]])", ["s3fs", "pandas", "duckdb"]),
        ("from clsearch.query import main; main([sys.argv[1], 'select 1'])", ["s3fs"]),
    ],
)
def test_what_is_not_imported(code: str, more: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHECK.format(code=code, more=more), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
