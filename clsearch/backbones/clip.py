"""CLIP of open_clip with both encoders adaptable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from clsearch.layers.adapted import FUSED, Linear


class CLIPBackbone(nn.Module):
    """An open_clip CLIP, in evaluation mode and without gradients; its logit scale is frozen.

    open_clip's attention is torch's `MultiheadAttention`, which reads its weights past any module put in their place;
    it is therefore exchanged for `SplitAttention`, the same function over two linear layers.
    """

    family = "clip"

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor]) -> None:
        super().__init__()
        self.model, self.tokenize = model, tokenizer
        for _, block in self._blocks():
            block.attn = SplitAttention(block.attn)
        self.model.eval().requires_grad_(False)
        self.width: int = model.text_projection.shape[1]
        self.image_size: int = model.visual.image_size[0]

    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised, to unit image features (B, d)."""
        features: Tensor = self.model.encode_image(images, normalize=True)
        return features

    def text_features(self, tokens: Tensor) -> Tensor:
        """Tokens (C, context) to unit text features (C, d)."""
        features: Tensor = self.model.encode_text(tokens, normalize=True)
        return features

    def scale(self) -> Tensor:
        """The frozen factor of cosine similarities, about 100."""
        scale: Tensor = self.model.logit_scale.detach().exp()
        return scale

    def linears(self) -> Sequence[Linear]:
        """The adaptable layers of every block of both encoders: q, k, v (one fused layer), out, fc1, fc2."""
        found = []
        for name, block in self._blocks():
            found += [
                Linear(f"{name}.qkv", block.attn, "in_proj", FUSED),
                Linear(f"{name}.out", block.attn, "out_proj", ("out",)),
                Linear(f"{name}.fc1", block.mlp, "c_fc", ("fc1",)),
                Linear(f"{name}.fc2", block.mlp, "c_proj", ("fc2",)),
            ]
        return found

    def _blocks(self) -> list[tuple[str, Any]]:
        towers = {"vision": self.model.visual.transformer, "text": self.model.transformer}
        return [(f"{tower}.{i}", block) for tower, t in towers.items() for i, block in enumerate(t.resblocks)]


class SplitAttention(nn.Module):
    """Self-attention with the weights of a `MultiheadAttention`, as two linear layers an adapter can be put on."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if not attention.batch_first or attention.in_proj_weight is None:
            raise ValueError("expected a batch-first self-attention with one fused projection")
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        self.heads = attention.num_heads
        self.in_proj = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        self.in_proj.weight, self.in_proj.bias = weight, bias
        self.out_proj = attention.out_proj

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Tokens (B, L, d) to (B, L, d); k and v are q, and an additive mask (L, L) may forbid pairs."""
        batch, length, width = q.shape
        split = self.in_proj(q).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width)), None


def check_activation(model: Any, pretrained: str) -> None:
    """OpenAI's weights were trained with QuickGELU; with plain GELU they lose points silently. Raises ValueError."""
    block = model.visual.transformer.resblocks[0]
    if pretrained == "openai" and type(block.mlp.gelu).__name__ != "QuickGELU":
        raise ValueError("OpenAI's CLIP weights need QuickGELU: use a '-quickgelu' model name or the tag 'openai'")
