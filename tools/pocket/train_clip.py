"""Pre-train pocket_clip around a finished pocket_vit, whose blocks stay as they are.

First the text tower learns MiniLM's vectors, which the vision projection has been trained
towards as well; then both projections and the text tower learn from pictures and captions.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.multiprocessing as mp
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from clsearch.backbones.pocket import WEIGHTS, build_clip, build_tokenizer, load_pocket_vit
from tools.pocket import sources
from tools.pocket.convert import put_vision_tower
from tools.pocket.make_cache import CACHE
from tools.pocket.texts import TEMPLATES, load_texts
from tools.pocket.train_vit import HEADS, Cache

if TYPE_CHECKING:
    from open_clip.model import CLIP

TEXT_TOWER = CACHE / "text_tower.pt"
TEMPERATURE = 0.07
JOINT_VIEWS = 2


@dataclass
class Texts:
    """Tokens and MiniLM's vectors of every text; the first ones are the captions."""

    tokens: Tensor
    vectors: Tensor
    words: list[str]
    captions: int


def read_texts() -> Texts:
    words, vectors, captions = load_texts()
    return Texts(build_tokenizer()(words), vectors, words, captions)


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """`model.encode_text` without the columns that are padding in every row."""
    length = int(tokens.argmax(-1).max()) + 1
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(-1)]
    return F.normalize(x @ model.text_projection, dim=-1)


