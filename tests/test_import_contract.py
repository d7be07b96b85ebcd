"""The way through the house is one way: the import contract of pyproject.toml holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_run_downwards() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "5 kept, 0 broken" in done.stdout


def test_only_the_audit_asks_for_the_test_rows_of_a_table() -> None:
    sources = (ROOT / "clsearch").rglob("*.py")
    asking = {path.relative_to(ROOT).as_posix() for path in sources if "rows_with_test" in path.read_text()}
    assert asking == {"clsearch/audit.py", "clsearch/results/table_files.py"}
