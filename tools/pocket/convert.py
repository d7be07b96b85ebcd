"""Turn pocket_vit into the vision tower of pocket_clip: the same function, other names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from open_clip.model import CLIP
    from timm.models.vision_transformer import VisionTransformer

# timm's name within a block, open_clip's name within a block
BLOCK = (
    ("norm1.weight", "ln_1.weight"),
    ("norm1.bias", "ln_1.bias"),
    ("attn.qkv.weight", "attn.in_proj_weight"),
    ("attn.qkv.bias", "attn.in_proj_bias"),
    ("attn.proj.weight", "attn.out_proj.weight"),
    ("attn.proj.bias", "attn.out_proj.bias"),
    ("norm2.weight", "ln_2.weight"),
    ("norm2.bias", "ln_2.bias"),
    ("mlp.fc1.weight", "mlp.c_fc.weight"),
    ("mlp.fc1.bias", "mlp.c_fc.bias"),
    ("mlp.fc2.weight", "mlp.c_proj.weight"),
    ("mlp.fc2.bias", "mlp.c_proj.bias"),
)


@torch.no_grad()
def put_vision_tower(vit: VisionTransformer, clip: CLIP, projection: Tensor) -> None:
    """Copy `vit` into `clip.visual`; `projection` is (width, embed_dim)."""
    given = vit.state_dict()
    position = given["pos_embed"][0].clone()
    # open_clip's patches have no bias: it goes to the position of every patch, not of cls.
    position[1:] += given["patch_embed.proj.bias"]
    state = {
        "conv1.weight": given["patch_embed.proj.weight"],
        "class_embedding": given["cls_token"][0, 0],
        "positional_embedding": position,
        "ln_post.weight": given["norm.weight"],
        "ln_post.bias": given["norm.bias"],
        "proj": projection,
    }
    for index in range(len(vit.blocks)):
        for timm_name, clip_name in BLOCK:
            value = given[f"blocks.{index}.{timm_name}"]
            state[f"transformer.resblocks.{index}.{clip_name}"] = value
    clip.visual.load_state_dict(state)
