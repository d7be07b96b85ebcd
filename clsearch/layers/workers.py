"""The workers that learn one sequence together, and the two exact reductions they need.

One process is the ordinary case and costs nothing. With several, every worker holds the same parameters and a share of
each batch. Losses are written so that the *sum* over workers is the loss of the whole batch; gradients, counts and
statistics are therefore summed, and N workers compute what one computes, up to the order of additions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Workers:
    """Rank and number of the processes of one trial; a process group exists where size > 1."""

    rank: int = 0
    size: int = 1

    def share(self, indices: Tensor) -> Tensor:
        """This worker's part of a batch given as global indices (B,); parts differ by one element at most."""
        return indices[self.rank :: self.size]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of `tensor` over workers, outside the graph."""
        if self.size > 1:
            tensor = tensor.clone()
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over workers, in one message; a missing gradient counts as zero."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
        dist.all_reduce(flat)
        for parameter, part in zip(trained, torch.split(flat, [p.numel() for p in trained]), strict=True):
            parameter.grad = part.view_as(parameter)

    def gather(self, features: Tensor) -> Tensor:
        """All workers' rows (b, ...) as one (B, ...), with gradient; for losses that couple the batch.

        The backward pass sums the gradients that every worker has for a row, so a loss that each worker computes on
        the gathered rows must be divided by `size` (the sum over workers is then the loss once).
        """
        if self.size == 1:
            return features
        gathered: Tensor = _Gather.apply(features, self)  # type: ignore[no-untyped-call]
        return gathered

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every worker."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def largest(self, value: float) -> float:
        """The largest of the workers' values."""
        if self.size == 1:
            return value
        box: list[float] = [value] * self.size
        dist.all_gather_object(box, value)
        return max(box)

    def barrier(self) -> None:
        """Wait for every worker."""
        if self.size > 1:
            dist.barrier()


class _Gather(torch.autograd.Function):
    """All-gather of rows of unequal number; its gradient is the sum over workers, cut to this worker's rows."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, workers: Workers) -> Tensor:
        count = torch.zeros(workers.size, dtype=torch.long, device=features.device)
        count[workers.rank] = len(features)
        dist.all_reduce(count)
        ctx.workers, ctx.counts = workers, count.tolist()
        padded = features.new_zeros(int(count.max()), *features.shape[1:])
        padded[: len(features)] = features
        parts = [torch.empty_like(padded) for _ in range(workers.size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, ctx.counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = ctx.workers.sum(gradients[0].contiguous())
        mine: Tensor = torch.split(total, ctx.counts)[ctx.workers.rank]
        return mine, None
