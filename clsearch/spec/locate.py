"""Where sweep files are found: a path, ./search_spaces, and the ones that are installed with the package."""

from __future__ import annotations

from pathlib import Path

from clsearch.errors import UsageError, nearest

FOLDER = "search_spaces"


def folders() -> list[Path]:
    """The folders searched for a name, first match wins: the working directory's, the checkout's, the package's."""
    package = Path(__file__).resolve().parents[1]
    return [Path.cwd() / FOLDER, package.parent / FOLDER, package / FOLDER]


def known_sweeps() -> list[str]:
    """The names that a sweep can be asked for by, sorted."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.yaml")})


def find_sweep(name_or_path: str) -> Path:
    """The sweep file of a name or path; raises UsageError with the nearest known name."""
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise UsageError(f"no sweep file '{name_or_path}'")
        return path
    for folder in folders():
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    raise UsageError(f"unknown sweep '{name_or_path}': {nearest(name_or_path, known_sweeps())}")
