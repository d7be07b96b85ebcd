"""Pre-train pocket_vit: a small student of Lite0's features and of MiniLM's captions.

Five losses, all on one pass: the features of each patch, the pooled features, the ImageNet
classes they mean, how alike the pictures of a batch are, and which captions fit. The learning
rate follows the clock, so that a run ends well in whatever time it is given.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import MutableSequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.multiprocessing as mp
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from clsearch.backbones.pocket import WEIGHTS, build_vit, load_pocket_vit
from tools.pocket.make_cache import CACHE, VIEWS
from tools.pocket.teachers import GRID, Lite0
from tools.pocket.texts import WIDTH, load_texts, read_index

HEADS = CACHE / "heads.pt"
WEIGHT = {"grid": 1.0, "pooled": 2.0, "classes": 0.1, "alike": 5.0, "caption": 0.3}


@dataclass
class Batch:
    images: Tensor
    grid: Tensor
    pooled: Tensor
    caption: Tensor


class Cache:
    """Views with the teachers' answers; a view may be mirrored, and its grid with it."""

    def __init__(self) -> None:
        self.images = np.load(CACHE / "images.npy", mmap_mode="r")
        self.grids = np.load(CACHE / "grids.npy", mmap_mode="r")
        self.pooled = np.load(CACHE / "pooled.npy", mmap_mode="r")
        texts, vectors, captions = load_texts()
        place = {text: number for number, text in enumerate(texts[:captions])}
        self.captions = vectors[:captions]
        self.caption_of = torch.tensor([place[caption] for _, caption, _ in read_index()])
        held = np.array([held_out for _, _, held_out in read_index()])
        self.train, self.held = np.flatnonzero(~held), np.flatnonzero(held)

    def batch(self, view: np.ndarray, which: np.ndarray, mirror: bool) -> Batch:
        images = torch.from_numpy(self.images[view, which]).permute(0, 3, 1, 2).float() / 127.5 - 1
        grid = torch.from_numpy(self.grids[view, which]).float()
        if mirror:
            images = images.flip(-1)
            grid = grid.unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)
        pooled = torch.from_numpy(self.pooled[view, which]).float()
        return Batch(images, grid, pooled, self.caption_of[which])


class Student(nn.Module):
    """pocket_vit with the heads that only training needs, and the losses."""

    def __init__(self, cache: Cache, teacher: Lite0) -> None:
        super().__init__()
        self.vit = build_vit().train()
        width = self.vit.embed_dim
        self.grid_head = nn.Linear(width, 112)
        self.pooled_head = nn.Linear(width, 1280)
        self.text_head = nn.Linear(width, WIDTH, bias=False)
        self.classify = teacher.classify
        self.captions = cache.captions
        # Normalising statistics of permitted pictures only.
        sample = cache.batch(np.zeros(2000, int), cache.train[:2000], mirror=False)
        flat = sample.grid.flatten(0, 1)
        self.grid_mean, self.grid_std = flat.mean(0), flat.std(0) + 1e-3
        self.pooled_mean, self.pooled_std = sample.pooled.mean(0), sample.pooled.std(0) + 1e-2

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        tokens = self.vit.forward_features(batch.images)
        cls, patches = tokens[:, 0], tokens[:, 1:]
        grid = ((batch.grid - self.grid_mean) / self.grid_std).clamp(-5, 5)
        pooled = ((batch.pooled - self.pooled_mean) / self.pooled_std).clamp(-5, 5)
        guess = self.pooled_head(cls)
        return {
            "grid": F.mse_loss(self.grid_head(patches), grid),
            "pooled": 1 - F.cosine_similarity(guess, pooled).mean(),
            "classes": self._classes(guess, batch.pooled),
            "alike": F.mse_loss(_alike(cls), _alike(pooled)),
            "caption": self._caption(cls, batch.caption),
        }

    def _classes(self, guess: Tensor, pooled: Tensor, temperature: float = 2.0) -> Tensor:
        with torch.no_grad():
            truth = (self.classify(pooled) / temperature).softmax(-1)
        logits = self.classify(guess * self.pooled_std + self.pooled_mean) / temperature
        return F.kl_div(logits.log_softmax(-1), truth, reduction="batchmean")

    def _caption(self, cls: Tensor, number: Tensor, temperature: float = 0.07) -> Tensor:
        """Cross-entropy against all captions; those that mean nearly the same share the truth."""
        truth = (self.captions[number] @ self.captions.T / temperature).softmax(-1)
        logits = F.normalize(self.text_head(cls), dim=-1) @ self.captions.T / temperature
        return F.cross_entropy(logits, truth)


