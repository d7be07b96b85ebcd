"""MoRA's adapted layer: rank-1 experts (key a_i, value b_i) that activate themselves (arXiv 2506.21035, eq. 5-7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clsearch.layers.adapted import Adapter, Site, kaiming_rows
from clsearch.layers.largest import largest
from clsearch.layers.lora import project, project_bank

EPSILON = 1e-12  # of the norm in eq. 5, as the CLIP code has it
MINIMUM_BUDGET = 2  # the code's floor of k
GATHER_FROM = 4  # frozen experts per active one from which gathering rows beats the dense product (measured on a CPU)


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

    def is_dense(self, ranks: int) -> bool:
        """Whether every one of `ranks` experts may be active."""
        return self.kind == "self_activated" or self.budget >= ranks or ranks <= MINIMUM_BUDGET

    def active_threshold(self) -> float:
        """The threshold in force: none in training, nor on the ladder's sparse row."""
        return 0.0 if self.training or self.kind != "adaptive" else self.threshold


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
        z_GNR = project_bank(x_ND, self.keys_old, self.keys)
        if self.routing.kind.startswith("router"):
            return self._values(self._router_weights(x_ND) * z_GNR)
        if self.routing.is_dense(z_GNR.shape[-1]):
            return self._values(dense_activation(z_GNR, self.routing))
        return self._active_values(*sparse_activation(z_GNR, self.routing))

    def _values(self, c_GNR: Tensor) -> Tensor:
        """sum_i c_i b_i over all experts."""
        old = self.keys_old.shape[1]
        update_GNW = c_GNR[..., :old] @ self.values_old
        if self.values is not None:
            update_GNW = torch.baddbmm(update_GNW, c_GNR[..., old:], self.values)
        return update_GNW

    def _active_values(self, index_GNK: Tensor, c_GNK: Tensor) -> Tensor:
        """sum_i c_i b_i over the active experts only: most of the bank is silent, and gathering k rows is cheaper."""
        groups, tokens, budget = index_GNK.shape
        old, width = self.keys_old.shape[1], self.site.width
        if old <= GATHER_FROM * budget:
            return self._values(c_GNK.new_zeros(groups, tokens, self.ranks()).scatter(-1, index_GNK, c_GNK))
        is_old = index_GNK < old
        part = torch.arange(groups, device=index_GNK.device)[:, None, None]
        update_NW = F.embedding_bag(
            (index_GNK.clamp_max(old - 1) + part * old).flatten(0, 1),
            self.values_old.flatten(0, 1),
            per_sample_weights=(c_GNK * is_old).flatten(0, 1),
            mode="sum",
        )
        update_GNW = update_NW.view(groups, tokens, width)
        if self.values is not None:
            new = self.values.shape[1]
            c_new_GNR = c_GNK.new_zeros(groups, tokens, new + 1)
            # Column `new` collects what belongs to the frozen bank, and is cut off.
            c_new_GNR = c_new_GNR.scatter(-1, (index_GNK - old).where(~is_old, new), c_GNK)[..., :new]
            update_GNW.baddbmm_(c_new_GNR, self.values)
        return update_GNW

    def ranks(self) -> int:
        """Number of experts, frozen and trainable."""
        return self.keys_old.shape[1] + (0 if self.keys is None else self.keys.shape[1])

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
    s: Tensor = z / z.norm(dim=-1, keepdim=True).clamp_min(EPSILON)
    return s


def dense_activation(z: Tensor, routing: Routing) -> Tensor:
    """w_i z_i of every expert, (..., R), where the budget covers them all (eq. 5-7 with k = R).

    `self_activated` is tau = 1 without a threshold.
    """
    s = activation_scores(z)
    if routing.kind == "self_activated":
        return s.softmax(-1) * z
    w = (s / routing.temperature).softmax(-1)
    return silence(w, s, routing.active_threshold()) * z


def sparse_activation(z: Tensor, routing: Routing) -> tuple[Tensor, Tensor]:
    """Which k experts are active and their w_i z_i, both (..., K) (eq. 5-7).

    The k largest signed scores share a softmax at temperature tau; k has the code's floor of 2.
    """
    # Ranking by z is ranking by s, so scores are only made for the experts that are active.
    active = largest(z, max(routing.budget, MINIMUM_BUDGET))
    z_active = z.gather(-1, active)
    s_active: Tensor = z_active / z.norm(dim=-1, keepdim=True).clamp_min(EPSILON)
    w = (s_active / routing.temperature).softmax(-1)
    return active, silence(w, s_active, routing.active_threshold()) * z_active


def silence(w: Tensor, s: Tensor, threshold: float) -> Tensor:
    """Weights of experts whose score is below the threshold become 0; the others are not renormalised."""
    return w if threshold <= 0 else w * (s >= threshold)
