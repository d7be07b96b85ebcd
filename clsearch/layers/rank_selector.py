"""The dynamic rank selector of FM-LoRA (arXiv 2504.08823, eq. 11-12), in the two forms its text describes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class RankSelector(nn.Module):
    """p(r | t) = softmax over candidates of (w_r H_t + g_r) / tau_g, with learnable w.

    w starts rising in r, `r / r_max` less its mean: with equal weights the choice would be blind to H_t (our choice).
    """

    masks: Tensor

    def __init__(self, candidates: Sequence[int], temperature: float) -> None:
        super().__init__()
        ranks = torch.tensor(candidates, dtype=torch.float64)
        rising = ranks / ranks.max()
        self.temperature = temperature
        self.weights = nn.Parameter((rising - rising.mean()).to(torch.get_default_dtype()))
        # (candidates, r_max): row r has ones on its first r columns
        self.register_buffer("masks", (torch.arange(max(candidates)) < ranks[:, None]).to(torch.get_default_dtype()))

    def probabilities(self, hardness: float, noise: Tensor | float = 0.0) -> Tensor:
        """p(r | t) for H_t = `hardness` and Gumbel noise g (zero: the printed form of eq. 11)."""
        return ((self.weights * hardness + noise) / self.temperature).softmax(-1)

    def sample_mask(self, hardness: float, generator: torch.Generator) -> Tensor:
        """A prefix mask m_j = sum over r >= j of p(r), (r_max): one-hot forward, soft p's gradient backward."""
        uniform = torch.rand(len(self.weights), generator=generator, dtype=torch.float64)
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12)))
        p = self.probabilities(hardness, gumbel.to(self.weights))
        hard = nn.functional.one_hot(p.argmax(), len(p)).to(p)
        return (hard + p - p.detach()) @ self.masks.to(p)


def smallest_sufficient(candidates: Sequence[int], accuracies: Sequence[float], tolerance: float) -> int:
    """The smallest rank whose accuracy (%) is within `tolerance` points of the best candidate's."""
    best = max(accuracies)
    return min(rank for rank, accuracy in zip(candidates, accuracies, strict=True) if accuracy >= best - tolerance)
