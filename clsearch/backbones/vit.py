"""Vision transformers of timm as frozen feature extractors with adaptable linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import FUSED, Linear


class ViTBackbone(nn.Module):
    """A timm VisionTransformer that classifies from its class token, in evaluation mode and without gradients.

    Raises ValueError for a network that pools its patches or has no class token.
    """

    family = "vit"

    def __init__(self, model: Any) -> None:
        super().__init__()
        if model.global_pool != "token" or model.num_prefix_tokens != 1:
            raise ValueError("only vision transformers that classify from one class token can carry these methods")
        self.model = model.eval().requires_grad_(False)
        self.width: int = model.embed_dim
        self.image_size: int = model.patch_embed.img_size[0]
        self._prompt: Tensor | None = None
        model.blocks[0].register_forward_pre_hook(self._insert_prompt)

    def _insert_prompt(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self._prompt is None:
            return None
        x = inputs[0]
        prompt = self._prompt.expand(len(x), -1, -1)
        return (torch.cat([x[:, :1], prompt, x[:, 1:]], 1), *inputs[1:])

    def features(self, images: Tensor, prompt: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W), normalised, to features before the head (B, d).

        `prompt` (m, d) is put between the class token and the patches at the first block, without position embedding.
        """
        # A view, because a module would register a parameter set on it as its own.
        self._prompt = None if prompt is None else prompt.view_as(prompt)
        tokens = self.model.forward_features(images)
        self._prompt = None
        features: Tensor = self.model.forward_head(tokens, pre_logits=True)
        return features

    def linears(self) -> Sequence[Linear]:
        """The adaptable layers of every block: q, k, v (one fused layer), out, fc1, fc2."""
        found = []
        for i, block in enumerate(self.model.blocks):
            found += [
                Linear(f"vision.{i}.qkv", block.attn, "qkv", FUSED),
                Linear(f"vision.{i}.out", block.attn, "proj", ("out",)),
                Linear(f"vision.{i}.fc1", block.mlp, "fc1", ("fc1",)),
                Linear(f"vision.{i}.fc2", block.mlp, "fc2", ("fc2",)),
            ]
        return found
