"""The two frozen teachers: an image classifier and a sentence encoder, both from PyPI."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clsearch.backbones.torchvision_ops import declare_missing_operators
from tools.pocket import sources

GRID = 6  # the student's patches a side


class Lite0(nn.Module):
    """EfficientNet-Lite0 trained on ImageNet: features by patch, and for the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        declare_missing_operators()
        import timm

        self.net = timm.create_model("tf_efficientnet_lite0")
        counters = "num_batches_tracked"
        given = torch.load(sources.LITE0, weights_only=True, map_location="cpu")
        values = [value for name, value in given.items() if not name.endswith(counters)]
        names = [name for name in self.net.state_dict() if not name.endswith(counters)]
        # The package names its tensors otherwise, but has them in the same order.
        self.net.load_state_dict(dict(zip(names, values, strict=True)), strict=False)
        self.to(memory_format=torch.channels_last).eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] to (N, GRID * GRID, 112) and (N, 1280)."""
        net = self.net
        x = net.bn1(net.conv_stem(images.contiguous(memory_format=torch.channels_last)))
        for index, block in enumerate(net.blocks):
            x = block(x)
            if index == 4:  # the last block at stride 16
                grid = nn.functional.adaptive_avg_pool2d(x, GRID).flatten(2).transpose(1, 2)
        pooled = net.global_pool(net.bn2(net.conv_head(x)))
        return grid, pooled

    def classify(self, pooled: Tensor) -> Tensor:
        return self.net.classifier(pooled)


class MiniLM(nn.Module):
    """all-MiniLM-L6-v2: texts to unit vectors of 384 numbers."""

    def __init__(self) -> None:
        super().__init__()
        from tokenizers import Tokenizer
        from transformers import BertModel

        self.net = BertModel.from_pretrained(sources.MINILM).eval()
        self.tokenizer = Tokenizer.from_file(str(sources.MINILM / "tokenizer.json"))
        self.tokenizer.enable_truncation(48)
        self.tokenizer.enable_padding()

    @torch.inference_mode()
    def forward(self, texts: list[str]) -> Tensor:
        coded = self.tokenizer.encode_batch(texts)
        ids = torch.tensor([entry.ids for entry in coded])
        mask = torch.tensor([entry.attention_mask for entry in coded])
        states = self.net(input_ids=ids, attention_mask=mask).last_hidden_state
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return nn.functional.normalize(mean, dim=-1)

    def encode(self, texts: list[str], batch: int = 128) -> Tensor:
        """Many texts: sorted by length, so that little is padding."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        out = torch.empty(len(texts), 384)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            out[chosen] = self([texts[index] for index in chosen])
        return out
