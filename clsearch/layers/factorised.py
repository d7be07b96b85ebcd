"""F-LoRA: updates of all tasks in one shared low-rank space (FM-LoRA, arXiv 2504.08823, eq. 2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import Adapter, Site
from clsearch.layers.lora import project

Combination = Literal["sum", "last", "continue"]
STANDARD_DEVIATION = 0.02  # of the shared bases at first; lost in the text, our choice


class FLoRA(Adapter):
    """dW_t = A M_t N_t^T B^T with bases A (W x r_max), B (D x r_max) shared by all tasks and cores M_t, N_t (r x r).

    A and B are trained with task 1 and then frozen. All updates live in one r_max x r_max space, so the frozen tasks
    are one `core` matrix K = sum_s M_s N_s^T, and storage is constant in the number of tasks. Bases are kept transposed
    as rows, (G, r_max, W) and (G, r_max, D). Note that the paper's A and B are the reverse of LoRA's.
    """

    core: Tensor
    m_old: Tensor
    n_old: Tensor

    def __init__(self, site: Site, rank: int, generator: torch.Generator, combination: Combination = "sum") -> None:
        super().__init__()
        groups = len(site.parts)
        self.site, self.rank, self.combination = site, rank, combination

        def normal(width: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(groups, rank, width).normal_(0, STANDARD_DEVIATION, generator=generator))

        self.basis_out, self.basis_in = normal(site.width), normal(site.d_in)
        self.register_buffer("core", torch.zeros(groups, rank, rank))
        if combination == "continue":
            # The previous task's factors, padded with M = I, N = 0, are where the next task goes on from.
            self.register_buffer("m_old", torch.eye(rank).repeat(groups, 1, 1))
            self.register_buffer("n_old", torch.zeros(groups, rank, rank))
        self.m: nn.Parameter | None = None
        self.n: nn.Parameter | None = None
        self.rank_mask: Tensor | None = None  # (r_max), the selector's relaxed prefix mask while it chooses

    def grow(self, rank: int) -> None:
        """New factors on the first `rank` columns: M = I and N = 0 (the update starts at zero), or the previous task's.

        Outside `sum` the frozen core no longer counts: `last` and `continue` answer with the current update alone.
        """
        going_on = self.combination == "continue"
        m = self.m_old if going_on else torch.eye(self.rank).to(self.core).expand_as(self.core)
        n = self.n_old if going_on else torch.zeros_like(self.core)
        self.m, self.n = nn.Parameter(m[:, :rank, :rank].clone()), nn.Parameter(n[:, :rank, :rank].clone())
        if self.combination != "sum":
            self.core = torch.zeros_like(self.core)

    def current_core(self) -> Tensor:
        """K_t = pad(M_t N_t^T), (G, r_max, r_max); zero where no task is being learned."""
        if self.m is None or self.n is None:
            return torch.zeros_like(self.core)
        pad = self.rank - self.m.shape[-1]
        core = nn.functional.pad(self.m @ self.n.mT, (0, pad, 0, pad))
        return core if self.rank_mask is None else core * self.rank_mask[:, None] * self.rank_mask

    def fold(self) -> None:
        """Freeze the task's update: added to the core (sum), or in its place (last, continue)."""
        assert self.m is not None
        assert self.n is not None
        self.core = self.core + self.current_core().detach()
        if self.combination == "continue":
            rank = self.m.shape[-1]
            self.m_old = torch.eye(self.rank).to(self.core).repeat(len(self.core), 1, 1)
            self.n_old = torch.zeros_like(self.core)
            self.m_old[:, :rank, :rank], self.n_old[:, :rank, :rank] = self.m.detach(), self.n.detach()
        self.m = self.n = None

    def freeze_bases(self) -> None:
        """The shared bases stop training: after task 1."""
        self.basis_out.requires_grad_(False)
        self.basis_in.requires_grad_(False)

    def orthonormalise(self, how: Literal["qr", "svd"]) -> None:
        """Give the bases orthonormal columns without changing the update; once, after task 1 is folded.

        qr: A = Q_A R_A, B = Q_B R_B, M <- R_A M, N <- R_B N; column prefixes span what they spanned. svd: the singular
        vectors of A M N^T B^T, strongest first, so that a prefix keeps what matters most. (Our addition.)
        """
        basis_out, left = torch.linalg.qr(self.basis_out.detach().mT)
        basis_in, right = torch.linalg.qr(self.basis_in.detach().mT)
        if how == "svd":
            u, _, vh = torch.linalg.svd(left @ self.core @ right.mT)
            basis_out, left = basis_out @ u, u.mT @ left
            basis_in, right = basis_in @ vh.mT, vh @ right
        self.basis_out = nn.Parameter(basis_out.mT.contiguous(), requires_grad=False)
        self.basis_in = nn.Parameter(basis_in.mT.contiguous(), requires_grad=False)
        self.core = left @ self.core @ right.mT
        if self.combination == "continue":
            self.m_old, self.n_old = left @ self.m_old, right @ self.n_old

    def forward(self, x_ND: Tensor) -> Tensor:
        core = self.core if self.m is None else self.core + self.current_core()
        return project(x_ND, self.basis_in) @ core.mT @ self.basis_out
