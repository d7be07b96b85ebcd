"""The pocket networks and data: what they are, that training helped, that nothing leaked."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clsearch.backbones import pocket

ROOT = Path(pocket.__file__).parents[2]
DATA = ROOT / "benchmarks/pocket"
BENCHMARKS = ("pocket_cil", "pocket_x_tail", "pocket_dil")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on shared cores mostly wait for each other: five times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(DATA / f"{name}.parquet").to_pylist()
    return found


def decode(row: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(row["image"])) as image:
        return np.asarray(image.convert("RGB").resize((48, 48), Image.Resampling.BILINEAR))


def images(chosen: list[dict[str, Any]]) -> Tensor:
    stacked = torch.from_numpy(np.stack([decode(row) for row in chosen]))
    mean, std = torch.tensor(pocket.MEAN), torch.tensor(pocket.STD)
    return ((stacked / 255 - mean) / std).permute(0, 3, 1, 2)


@torch.inference_mode()
def nearest_mean(model: torch.nn.Module, domain: str, per_class: int = 12) -> float:
    by_class: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows("pocket_cil"):
        if row["domain"] == domain:
            by_class[row["class_name"], row["split"]].append(row)
    names = sorted({name for name, _ in by_class})

    def encode(split: str, name: str) -> Tensor:
        return F.normalize(model(images(by_class[name, split][:per_class])), dim=-1)

    means = torch.stack([F.normalize(encode("train", name).mean(0), dim=0) for name in names])
    right = [(encode("test", name) @ means.T).argmax(-1) == i for i, name in enumerate(names)]
    return float(torch.cat(right).float().mean())


def test_import_is_light() -> None:
    code = (
        "import sys, clsearch.backbones.pocket as p; assert p.WEIGHTS['pocket_vit'].exists();"
        "print([m for m in ('torch', 'timm', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_vit_shape() -> None:
    model = pocket.load_pocket_vit()  # first: it prepares torchvision, which timm imports
    from timm.models.vision_transformer import VisionTransformer

    assert isinstance(model, VisionTransformer)
    assert not model.training
    assert model.pos_embed.dtype == torch.float32
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 48, 48)).shape == (2, 192)


def test_nano_shapes() -> None:
    vit = pocket.build_vit(width=32, depth=2, heads=2, image_size=16)
    clip = pocket.build_clip(
        width=32, depth=2, heads=2, image_size=16, text_width=32, text_depth=2, text_heads=2, embed_dim=32
    )
    tokens = pocket.build_tokenizer()(["a cat"])
    with torch.inference_mode():
        assert vit(torch.zeros(2, 3, 16, 16)).shape == (2, 32)
        assert clip.encode_image(torch.zeros(2, 3, 16, 16)).shape == (2, 32)
        assert clip.encode_text(tokens).shape == (1, 32)


def test_clip_sees_with_pocket_vit() -> None:
    vit = pocket.load_pocket_vit()
    clip, tokenizer = pocket.load_pocket_clip()
    from open_clip.model import CLIP

    assert isinstance(clip, CLIP)
    picture = images(rows("pocket_cil")[::500])
    with torch.inference_mode():
        expected = vit(picture) @ clip.visual.proj
        # Half precision rounds the folded patch bias once more, hence not exact.
        assert torch.allclose(clip.encode_image(picture), expected, atol=2e-2, rtol=1e-2)
        assert clip.encode_text(tokenizer(["a dog", "a cat"])).shape == (2, 192)


def test_tokenizer_round_trip() -> None:
    tokenizer: Any = pocket.build_tokenizer()
    tokens = tokenizer(["A picture of a red umbrella", "x " * 50])
    assert tokens.shape == (2, pocket.CONTEXT_LENGTH)
    assert tokens.dtype == torch.int64
    assert int(tokens.max()) == pocket.VOCAB_SIZE - 1 == tokenizer.vocab_size - 1
    inner = tokens[0, 1 : int(tokens[0].argmax())]
    assert tokenizer.decode(inner.tolist()).strip() == "a picture of a red umbrella"
    assert int(tokens[1, -1]) == pocket.VOCAB_SIZE - 1  # cut, yet ended


@pytest.mark.parametrize(("domain", "gain"), [("fashion", 0.1), ("emoji", 0.1)])
def test_training_beats_random_weights(domain: str, gain: float) -> None:
    torch.manual_seed(0)
    random = nearest_mean(pocket.load_pocket_vit(pretrained=False), domain)
    assert nearest_mean(pocket.load_pocket_vit(), domain) > random + gain


def test_zero_shot_beats_chance() -> None:
    clip, tokenizer = pocket.load_pocket_clip()
    chosen = [row for row in rows("pocket_cil") if row["domain"] == "emoji" and row["split"] == "test"]
    names = sorted({row["class_name"] for row in chosen})
    labels = torch.tensor([names.index(row["class_name"]) for row in chosen])
    with torch.inference_mode():
        text = clip.encode_text(tokenizer([f"a picture of {name}" for name in names]), normalize=True)
        guess = (clip.encode_image(images(chosen), normalize=True) @ text.T).argmax(-1)
    assert float((guess == labels).float().mean()) > 3 / len(names)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_rows_are_sound(name: str) -> None:
    found = rows(name)
    keys = [(row["domain"], row["class_name"], row["split"], row["id"]) for row in found]
    assert keys == sorted(keys)
    assert len({row["id"] for row in found}) == len(found)
    assert {row["split"] for row in found} == {"train", "test"}
    assert all(row["licence"] and row["source"] for row in found)
    assert decode(found[0]).shape == (48, 48, 3)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_concept_crosses_the_split(name: str) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    pixels: dict[bytes, set[str]] = defaultdict(set)
    for row in rows(name):
        pixels[row["image"]].add(row["split"])
        kind, code = row["id"].split("/")[:2]
        if kind == "emoji":
            splits[code].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert all(len(found) == 1 for found in pixels.values())


def test_class_and_domain_counts() -> None:
    cil = Counter((row["class_name"], row["split"]) for row in rows("pocket_cil"))
    assert len(cil) == 2 * 40
    assert min(n for (_, split), n in cil.items() if split == "train") >= 40
    assert min(n for (_, split), n in cil.items() if split == "test") >= 15
    tail = Counter(row["domain"] for row in rows("pocket_x_tail") if row["split"] == "test")
    assert len(tail) >= 5
    assert min(tail.values()) >= 100
    dil = {(row["domain"], row["class_name"]) for row in rows("pocket_dil")}
    assert len({domain for domain, _ in dil}) == 4
    assert len(dil) == 4 * 12


def test_nothing_pretrained_on_is_evaluated_on() -> None:
    with gzip.open(pocket.PRETRAINING_IDS, "rt") as file:
        seen = {line.split("/", 1)[0] for line in file}
    assert seen == {"google", "twitter", "openclipart"}
    shown = {
        row["id"].rsplit("/", 1)[1] if row["id"].startswith("emoji/") else row["id"].split("/")[0]
        for name in BENCHMARKS
        for row in rows(name)
    }
    assert shown == {
        "emojione", "fluent3d", "openmoji", "openmoji-line", "fashion", "mnist", "digits",
    }  # fmt: skip


def test_everything_is_small_and_has_a_card() -> None:
    files = [*Path(pocket.__file__).parent.iterdir(), *DATA.iterdir()]
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 30_000_000
    assert all(path.exists() for path in (*pocket.WEIGHTS.values(), *pocket.CARDS.values()))
