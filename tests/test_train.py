"""The debugger's door: one sequence in this process, without Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clsearch.train import default_backbone, main

ASK = ["sequential_lora", "nano_cil", "iterations=2", "batch=8", "threads=1"]


def test_it_learns_prints_the_matrix_and_learns_nothing_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ASK, f"storage={tmp_path}"]) == 0
    first = capsys.readouterr()
    assert "stages: 4 learned, 0 from the store" in first.out
    assert "task 4/4" in first.err
    matrix = [line for line in first.out.splitlines() if line[:5].strip().isdigit()]
    assert [len(line.split()) for line in matrix] == [2, 3, 4, 5]
    assert main([*ASK, f"storage={tmp_path}"]) == 0
    again = capsys.readouterr().out
    assert "stages: 0 learned, 4 from the store" in again
    assert again.splitlines()[1:] == first.out.splitlines()[1:]


def test_the_matrix_is_that_of_the_eval_setting_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["mora", "nano_x_tail", "iterations=20", "batch=8", "learning_rate=0.05", "threads=1", f"storage={tmp_path}"]
    printed = {}
    for threshold in ("0.0", "0.9", "0.0"):
        assert main([*ask, f"threshold={threshold}"]) == 0
        matrix = capsys.readouterr().out.splitlines()[1:]
        assert printed.setdefault(threshold, matrix) == matrix
    assert printed["0.0"] != printed["0.9"]


def test_test_images_are_an_analysis_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASK, f"storage={tmp_path}", "split=test"]) == 0
    assert "accuracy (%) on test" in capsys.readouterr().out
    assert list(tmp_path.glob("rows/*/0-analysis-*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mra", "nano_cil"], "unknown method 'mra': did you mean 'mora'?"),
        (["mora", "nano_cl"], "unknown benchmark 'nano_cl': did you mean 'nano_cil'?"),
        (["mora", "nano_x_tail", "temprature=1"], "did you mean 'temperature'?"),
        (["mora", "nano_x_tail", "temperature=warm"], "must be a number"),
        (["mora", "nano_x_tail", "run_seed=one"], "must be a whole number"),
        (["mora", "nano_x_tail", "split=train"], "valid are: test, validation"),
        (["mora", "nano_x_tail", "backbone=nano_clp"], "did you mean 'nano_clip'?"),
        (["fm_lora", "nano_x_tail", "backbone=nano_clip"], "works on vit backbones"),
        (["mora"], "usage:"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = [f"storage={tmp_path}"] if len(words) > 1 else []
    assert main([*words, *extra]) == 2
    assert said in capsys.readouterr().err


def test_every_size_has_its_usual_network() -> None:
    assert default_backbone("pocket_x_tail_5", ("clip",)) == "pocket_clip"
    assert default_backbone("nano_cil", ("vit", "clip")) == "nano_vit"
    assert default_backbone("x_tail", ("clip",)) == "clip_vit_b16_openai"


def test_a_wrong_name_is_answered_without_torch() -> None:
    code = (
        "import sys; from clsearch.train import main; code = main(['mora', 'x', 'lr=1']); "
        "assert code == 2; assert not {'torch', 'ray'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
