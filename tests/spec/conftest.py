"""A small sweep file to break, in a working directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clsearch.errors import UsageError
from clsearch.spec.sweep import SweepSpec, load_sweep

SMALL = """\
method: mora
backbone: nano_clip
benchmark: nano_x_tail
objective: {metric: average}
space:
  temperature: {low: 0.003, high: 0.1, log: true}
  new_rank: {choices: [4, 8, 16]}
eval_grid:
  threshold: [0.0, 0.2]
settings: {iterations: 6}
trials: 4
profiles:
  tiny: {settings: {batch: 8}, trials: 2}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a store of its own that does not exist yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLSEARCH_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CLSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path


Loader = Callable[..., SweepSpec]


@pytest.fixture
def small(folder: Path) -> Loader:
    """Loads the small sweep, with overrides, after replacing texts in its file."""

    def load(*overrides: str, **replace: tuple[str, str]) -> SweepSpec:
        text = SMALL
        for old, new in replace.values():
            assert old in text
            text = text.replace(old, new)
        (folder / "small.yaml").write_text(text)
        return load_sweep("small.yaml", overrides)

    return load


@pytest.fixture
def refused(small: Loader) -> Callable[..., str]:
    """The one sentence with which the small sweep is refused, without pytest's own words around it."""

    def message(*overrides: str, **replace: tuple[str, str]) -> str:
        with pytest.raises(UsageError) as caught:
            small(*overrides, **replace)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message
