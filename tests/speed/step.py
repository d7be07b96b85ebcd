"""A training step of MoRA beside the same network with PEFT's LoRA of the same new rank.

    python -m tests.speed.step [pocket | full] [repetitions]

Both networks take turns within one run, so that the ratio holds on a noisy machine. Printed: median seconds of each
and the median of the pairwise ratios, at 1 and at 10 learned tasks.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from clsearch.backbones.clip import CLIPBackbone
from clsearch.backbones.load import load_backbone
from clsearch.backbones.torchvision_ops import declare_missing_operators
from clsearch.layers.workers import Workers
from clsearch.methods.base import Batch, StreamInfo, TaskInfo
from clsearch.methods.mora import MoRAMethod
from clsearch.spec.settings import make_settings

RANK = 16
CLASSES = 10
TASKS = 10


def network(size: str) -> tuple[CLIPBackbone, int]:
    """pocket_clip at batch 32, or ViT-B-16 with random weights at batch 8."""
    if size == "pocket":
        return load_backbone("pocket_clip"), 32
    declare_missing_operators()
    import open_clip

    return CLIPBackbone(
        open_clip.create_model("ViT-B-16-quickgelu", pretrained=None), open_clip.get_tokenizer("ViT-B-16")
    ), 8


def images_of(backbone: CLIPBackbone, batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, backbone.image_size, backbone.image_size)


def mora_step(size: str, learned: int) -> Callable[[], None]:
    """One step of the task after `learned` tasks, every linear layer of both towers adapted."""
    backbone, batch = network(size)
    names = tuple(f"class {i}" for i in range(CLASSES * (TASKS + 1)))
    info = StreamInfo(names, ("a photo of a {}.",) * len(names), None)
    method = MoRAMethod(make_settings("mora", {"new_rank": RANK}), backbone, info, 0, Workers())
    data: Any = None  # MoRA looks at no data between tasks
    for t in range(1, learned + 2):
        method.begin_task(TaskInfo(t, str(t), tuple(range(CLASSES * (t - 1), CLASSES * t))), data)
        if t <= learned:
            for adapter in method.adapters.values():
                torch.nn.init.normal_(adapter.values, std=0.02)
            method.end_task(data)
    parameters = [p for group in method.parameter_groups() for p in group.parameters]
    optimiser = torch.optim.AdamW(parameters, lr=5e-4, betas=(0.9, 0.9999), weight_decay=0.0)
    images, labels = images_of(backbone, batch), torch.randint(0, CLASSES, (batch,)) + CLASSES * learned
    return stepper(optimiser, lambda: method.loss(Batch(images, labels, batch, (0, 1, "bench", 0))))


def lora_step(size: str) -> Callable[[], None]:
    """PEFT's LoRA of the same rank on the same layers; q, k and v as one fused layer, which is how PEFT sees them."""
    declare_missing_operators()  # PEFT imports torchvision too
    import peft

    backbone, batch = network(size)
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["in_proj", "out_proj", "c_fc", "c_proj"])
    model = peft.get_peft_model(backbone, config)
    base = model.base_model.model
    tokens = base.tokenize([f"a photo of a class {i}." for i in range(CLASSES)])
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4, weight_decay=0.0)
    images, labels = images_of(backbone, batch), torch.randint(0, CLASSES, (batch,))

    def loss() -> torch.Tensor:
        scores = base.scale() * base.features(images) @ base.text_features(tokens).T
        one_hot = F.one_hot(labels, CLASSES).T.float()
        return F.cross_entropy(scores, labels) - (one_hot * scores.T.log_softmax(-1)).sum() / CLASSES

    return stepper(optimiser, loss)


def stepper(optimiser: torch.optim.Optimizer, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss().backward()
        optimiser.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def compare(size: str, learned: int, repetitions: int) -> tuple[float, float, float]:
    """Median seconds of a LoRA and a MoRA step, and the median of MoRA / LoRA pair by pair."""
    lora, mora = lora_step(size), mora_step(size, learned)
    for step in (lora, mora):
        step()
    pairs = [(seconds(lora), seconds(mora)) for _ in range(repetitions)]
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(b / a for a, b in pairs)


def main(size: str = "pocket", repetitions: str = "15") -> None:
    torch.manual_seed(0)
    for learned in (1, TASKS):
        lora, mora, ratio = compare(size, learned, int(repetitions))
        print(f"{size}, {learned} learned: LoRA {lora:.3f} s, MoRA {mora:.3f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
