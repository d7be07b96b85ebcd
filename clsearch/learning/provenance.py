"""Where a row comes from: the code, the libraries and the machine that computed it. Columns, never part of a key."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

import clsearch

LIBRARIES = ("torch", "timm", "open_clip_torch", "numpy", "pillow", "safetensors", "ray", "optuna")


@functools.cache
def provenance() -> dict[str, Any]:
    """git_sha and git_dirty of the checkout clsearch runs from (null outside one), and a hash of library versions."""
    versions = [f"{name}=={_version(name)}" for name in LIBRARIES]
    # An installed package may lie inside somebody else's repository: only a file of that repository counts.
    ours = _git("ls-files", "--error-unmatch", "__init__.py") is not None
    sha = _git("rev-parse", "HEAD") if ours else None
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_sha": sha,
        "git_dirty": bool(status) if sha else None,
        "lock_hash": hashlib.sha256("\n".join(versions).encode()).hexdigest()[:16],
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _git(*arguments: str) -> str | None:
    """What git answers about the package's folder; None without git or outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(clsearch.__file__).parent), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
