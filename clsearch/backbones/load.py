"""Backbones by name: from timm, open_clip, the package (pocket), or made up from a seed (nano)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from clsearch.backbones.torchvision_ops import declare_missing_operators
from clsearch.errors import UsageError
from clsearch.spec.backbones import find_backbone

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
NANO_SEED = 20250408  # of the made-up weights; any number would do


def load_backbone(name: str, precision: str = "float32") -> Any:
    """A ViTBackbone or CLIPBackbone of its own, frozen, in the precision asked for.

    Raises UsageError for an unknown name, and for weights that are neither cached nor to be had.
    """
    from clsearch.backbones.clip import CLIPBackbone
    from clsearch.backbones.vit import ViTBackbone

    found = find_backbone(name)
    declare_missing_operators()
    make: Callable[[str], Any] = {
        "timm": _from_timm,
        "open_clip": _from_open_clip,
        "pocket": _pocket,
        "nano": _nano,
    }[found.source]
    model = make(found.tag)
    backbone: Any = CLIPBackbone(*model) if found.family == "clip" else ViTBackbone(model)
    return backbone.to(PRECISIONS[precision])


def weights_digest(backbone: nn.Module) -> str:
    """SHA-256 over names, shapes and values of all weights and buffers: part of every stage's key."""
    digest = hashlib.sha256()
    for name, tensor in sorted(backbone.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _from_timm(tag: str) -> Any:
    import timm

    try:
        return timm.create_model(tag, pretrained=True, num_classes=0)
    except Exception as error:  # timm and the hub raise many types; each means that these weights cannot be had
        raise _unavailable(tag, "timm", error) from error


def _from_open_clip(tag: str) -> tuple[Any, Any]:
    import open_clip

    from clsearch.backbones.clip import check_activation

    name, _, pretrained = tag.partition("/")
    try:
        model = open_clip.create_model(name, pretrained=pretrained)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # as above
        raise _unavailable(tag, "open_clip", error) from error
    check_activation(model, pretrained)
    return model, tokenizer


def _unavailable(tag: str, library: str, error: Exception) -> UsageError:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return UsageError(
        f"backbone: the weights '{tag}' could not be loaded through {library} ({first_line}). They are looked for in "
        "the Hugging Face cache (HF_HOME) and then fetched: run once where there is a network, copy the cache here, "
        "or use profile=pocket, whose networks are inside the package"
    )


def _pocket(tag: str) -> Any:
    from clsearch.backbones.pocket import WEIGHTS, load_pocket_clip, load_pocket_vit

    if not WEIGHTS[tag].is_file():
        raise UsageError(f"backbone: {WEIGHTS[tag]} is missing from this installation; install clsearch again")
    return load_pocket_clip() if tag == "pocket_clip" else load_pocket_vit()


def _nano(tag: str) -> Any:
    from clsearch.backbones.pocket import build_clip, build_tokenizer, build_vit

    size = {"width": 32, "depth": 2, "heads": 2, "image_size": 16, "patch_size": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(NANO_SEED)
        if tag == "nano_vit":
            return build_vit(**size)
        return build_clip(**size, text_width=32, text_depth=2, text_heads=2, embed_dim=32), build_tokenizer()
