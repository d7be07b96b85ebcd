"""F-LoRA's layer against oracle 3."""

from __future__ import annotations

import pytest
import torch

from clsearch.layers.adapted import Site
from clsearch.layers.factorised import FLoRA
from clsearch.layers.rank_selector import RankSelector, smallest_sufficient

SITE = Site("site", 20, 14, ("q", "v"))


def learned(tasks: tuple[int, ...], orthonormalise: bool = True) -> tuple[FLoRA, list[torch.Tensor]]:
    """A layer after tasks of these ranks with random factors, and each task's dense update (G, W, D)."""
    generator = torch.Generator().manual_seed(0)
    layer, updates = FLoRA(SITE, 6, generator).double(), []
    for t, rank in enumerate(tasks):
        layer.grow(rank)
        assert layer.m is not None
        assert layer.n is not None
        with torch.no_grad():
            layer.m.normal_(generator=generator)
            layer.n.normal_(generator=generator)
        before = dense(layer, layer.core)
        updates.append(dense(layer, layer.core + layer.current_core()) - before)
        layer.fold()
        if t == 0:
            layer.freeze_bases()
            if orthonormalise:
                layer.orthonormalise("qr")
    return layer, updates


def dense(layer: FLoRA, core: torch.Tensor) -> torch.Tensor:
    return (layer.basis_out.mT @ core @ layer.basis_in).detach()


def test_layer_applies_its_dense_update() -> None:
    layer, updates = learned((6, 3))
    x = torch.randn(5, SITE.d_in, dtype=torch.float64)
    assert torch.allclose(layer(x), torch.stack([x @ u.T for u in sum(updates)]), atol=1e-10)  # type: ignore[arg-type]


def test_oracle_3_the_sum_of_updates_has_rank_r_max_at_most() -> None:
    _, updates = learned((6, 2, 4, 6, 6))
    total = sum(updates)
    assert isinstance(total, torch.Tensor)
    assert (torch.linalg.matrix_rank(total) <= 6).all()


def test_oracle_3_later_updates_live_in_the_prefix_of_the_shared_bases() -> None:
    layer, updates = learned((6, 2, 4))
    for update, rank in zip(updates[1:], (2, 4), strict=True):
        for g in range(2):
            out, into = layer.basis_out[g, :rank].mT, layer.basis_in[g, :rank].mT
            assert torch.allclose(out @ (out.mT @ update[g]), update[g], atol=1e-10)
            assert torch.allclose(update[g] @ into @ into.mT, update[g], atol=1e-10)


@pytest.mark.parametrize("how", ["qr", "svd"])
def test_oracle_3_making_the_bases_orthonormal_changes_no_output(how: str) -> None:
    layer, _ = learned((6,), orthonormalise=False)
    x = torch.randn(5, SITE.d_in, dtype=torch.float64)
    before = layer(x)
    layer.orthonormalise(how)  # type: ignore[arg-type]
    assert torch.allclose(layer(x), before, atol=1e-10)
    for basis in (layer.basis_out, layer.basis_in):
        assert torch.allclose(basis @ basis.mT, torch.eye(6, dtype=torch.float64).expand(2, 6, 6), atol=1e-10)
    if how == "svd":
        strengths = layer.core.diagonal(dim1=-2, dim2=-1)
        assert torch.allclose(layer.core, torch.diag_embed(strengths), atol=1e-8)
        assert (strengths.diff() <= 1e-10).all()


def test_oracle_3_gradients_of_the_factors() -> None:
    layer, _ = learned((6,))
    layer.grow(4)
    assert layer.m is not None
    assert layer.n is not None
    with torch.no_grad():
        layer.n.normal_(generator=torch.Generator().manual_seed(5))
    x = torch.randn(9, SITE.d_in, dtype=torch.float64)
    y = layer(x)
    upstream = torch.randn_like(y)
    (y * upstream).sum().backward()
    for g in range(2):
        dense_gradient = upstream[g].mT @ x  # G = dL / d(dW)
        a, b = layer.basis_out[g, :4].mT, layer.basis_in[g, :4].mT
        assert torch.allclose(layer.m.grad[g], a.mT @ dense_gradient @ b @ layer.n[g], atol=1e-9)  # type: ignore[index]
        assert torch.allclose(layer.n.grad[g], b.mT @ dense_gradient.mT @ a @ layer.m[g], atol=1e-9)  # type: ignore[index]


