"""Where an adapter meets a frozen linear layer.

A *site* is one linear layer of the backbone and the output parts of it that are adapted. Attention keeps q, k, v in one
fused layer, so a site there has up to three parts that share their input; every other site has one. An adapter is a
module that maps inputs (..., d_in) to one update (..., width) per part, in the order of the site's parts.

Shape suffixes in this package: N tokens (batch and length flattened), G parts, R ranks, D input width, W part width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

FUSED = ("q", "k", "v")


@dataclass(frozen=True)
class Linear:
    """An adaptable linear layer of a backbone: where it hangs, and the projections it computes, in output order."""

    name: str
    parent: nn.Module
    attribute: str
    projections: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """The shape of an adapter: `parts` of equal `width` that share an input of width `d_in`."""

    name: str
    d_in: int
    width: int
    parts: tuple[str, ...]


class Adapter(nn.Module):
    """Base of all adapters: inputs (N, D) to updates (G, N, W); subclasses hold the mathematics."""

    def forward(self, x_ND: Tensor) -> Tensor:
        raise NotImplementedError


class AdaptedLinear(nn.Module):
    """y = W0 x + b0, plus the adapter's update on the adapted output parts."""

    def __init__(self, base: nn.Linear, starts: Sequence[int], width: int, adapter: Adapter) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter
        self.starts, self.width = tuple(starts), width

    @property
    def weight(self) -> Tensor:
        """The frozen weight; libraries read its dtype."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        update_GNW: Tensor = self.adapter(x.reshape(-1, x.shape[-1]))
        if len(self.starts) == 1 and self.width == y.shape[-1]:
            return y + update_GNW[0].view_as(y)
        y_NO = y.reshape(-1, y.shape[-1])
        if len(self.starts) * self.width == y.shape[-1]:
            return (y_NO.view(len(y_NO), len(self.starts), self.width) + update_GNW.transpose(0, 1)).view_as(y)
        for start, update_NW in zip(self.starts, update_GNW, strict=True):
            y_NO[:, start : start + self.width] += update_NW
        return y_NO.view_as(y)


def attach(
    linears: Sequence[Linear], projections: Sequence[str], make: Callable[[Site], Adapter]
) -> Mapping[str, Adapter]:
    """Put an adapter made by `make` on every linear layer that computes one of `projections`; returns them by name.

    Raises ValueError for a projection that no layer computes.
    """
    known = {p for linear in linears for p in linear.projections}
    if unknown := [p for p in projections if p not in known]:
        raise ValueError(f"this backbone has no projection {unknown[0]!r}; it has {sorted(known)}")
    adapters: dict[str, Adapter] = {}
    for linear in linears:
        parts = tuple(p for p in linear.projections if p in projections)
        if not parts:
            continue
        base = getattr(linear.parent, linear.attribute)
        width = base.out_features // len(linear.projections)
        adapter = make(Site(linear.name, base.in_features, width, parts)).to(base.weight.device, base.weight.dtype)
        starts = [linear.projections.index(p) * width for p in parts]
        setattr(linear.parent, linear.attribute, AdaptedLinear(base, starts, width, adapter))
        adapters[linear.name] = adapter
    return adapters


def kaiming_rows(generator: torch.Generator, *shape: int) -> Tensor:
    """LoRA's initialisation of A: uniform on +-1/sqrt(d_in), the last axis being d_in (Kaiming with a = sqrt 5)."""
    bound = shape[-1] ** -0.5
    return torch.empty(*shape).uniform_(-bound, bound, generator=generator)


def replace_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put `tensors` in place of the module's parameters and buffers of those names, whatever their shapes were, on the
    module's device.

    Raises KeyError where the names differ: a checkpoint of another method or setting.
    """
    expected = set(module.state_dict())
    if expected != set(tensors):
        raise KeyError(f"state names differ: {sorted(expected ^ set(tensors))[:3]}")
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        before = getattr(owner, leaf)
        value = tensor.detach().to(before.device, copy=True)
        if isinstance(before, nn.Parameter):
            value = nn.Parameter(value, requires_grad=before.requires_grad)
        setattr(owner, leaf, value)
