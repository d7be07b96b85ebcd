"""Low-rank adaptation (Hu et al. 2022): dW = B A, frozen pairs summed with one trainable pair."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import Adapter, Site, kaiming_rows


class LoRA(Adapter):
    """Update sum_s B_s A_s x over the frozen pairs and the trainable one, for each of the site's parts.

    Pairs are kept as rows: `down` (G, R, D) is A and `up` (G, R, W) is B transposed, so that a new pair is a
    concatenation along R. Rank order is task order.
    """

    down_old: Tensor
    up_old: Tensor

    def __init__(self, site: Site) -> None:
        super().__init__()
        groups = len(site.parts)
        self.site = site
        self.register_buffer("down_old", torch.zeros(groups, 0, site.d_in))
        self.register_buffer("up_old", torch.zeros(groups, 0, site.width))
        self.down: nn.Parameter | None = None
        self.up: nn.Parameter | None = None

    def grow(self, rank: int, generator: torch.Generator) -> None:
        """A new trainable pair: A Kaiming-uniform, B zero, so that the update starts at zero."""
        like = self.down_old
        down = kaiming_rows(generator, len(self.site.parts), rank, self.site.d_in).to(like)
        self.down = nn.Parameter(down)
        self.up = nn.Parameter(like.new_zeros(len(self.site.parts), rank, self.site.width))

    def fold(self) -> None:
        """Freeze the trainable pair: append it, unchanged, to the frozen ones."""
        if self.down is None or self.up is None:
            raise RuntimeError("nothing to fold: grow() was not called for this task")
        self.down_old = torch.cat([self.down_old, self.down.detach()], 1)
        self.up_old = torch.cat([self.up_old, self.up.detach()], 1)
        self.down = self.up = None

    def forward(self, x_ND: Tensor) -> Tensor:
        pairs = [(self.down_old, self.up_old)] if self.down_old.shape[1] else []
        if self.down is not None and self.up is not None:
            pairs.append((self.down, self.up))
        update_GNW = x_ND.new_zeros(len(self.site.parts), len(x_ND), self.site.width) if not pairs else None
        for down_GRD, up_GRW in pairs:
            product_GNW = project(x_ND, down_GRD) @ up_GRW
            update_GNW = product_GNW if update_GNW is None else update_GNW + product_GNW
        assert update_GNW is not None
        return update_GNW


def project(x_ND: Tensor, rows_GRD: Tensor) -> Tensor:
    """Inner products of tokens with each part's rows, (G, N, R), by one matrix product for all parts."""
    groups, ranks, width = rows_GRD.shape
    return (x_ND @ rows_GRD.reshape(groups * ranks, width).T).view(len(x_ND), groups, ranks).transpose(0, 1)


def project_bank(x_ND: Tensor, frozen_GRD: Tensor, trained_GRD: Tensor | None) -> Tensor:
    """`project` on frozen rows and then trained ones, (G, N, R), without a gradient for the frozen rows."""
    if trained_GRD is None or frozen_GRD.shape[1] == 0:
        return project(x_ND, frozen_GRD if trained_GRD is None else trained_GRD)
    product: Tensor = _ProjectBank.apply(x_ND, frozen_GRD, trained_GRD)  # type: ignore[no-untyped-call]
    return product


class _ProjectBank(torch.autograd.Function):
    """One matrix product forward and one backward for both kinds of rows, where autograd would need twice as many."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, frozen_GRD: Tensor, trained_GRD: Tensor) -> Tensor:
        rows_GRD = torch.cat([frozen_GRD, trained_GRD], 1)
        ctx.frozen = frozen_GRD.shape[1]
        ctx.save_for_backward(x_ND, rows_GRD)
        return project(x_ND, rows_GRD)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x_ND, rows_GRD = ctx.saved_tensors
        groups, ranks, width = rows_GRD.shape
        z_NGR = gradients[0].transpose(0, 1)
        x_gradient = z_NGR.reshape(-1, groups * ranks) @ rows_GRD.view(-1, width) if ctx.needs_input_grad[0] else None
        trained = z_NGR[..., ctx.frozen :].reshape(len(x_ND), -1)
        return x_gradient, None, (trained.T @ x_ND).view(groups, -1, width)
