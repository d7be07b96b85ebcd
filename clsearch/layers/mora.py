"""MoRA's adapted layer: rank-1 experts (key a_i, value b_i) that activate themselves (arXiv 2506.21035, eq. 5-7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import Adapter, Site, kaiming_rows
from clsearch.layers.lora import project

EPSILON = 1e-12  # of the norm in eq. 5, as the CLIP code has it
MINIMUM_BUDGET = 2  # the code's floor of k


@dataclass
class Routing:
    """How experts are weighed, shared by all layers of a network so that an evaluation can switch them at once.

    kind: the row of the paper's table 5. `threshold` acts outside training only; 0 switches it off.
    """

    kind: str
    temperature: float
    budget: int
    threshold: float = 0.0
    training: bool = False


class MoRA(Adapter):
    """Update sum_i w_i z_i b_i over frozen and trainable experts, per token and per part.

    Keys (G, R, D) are the rows of A, values (G, R, W) the columns of B; expert order is task order. For the
    router rows of the ladder the layer also holds a trainable router, one row per expert (router_rank) or per task.
    """

    keys_old: Tensor
    values_old: Tensor
    adapter_of_old: Tensor
    router_old: Tensor

    def __init__(self, site: Site, routing: Routing) -> None:
        super().__init__()
        groups = len(site.parts)
        self.site, self.routing = site, routing
        self.register_buffer("keys_old", torch.zeros(groups, 0, site.d_in))
        self.register_buffer("values_old", torch.zeros(groups, 0, site.width))
        self.keys: nn.Parameter | None = None
        self.values: nn.Parameter | None = None
        if routing.kind.startswith("router"):
            self.register_buffer("router_old", torch.zeros(groups, 0, site.d_in))
            self.register_buffer("adapter_of_old", torch.zeros(0, dtype=torch.long))
            self.router: nn.Parameter | None = None

    def grow(self, rank: int, generator: torch.Generator) -> None:
        """`rank` new experts: keys Kaiming-uniform, values zero; the router, where there is one, gets zero rows."""
        like = self.keys_old
        groups = len(self.site.parts)
        self.keys = nn.Parameter(kaiming_rows(generator, groups, rank, self.site.d_in).to(like))
        self.values = nn.Parameter(like.new_zeros(groups, rank, self.site.width))
        if self.routing.kind.startswith("router"):
            rows = 1 if self.routing.kind == "router_lora" else rank
            # Old rows stay trainable: that is what makes the router forget (our choice, the paper does not say).
            self.router = nn.Parameter(torch.cat([self.router_old, like.new_zeros(groups, rows, self.site.d_in)], 1))

    def fold(self) -> None:
        """Freeze this task's experts: append them, unchanged, to the bank."""
        if self.keys is None or self.values is None:
            raise RuntimeError("nothing to fold: grow() was not called for this task")
        if self.routing.kind.startswith("router"):
            assert self.router is not None
            self.adapter_of_old, self.router_old = self._adapter_of(), self.router.detach().clone()
            self.router = None
        self.keys_old = torch.cat([self.keys_old, self.keys.detach()], 1)
        self.values_old = torch.cat([self.values_old, self.values.detach()], 1)
        self.keys = self.values = None

    def forward(self, x_ND: Tensor) -> Tensor:
        # Old and new experts are multiplied apart, so that no gradient is computed for the frozen bank.
        z_GNR = project(x_ND, self.keys_old)
        if self.keys is not None:
            z_GNR = torch.cat([z_GNR, project(x_ND, self.keys)], -1)
        if self.routing.kind.startswith("router"):
            c_GNR = self._router_weights(x_ND) * z_GNR
        else:
            c_GNR = self_activation(z_GNR, self.routing)
        old = self.keys_old.shape[1]
        update_GNW = c_GNR[..., :old] @ self.values_old
        if self.values is not None:
            update_GNW = torch.baddbmm(update_GNW, c_GNR[..., old:], self.values)
        return update_GNW

    def _adapter_of(self) -> Tensor:
        """For every expert the index of the adapter (task) it belongs to, (R)."""
        adapters, new = self.adapter_of_old, 0 if self.keys is None else self.keys.shape[1]
        following = int(adapters[-1]) + 1 if len(adapters) else 0
        return torch.cat([adapters, adapters.new_full((new,), following)])

    def _router_weights(self, x_ND: Tensor) -> Tensor:
        router_GSD = self.router_old if self.router is None else self.router
        w_GNS: Tensor = project(x_ND, router_GSD).softmax(-1)
        return w_GNS if self.routing.kind == "router_rank" else w_GNS[..., self._adapter_of()]


def activation_scores(z: Tensor) -> Tensor:
    """s = z / max(||z||_2, eps) over the rank axis, old and new experts together (eq. 5)."""
    return z / z.norm(dim=-1, keepdim=True).clamp_min(EPSILON)


def self_activation(z: Tensor, routing: Routing) -> Tensor:
    """Each expert's weighted activation w_i z_i, (..., R), zero outside the budget (eq. 5-7).

    The k largest signed scores share a softmax at temperature tau; at test time those below the threshold fall silent,
    and the remaining weights are not renormalised. `self_activated` is tau = 1, k = R, without a threshold.
    """
    s = activation_scores(z)
    ranks = z.shape[-1]
    if routing.kind == "self_activated":
        return s.softmax(-1) * z
    budget = min(max(routing.budget, MINIMUM_BUDGET), ranks)
    threshold = 0.0 if routing.training or routing.kind == "sparse" else routing.threshold
    if budget == ranks:
        w = (s / routing.temperature).softmax(-1)
        return (w if threshold <= 0 else w * (s >= threshold)) * z
    s_top, top = s.topk(budget, dim=-1, sorted=False)
    w_top = (s_top / routing.temperature).softmax(-1)
    if threshold > 0:
        w_top = w_top * (s_top >= threshold)
    return torch.zeros_like(z).scatter(-1, top, w_top * z.gather(-1, top))