def _alike(features: Tensor) -> Tensor:
    unit = F.normalize(features - features.mean(0), dim=-1)
    return unit @ unit.T


def held_out(student: Student, cache: Cache) -> dict[str, float]:
    student.eval()
    with torch.no_grad():
        batch = cache.batch(np.full(len(cache.held), VIEWS - 1), cache.held, mirror=False)
        losses = {name: round(float(loss), 4) for name, loss in student.losses(batch).items()}
    student.train()
    return losses


def train(seconds: float, workers: int, batch_size: int, peak: float, seed: int, resume: bool) -> None:
    """Workers of one thread each step the same shared weights without waiting for each other.

    On cores shared with other programs two threads of one process mostly wait for the slower.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    cache = Cache()
    student = Student(cache, Lite0().requires_grad_(False))
    if resume:
        student.vit.load_state_dict(load_pocket_vit().state_dict())
        student.load_state_dict(torch.load(HEADS, weights_only=True), strict=False)
    student.share_memory()
    context = mp.get_context("fork")
    steps = context.Array("q", workers)
    start = time.time()
    started = [
        context.Process(target=work, args=(student, cache, steps, rank, start, seconds, batch_size, peak, seed))
        for rank in range(workers)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"a worker ended with {process.exitcode}")
    save(student)
    record = {
        "seconds": round(time.time() - start),
        "workers": workers,
        "steps": sum(steps),
        "batch": batch_size,
        "peak_rate": peak,
        "held_out": held_out(student, cache),
    }
    (CACHE / "train_vit.json").write_text(json.dumps(record))
    print(record)


def work(
    student: Student,
    cache: Cache,
    steps: MutableSequence[int],
    rank: int,
    start: float,
    seconds: float,
    batch_size: int,
    peak: float,
    seed: int,
) -> None:
    random = np.random.default_rng([seed, rank])
    learned = [p for p in student.parameters() if p.requires_grad]
    decayed = [p for p in learned if p.ndim > 1]
    plain = [p for p in learned if p.ndim <= 1]
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, weight_decay=0.05, betas=(0.9, 0.98))
    saved, means = 0.0, dict.fromkeys(WEIGHT, 0.0)
    while (done := (time.time() - start) / seconds) < 1:
        rate = peak * min(done / 0.04, 0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        for group in optimizer.param_groups:
            group["lr"] = rate
        which = random.choice(cache.train, batch_size, replace=False)
        view = random.integers(0, VIEWS, batch_size)
        losses = student.losses(cache.batch(view, which, mirror=bool(random.random() < 0.5)))
        total = torch.stack([WEIGHT[name] * loss for name, loss in losses.items()]).sum()
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        steps[rank] += 1
        for name, loss in losses.items():
            means[name] += 0.02 * (float(loss.detach()) - means[name])
        if steps[rank] % 100 == 0 and rank == 0:
            shown = {name: round(value, 3) for name, value in means.items()}
            print(f"{list(steps)} {time.time() - start:.0f} s {shown}", flush=True)
        if rank == 0 and done - saved > 0.25:  # so that a run cut short leaves something
            saved = done
            save(student)
            print("held out", held_out(student, cache), flush=True)


def save(student: Student) -> None:
    state = {name: value.half().contiguous() for name, value in student.vit.state_dict().items()}
    save_file(state, WEIGHTS["pocket_vit"])
    WEIGHTS["pocket_vit"].chmod(0o644)  # safetensors writes for the owner alone
    heads = {name: value for name, value in student.state_dict().items() if "_head." in name}
    torch.save(heads, HEADS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the saved weights")
    args = parser.parse_args()
    train(args.seconds, args.workers, args.batch, args.lr, args.seed, args.resume)