def rates(seconds: float, peak: float, optimizer: torch.optim.Optimizer) -> Iterator[float]:
    """Set the learning rate by the clock until the time is up."""
    start = time.time()
    while (done := (time.time() - start) / seconds) < 1:
        rate = peak * min(done / 0.04, 0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6
        for group in optimizer.param_groups:
            group["lr"] = rate
        yield done


def text_parameters(model: CLIP) -> list[nn.Parameter]:
    vision = {id(parameter) for parameter in model.visual.parameters()}
    scale = id(model.logit_scale)
    return [p for p in model.parameters() if id(p) not in vision and id(p) != scale]


def distil(model: CLIP, seconds: float, texts: Texts, workers: int) -> dict[str, float]:
    """Teach the text tower MiniLM's vectors, with workers that share its weights as in `train_vit`."""
    held = torch.tensor([sources.digest("held out " + text) % 50 == 0 for text in texts.words])
    model.share_memory()
    context = mp.get_context("fork")
    steps = context.Array("q", workers)
    started = [
        context.Process(target=distil_work, args=(model, seconds, texts, ~held, steps, rank)) for rank in range(workers)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    with torch.no_grad():
        parts = [held.nonzero()[:, 0][start::8] for start in range(8)]
        cosine = torch.cat([(encode_text(model, texts.tokens[p]) * texts.vectors[p]).sum(-1) for p in parts])
    return {"steps": sum(steps), "workers": workers, "held_out_cosine": round(float(cosine.mean()), 3)}


def distil_work(
    model: CLIP, seconds: float, texts: Texts, allowed: Tensor, steps: MutableSequence[int], rank: int
) -> None:
    """Cosine to MiniLM's vectors, and the same neighbours within a batch."""
    torch.manual_seed(rank)
    train = allowed.nonzero()[:, 0]
    length = texts.tokens.argmax(-1)
    # Captions are few but matter most; long texts cost most and matter least.
    chance = torch.where(train < texts.captions, 3.0, 1.0) * torch.where(length[train] > 9, 0.15, 1.0)
    optimizer = torch.optim.AdamW(text_parameters(model), lr=1.5e-3, weight_decay=0.02, betas=(0.9, 0.98))
    mean = 0.0
    for _ in rates(seconds, 1.5e-3, optimizer):
        pool = train[torch.multinomial(chance.double(), 512)]
        pool = pool[length[pool].argsort()]  # alike in length, so that little is padding
        for which in pool.split(128):
            found, truth = encode_text(model, texts.tokens[which]), texts.vectors[which]
            loss = 1 - (found * truth).sum(-1).mean()
            loss = loss + 2 * F.mse_loss(found @ found.T, truth @ truth.T)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(text_parameters(model), 1.0)
            optimizer.step()
            steps[rank] += 1
            mean += 0.02 * (float(loss.detach()) - mean)
        if rank == 0 and steps[rank] % 80 == 0:
            print(f"text {list(steps)} loss {mean:.3f}", flush=True)


@torch.no_grad()
def picture_features(cache: Cache) -> Tensor:
    """pocket_vit's answer to some views, (JOINT_VIEWS, N, width)."""
    vit = load_pocket_vit()
    rows = []
    everything = np.arange(cache.images.shape[1])
    for view in range(JOINT_VIEWS):
        parts = np.array_split(everything, 32)
        found = [vit(cache.batch(np.full(len(p), view), p, mirror=False).images) for p in parts]
        rows.append(torch.cat(found))
    return torch.stack(rows)


def join(model: CLIP, seconds: float, texts: Texts, seed: int) -> dict[str, float]:
    """Contrast pictures with captions in templates; the truth is shared as MiniLM sees it."""
    random = np.random.default_rng(seed)
    cache = Cache()
    pictures = picture_features(cache)
    tokenizer = build_tokenizer()
    captions = texts.words[: texts.captions]
    tokens = torch.stack([tokenizer([one.format(text) for text in captions]) for one in TEMPLATES])
    vectors = texts.vectors
    learned = [*text_parameters(model), model.visual.proj, model.logit_scale]
    optimizer = torch.optim.AdamW(learned, lr=3e-4, weight_decay=0.02, betas=(0.9, 0.98))
    step, mean = 0, 0.0
    for _ in rates(seconds, 3e-4, optimizer):
        which = random.choice(cache.train, 256, replace=False)
        number = cache.caption_of[which]
        view = random.integers(0, JOINT_VIEWS, len(which))
        image = F.normalize(pictures[view, which] @ model.visual.proj, dim=-1)
        template = torch.from_numpy(random.integers(0, len(TEMPLATES), len(which)))
        text = encode_text(model, tokens[template, number])
        truth = (vectors[number] @ vectors[number].T / TEMPERATURE).softmax(-1)
        logits = model.logit_scale.exp() * image @ text.T
        contrast = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        # The text tower must not forget the words that no caption has.
        extra = torch.from_numpy(random.integers(texts.captions, len(texts.words), 96))
        kept = (encode_text(model, texts.tokens[extra]) * vectors[extra]).sum(-1)
        loss = contrast + 2 * (1 - kept.mean())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(50))
        step += 1
        mean += 0.02 * (float(loss.detach()) - mean)
        if step % 100 == 0:
            print(f"joint {step} loss {mean:.3f} scale {float(model.logit_scale.detach().exp()):.1f}", flush=True)
    return {"joint_steps": step}


def save(model: CLIP) -> None:
    state = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(state, WEIGHTS["pocket_clip"])
    WEIGHTS["pocket_clip"].chmod(0o644)  # safetensors writes for the owner alone


def main(stage: str, seconds: float, workers: int, seed: int, resume: bool) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    start = time.time()
    texts = read_texts()
    model = build_clip().train()
    if stage == "text":
        if resume:
            model.load_state_dict(torch.load(TEXT_TOWER, weights_only=True))
        record = distil(model, seconds, texts, workers)
        torch.save(model.state_dict(), TEXT_TOWER)
    else:
        model.load_state_dict(torch.load(TEXT_TOWER, weights_only=True))
        projection = torch.load(HEADS, weights_only=True)["text_head.weight"].T
        put_vision_tower(load_pocket_vit(), model, projection)
        record = join(model, seconds, texts, seed)
        save(model)
    record["seconds"] = round(time.time() - start)
    (CACHE / f"train_clip_{stage}.json").write_text(json.dumps(record))
    print(record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["text", "joint"])
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--workers", type=int, default=2, help="of the text stage")
    parser.add_argument("--resume", action="store_true", help="the text stage goes on from its last state")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    main(args.stage, args.seconds, args.workers, args.seed, args.resume)