def test_interference_of_two_tasks_is_a_trace_of_their_factors() -> None:
    layer, updates = learned((6, 4, 4))
    cores = [layer.basis_out @ u @ layer.basis_in.mT for u in updates[1:]]
    inner = (updates[1] * updates[2]).sum((-2, -1))
    assert torch.allclose(inner, (cores[0] * cores[1]).sum((-2, -1)), atol=1e-9)


def test_added_parameters_per_task_and_weight_are_twice_the_rank_squared() -> None:
    layer, _ = learned((6,))
    layer.grow(3)
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == len(SITE.parts) * 2 * 3**2


def test_combination_last_forgets_and_continue_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, SITE.d_in, dtype=torch.float64)
    for combination, same in (("last", False), ("continue", True)):
        layer = FLoRA(SITE, 4, generator, combination).double()  # type: ignore[arg-type]
        layer.grow(4)
        assert layer.n is not None
        with torch.no_grad():
            layer.n.normal_(generator=generator)
        learned_output = layer(x)
        layer.fold()
        assert torch.allclose(layer(x), learned_output)
        layer.orthonormalise("svd")
        layer.grow(4)
        assert torch.allclose(layer(x), learned_output if same else torch.zeros_like(learned_output), atol=1e-10)


def test_the_relaxed_mask_is_the_prefix_of_the_chosen_rank_and_carries_a_gradient() -> None:
    selector = RankSelector((2, 4, 8), 1.0)
    masks = [selector.sample_mask(0.7, torch.Generator().manual_seed(seed)) for seed in range(40)]
    sizes = {int(mask.detach().round().sum()) for mask in masks}
    assert sizes == {2, 4, 8}
    for mask in masks:
        ones = int(mask.detach().round().sum())
        assert torch.allclose(mask.detach(), (torch.arange(8) < ones).float(), atol=1e-6)
    masks[0].sum().backward()
    assert selector.weights.grad is not None
    assert selector.weights.grad.abs().sum() > 0


def test_a_mask_at_full_rank_changes_nothing_and_a_prefix_equals_the_smaller_rank() -> None:
    layer, _ = learned((6,))
    x = torch.randn(5, SITE.d_in, dtype=torch.float64)
    layer.grow(6)
    assert layer.m is not None
    assert layer.n is not None
    with torch.no_grad():
        layer.n.normal_(generator=torch.Generator().manual_seed(7))
    m, n, full = layer.m.detach().clone(), layer.n.detach().clone(), layer(x)
    layer.rank_mask = torch.ones(6, dtype=torch.float64)
    assert torch.allclose(layer(x), full)
    layer.rank_mask = (torch.arange(6) < 2).double()
    masked_core = layer.current_core()
    assert torch.allclose(masked_core[:, :2, :2], (m @ n.mT)[:, :2, :2])
    assert masked_core[:, 2:].abs().sum() + masked_core[:, :, 2:].abs().sum() == 0


def test_harder_tasks_prefer_larger_ranks_at_the_start() -> None:
    selector = RankSelector((2, 4, 8, 16), 1.0)
    easy, hard = selector.probabilities(0.1), selector.probabilities(3.0)
    assert hard[-1] > easy[-1]
    assert hard[0] < easy[0]


def test_the_smallest_rank_that_comes_close_is_taken() -> None:
    assert smallest_sufficient((2, 4, 8), (70.0, 79.6, 80.0), 0.5) == 4
    assert smallest_sufficient((2, 4, 8), (70.0, 79.4, 80.0), 0.5) == 8
    assert smallest_sufficient((2, 4, 8), (80.0, 80.0, 80.0), 0.0) == 2
