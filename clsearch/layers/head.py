"""A linear head that grows with the classes seen, trained on the current task's classes only (local cross-entropy)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import kaiming_rows


class GrowingHead(nn.Module):
    """One row (weight and bias) per class; only the rows of the current task's classes are trainable.

    Rows of other classes are buffers and get no optimiser step at all: neither weight decay nor an optimiser's memory
    can move them. A class that comes back (domain-incremental streams) goes on from its row.
    """

    weight_old: Tensor
    bias_old: Tensor
    seen: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight_old", torch.zeros(classes, width))
        self.register_buffer("bias_old", torch.zeros(classes))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        self.classes: Tensor = torch.zeros(0, dtype=torch.long)

    def grow(self, classes: tuple[int, ...], generator: torch.Generator) -> None:
        """Make the rows of `classes` trainable; unseen ones start as torch's linear layer does."""
        width = self.weight_old.shape[1]
        self.classes = torch.tensor(sorted(classes), device=self.weight_old.device)
        fresh = kaiming_rows(generator, len(classes), width).to(self.weight_old)
        known = self.seen[self.classes]
        self.weight = nn.Parameter(torch.where(known[:, None], self.weight_old[self.classes], fresh))
        self.bias = nn.Parameter(torch.where(known, self.bias_old[self.classes], torch.zeros_like(fresh[:, 0])))

    def fold(self) -> None:
        """Write the trained rows back and mark their classes as seen."""
        assert self.weight is not None
        assert self.bias is not None
        self.weight_old = self.weight_old.index_copy(0, self.classes, self.weight.detach())
        self.bias_old = self.bias_old.index_copy(0, self.classes, self.bias.detach())
        self.seen = self.seen.index_fill(0, self.classes, True)
        self.weight = self.bias = None

    def local_scores(self, features: Tensor) -> Tensor:
        """Scores (B, classes of the current task), in label order."""
        assert self.weight is not None
        return nn.functional.linear(features, self.weight, self.bias)

    def scores(self, features: Tensor) -> Tensor:
        """Scores (B, all classes); classes not seen so far are -inf, the current task's rows count as seen."""
        scores = nn.functional.linear(features, self.weight_old, self.bias_old)
        scores = scores.masked_fill(~self.seen, -torch.inf)
        if self.weight is not None:
            scores = scores.index_copy(1, self.classes, self.local_scores(features))
        return scores
