"""Tiny pre-trained networks of the same classes as the full ones.

`pocket_vit` is a timm `VisionTransformer` and `pocket_clip` an `open_clip.CLIP`; how they
were trained, on what and how good they are stands in the cards beside the weights. The
same constructors build still smaller random networks ("nano") for tests.

Importing this package loads neither torch nor timm: everything heavy waits for a call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_clip.model import CLIP
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor, nn

_HERE = Path(__file__).parent

WEIGHTS: dict[str, Path] = {
    "pocket_vit": _HERE / "pocket_vit.safetensors",
    "pocket_clip": _HERE / "pocket_clip.safetensors",
}
CARDS: dict[str, Path] = {name: _HERE / f"{name}.md" for name in WEIGHTS}
MERGES = _HERE / "merges.txt.gz"
# One identifier a line of every picture that pre-training may have seen.
PRETRAINING_IDS = _HERE / "pretraining_ids.txt.gz"

CONTEXT_LENGTH = 20
VOCAB_SIZE = 4096
# Images come as RGB in [0, 1]; both networks want them normalised with these.
MEAN = (0.5, 0.5, 0.5)
STD = (0.5, 0.5, 0.5)
# open_clip's own default differs from timm's; one value for both keeps the towers identical.
NORM_EPS = 1e-6


def build_vit(
    width: int = 192,
    depth: int = 6,
    heads: int = 3,
    image_size: int = 48,
    patch_size: int = 8,
) -> VisionTransformer:
    """A timm `VisionTransformer` with random weights and no classifier: images to (N, width)."""
    _prepare()
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        num_classes=0,
    ).eval()


def build_clip(
    width: int = 192,
    depth: int = 6,
    heads: int = 3,
    image_size: int = 48,
    patch_size: int = 8,
    text_width: int = 192,
    text_depth: int = 4,
    text_heads: int = 3,
    embed_dim: int = 192,
    context_length: int = CONTEXT_LENGTH,
    vocab_size: int = VOCAB_SIZE,
) -> CLIP:
    """An `open_clip` `CLIP` with random weights; its vision tower has the layout of `build_vit`."""
    _prepare()
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    norm = {"eps": NORM_EPS}
    vision = CLIPVisionCfg(
        layers=depth,
        width=width,
        head_width=width // heads,
        patch_size=patch_size,
        image_size=image_size,
        no_ln_pre=True,
        norm_kwargs=norm,
    )
    text = CLIPTextCfg(
        context_length=context_length,
        vocab_size=vocab_size,
        width=text_width,
        heads=text_heads,
        layers=text_depth,
        norm_kwargs=norm,
    )
    return CLIP(embed_dim=embed_dim, vision_cfg=vision, text_cfg=text).eval()


def build_tokenizer(context_length: int = CONTEXT_LENGTH) -> Callable[[list[str]], Tensor]:
    """open_clip's `SimpleTokenizer` cut to 4,096 tokens: texts to int64 (N, context_length)."""
    _prepare()
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer: Callable[[list[str]], Tensor] = SimpleTokenizer(bpe_path=str(MERGES), context_length=context_length)
    return tokenizer


def load_pocket_vit(pretrained: bool = True) -> VisionTransformer:
    """`pocket_vit` in evaluation mode and single precision; random weights if not pretrained."""
    model = build_vit()
    if pretrained:
        _load(model, WEIGHTS["pocket_vit"])
    return model


def load_pocket_clip(
    pretrained: bool = True,
) -> tuple[CLIP, Callable[[list[str]], Tensor]]:
    """`pocket_clip` in evaluation mode and single precision, with its tokenizer."""
    model = build_clip()
    if pretrained:
        _load(model, WEIGHTS["pocket_clip"])
    return model, build_tokenizer()


def _load(model: nn.Module, path: Path) -> None:
    from safetensors.torch import load_file

    model.load_state_dict({name: value.float() for name, value in load_file(path).items()})


def _prepare() -> None:
    """timm and open_clip import torchvision, which needs help beside a CPU torch."""
    from clsearch.backbones.torchvision_ops import declare_missing_operators

    declare_missing_operators()
