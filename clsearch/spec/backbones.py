"""The pre-trained networks by name, readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clsearch.errors import UsageError, nearest
from clsearch.spec.settings import Family

Source = Literal["timm", "open_clip", "pocket", "nano"]


@dataclass(frozen=True)
class Tower:
    """The size of one transformer: `depth` blocks of `width` features, MLPs of four times the width."""

    width: int
    depth: int


@dataclass(frozen=True)
class Backbone:
    """A pre-trained network: where it comes from and how large it is; sizes are None where a hub name is free."""

    name: str
    family: Family
    source: Source
    tag: str
    parameters: int | None = None
    image_size: int | None = None
    towers: tuple[Tower, ...] = ()


BACKBONES: dict[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        # 85.8 M parameters without the ImageNet head.
        Backbone(
            "vit_base_patch16_224.augreg_in21k_ft_in1k",
            "vit",
            "timm",
            "vit_base_patch16_224.augreg_in21k_ft_in1k",
            85_798_656,
            224,
            (Tower(768, 12),),
        ),
        Backbone(
            "vit_base_patch16_224.augreg_in21k",
            "vit",
            "timm",
            "vit_base_patch16_224.augreg_in21k",
            85_798_656,
            224,
            (Tower(768, 12),),
        ),
        Backbone(
            "clip_vit_b16_openai",
            "clip",
            "open_clip",
            "ViT-B-16/openai",
            149_620_737,
            224,
            (Tower(768, 12), Tower(512, 12)),
        ),
        Backbone("pocket_vit", "vit", "pocket", "pocket_vit", 2_713_920, 48, (Tower(192, 6),)),
        Backbone("pocket_clip", "clip", "pocket", "pocket_clip", 5_357_569, 48, (Tower(192, 6), Tower(192, 4))),
        Backbone("nano_vit", "vit", "nano", "nano_vit", 31_840, 16, (Tower(32, 2),)),
        Backbone("nano_clip", "clip", "nano", "nano_clip", 191_041, 16, (Tower(32, 2), Tower(32, 2))),
    )
}


def find_backbone(name: str, where: str = "backbone") -> Backbone:
    """The backbone of this name, `timm:<name>` or `open_clip:<name>/<tag>`; raises UsageError with the nearest name."""
    if name in BACKBONES:
        return BACKBONES[name]
    source, _, tag = name.partition(":")
    if source == "timm" and tag:
        return Backbone(name, "vit", "timm", tag)
    if source == "open_clip" and all(tag.partition("/")):
        return Backbone(name, "clip", "open_clip", tag)
    raise UsageError(
        f"{where}: unknown backbone '{name}': {nearest(name, BACKBONES)} "
        "(any other as timm:<name> or open_clip:<name>/<tag>)"
    )
