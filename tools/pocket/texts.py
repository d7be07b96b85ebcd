"""The texts that pre-training may use, as MiniLM encodes them, cut to the width of pocket_clip."""

from __future__ import annotations

import json
import re
import subprocess
import time
from functools import cache

import torch
from torch import Tensor

from tools.pocket import corpus, sources
from tools.pocket.make_cache import CACHE
from tools.pocket.teachers import MiniLM

WIDTH = 192
FILE = CACHE / "texts.pt"
TEMPLATES = (
    "{}", "a picture of {}", "a photo of a {}", "an icon of {}", "a drawing of a {}",
    "a small image of {}", "clip art: {}", "the symbol for {}", "this is a {}", "many {}",
)  # fmt: skip


def main() -> None:
    start = time.time()
    captions = sorted({caption for _, caption, _ in read_index()})
    templated = [_fill(caption, number) for caption in captions for number in range(3)]
    found = {*_nouns(), *_glosses(), *_packages(), *templated}
    others = sorted(found - {*captions, ""})
    print(f"{len(captions)} captions, {len(others)} other texts", flush=True)
    torch.set_num_threads(2)
    embedded = MiniLM().encode(captions + others)
    # The mean and the directions come from the captions alone, all of them permitted.
    mean = embedded[: len(captions)].mean(0)
    _, _, directions = torch.linalg.svd(embedded[: len(captions)] - mean, full_matrices=False)
    reduced = torch.nn.functional.normalize((embedded - mean) @ directions[:WIDTH].T, dim=-1)
    torch.save({"texts": captions + others, "vectors": reduced, "captions": len(captions)}, FILE)
    print(f"{time.time() - start:.0f} s", flush=True)


@cache
def read_index() -> list[tuple[str, str, bool]]:
    """Identifier, caption and whether it is held out, of each picture in the cache."""
    return [tuple(entry) for entry in json.loads((CACHE / "index.json").read_text())]


def load_texts() -> tuple[list[str], Tensor, int]:
    """Texts, their unit vectors, and how many of them, the first ones, are captions."""
    data = torch.load(FILE, weights_only=True)
    return data["texts"], data["vectors"], data["captions"]


def _fill(text: str, number: int) -> str:
    chosen = sources.digest(f"template {number} {text}") % len(TEMPLATES)
    return TEMPLATES[chosen].format(text)


def _nouns() -> list[str]:
    """WordNet's nouns, every second one within a template."""
    names = [name.split(",")[0] for name, _ in corpus.wordnet()]
    return names + [_fill(name, 0) for name in names[::2]]


def _glosses() -> list[str]:
    return [gloss for _, gloss in corpus.wordnet() if len(gloss.split()) <= 14]


def _packages() -> list[str]:
    """Short descriptions of Debian packages: plain English of another kind."""
    listing = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    lines = re.findall(r"^Description(?:-en)?: (.+)$", listing, re.MULTILINE)
    plain = sorted({line.lower() for line in lines if 3 <= len(line.split()) <= 12})
    return sorted(plain, key=sources.digest)[:8000]


if __name__ == "__main__":
    main()
