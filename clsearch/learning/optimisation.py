"""How a task is learned: batches, optimiser, learning-rate schedule, steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clsearch.benchmarks.examples import ExampleSet
from clsearch.layers.workers import Workers
from clsearch.methods.base import Batch, Method
from clsearch.spec.seeds import derive_seed

NORMALISATION = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}


class DivergedError(RuntimeError):
    """The loss is no number any more: the setting is at fault, not the machine."""


def rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """The learning rate at `step` (0-based) of `steps`, as a share of its peak.

    Linear warm-up `(step + 1) / warmup`, then constant or half a cosine to 0: the schedule of ZSCL, CoDyRA and MoRA.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def make_optimiser(method: Method) -> torch.optim.Optimizer:
    """A fresh optimiser over what the method trains now, with each group's own peak rate."""
    settings = method.settings
    groups = [
        {"params": list(group.parameters), "lr": settings.learning_rate * group.rate, "rate": group.rate}
        for group in method.parameter_groups()
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    family = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    return family(groups, betas=(0.9, settings.beta2), weight_decay=settings.weight_decay)


def fit(
    method: Method,
    examples: ExampleSet,
    prepare: Callable[[Any], Tensor],
    address: tuple[int | str, ...],
    workers: Workers,
    epochs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train what the method trains on `examples`.

    Args:
        prepare: uint8 images (b, H, W, 3) to normalised tensors.
        address: (run seed, task, purpose), the root of every random draw.
        epochs: of a preliminary fit; never longer than the task's own training where that is set in iterations.
        progress: told (steps done, steps in all).

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    settings = method.settings
    size = min(settings.batch, len(examples))
    per_epoch = math.ceil(len(examples) / size)
    steps = settings.iterations or per_epoch * settings.epochs
    if epochs is not None:
        steps = min(steps, per_epoch * epochs)
    optimiser = make_optimiser(method)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    for step, batch in enumerate(training_batches(examples, size, steps, prepare, address, workers)):
        factor = rate_factor(step, steps, min(settings.warmup, steps), settings.schedule)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * group["rate"] * factor
        optimiser.zero_grad(set_to_none=True)
        loss = method.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        total = float(workers.sum(loss.detach()))
        if not math.isfinite(total):
            raise DivergedError(
                f"the loss became {total} at step {step + 1} of {steps} of {address[2]}, task {address[1]}"
            )
        workers.sum_gradients(parameters)
        optimiser.step()
        method.after_step()
        if progress is not None:
            progress(step + 1, steps)


def training_batches(
    examples: ExampleSet,
    size: int,
    steps: int,
    prepare: Callable[[Any], Tensor],
    address: tuple[int | str, ...],
    workers: Workers,
) -> Iterator[Batch]:
    """This worker's share of `steps` batches; each epoch has an order of its own, and its last batch may be smaller."""
    per_epoch = math.ceil(len(examples) / size)
    for step in range(steps):
        epoch, position = divmod(step, per_epoch)
        if position == 0:
            order = np.random.default_rng(derive_seed(*address, "order", epoch)).permutation(len(examples))
        chosen = order[position * size : (position + 1) * size]
        mine = workers.share(torch.from_numpy(chosen)).numpy()
        augment = [derive_seed(*address, "augment", epoch, int(i)) for i in mine]
        images = prepare(examples.images(mine, augment))
        yield Batch(
            images=images,
            labels=torch.from_numpy(examples.labels[mine]).to(images.device),
            global_size=len(chosen),
            address=(*address, step),
        )


def in_order(
    examples: ExampleSet, size: int, prepare: Callable[[Any], Tensor], address: tuple[int | str, ...], workers: Workers
) -> Iterator[Batch]:
    """This worker's share of all examples, in order, without augmentation."""
    for start in range(0, len(examples), size):
        chosen = torch.arange(start, min(start + size, len(examples)))
        mine = workers.share(chosen).numpy()
        images = prepare(examples.images(mine))
        yield Batch(
            images=images,
            labels=torch.from_numpy(examples.labels[mine]).to(images.device),
            global_size=len(chosen),
            address=(*address, start),
        )


def preparation(normalize: str, dtype: torch.dtype, device: torch.device) -> Callable[[Any], Tensor]:
    """A function from uint8 images (b, H, W, 3) to normalised tensors (b, 3, H, W)."""
    mean, std = (
        torch.tensor(values, dtype=dtype, device=device).view(1, 3, 1, 1) for values in NORMALISATION[normalize]
    )

    def prepare(images: Any) -> Tensor:
        tensor = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(dtype) / 255
        return (tensor - mean) / std

    return prepare
