"""Measure the pocket networks on the benchmarks, beside the same networks with random weights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clsearch.backbones.pocket import load_pocket_clip, load_pocket_vit
from tools.pocket.make_benchmarks import OUT

PROMPT = "a picture of {}"
Encode = Callable[[Tensor], Tensor]


def images(rows: list[dict[str, object]], side: int = 48) -> Tensor:
    """Encoded images to (N, 3, side, side), normalised with mean and deviation 0.5."""
    arrays = []
    for row in rows:
        with Image.open(io.BytesIO(row["image"])) as image:
            arrays.append(np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)))
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


@torch.inference_mode()
def features(encode: Encode, rows: list[dict[str, object]]) -> Tensor:
    return torch.cat([F.normalize(encode(part), dim=-1) for part in images(rows).split(256)])


def nearest_mean(encode: Encode, rows: list[dict[str, object]]) -> float:
    """Accuracy in percent of the nearest class mean, by cosine."""
    names = sorted({str(row["class_name"]) for row in rows})
    found = features(encode, rows)
    labels = torch.tensor([names.index(str(row["class_name"])) for row in rows])
    train = torch.tensor([row["split"] == "train" for row in rows])
    means = torch.stack([found[train & (labels == label)].mean(0) for label in range(len(names))])
    guess = (found[~train] @ F.normalize(means, dim=-1).T).argmax(-1)
    return _percent(guess == labels[~train])


def zero_shot(encode: Encode, encode_texts: Callable[[list[str]], Tensor], rows: list[dict[str, object]]) -> float:
    """Accuracy in percent on the test images against the class names."""
    names = sorted({str(row["class_name"]) for row in rows})
    tests = [row for row in rows if row["split"] == "test"]
    with torch.inference_mode():
        texts = F.normalize(encode_texts([PROMPT.format(name) for name in names]), dim=-1)
    guess = (features(encode, tests) @ texts.T).argmax(-1)
    return _percent(guess == torch.tensor([names.index(str(row["class_name"])) for row in tests]))


def groups(name: str) -> dict[str, list[dict[str, object]]]:
    """The rows of a benchmark by domain."""
    table = pq.read_table(OUT / f"{name}.parquet")
    domains = sorted(pc.unique(table["domain"]).to_pylist())
    return {domain: table.filter(pc.equal(table["domain"], domain)).to_pylist() for domain in domains}


def report(pretrained: bool, clip: bool) -> dict[str, dict[str, float]]:
    torch.manual_seed(0)
    out: dict[str, dict[str, float]] = {}
    vit = load_pocket_vit(pretrained)
    for name in ("pocket_cil", "pocket_dil", "pocket_x_tail"):
        by_domain = groups(name)
        everything = [row for rows in by_domain.values() for row in rows]
        scores = {domain: nearest_mean(vit, rows) for domain, rows in by_domain.items()}
        out[f"{name} nearest mean"] = scores | {"all": nearest_mean(vit, everything)}
    if clip:
        model, tokenizer = load_pocket_clip(pretrained)
        for name in ("pocket_x_tail", "pocket_cil"):
            out[f"{name} zero-shot"] = {
                domain: zero_shot(model.encode_image, lambda texts: model.encode_text(tokenizer(texts)), rows)
                for domain, rows in groups(name).items()
            }
    return out


def _percent(right: Tensor) -> float:
    return round(100 * float(right.float().mean()), 1)


if __name__ == "__main__":
    import sys

    with_clip = "--no-clip" not in sys.argv
    for kind in (False, True):
        print("pretrained" if kind else "random")
        for title, scores in report(kind, with_clip).items():
            print(" ", title, json.dumps(scores))
