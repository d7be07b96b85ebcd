"""MoRA's layer against oracle 2 and a plain transcription of equations 5-7."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clsearch.layers.adapted import Site
from clsearch.layers.lora import LoRA
from clsearch.layers.mora import MoRA, Routing, activation_scores, dense_activation, sparse_activation

SITE = Site("site", 12, 5, ("q", "k", "v"))


def bank(routing: Routing, ranks: tuple[int, ...] = (4, 4)) -> MoRA:
    """A layer with one frozen group of experts per entry but the last, whose values are not zero."""
    generator = torch.Generator().manual_seed(0)
    layer = MoRA(SITE, routing).double()
    for i, rank in enumerate(ranks):
        layer.grow(rank, generator)
        assert layer.values is not None
        with torch.no_grad():
            layer.values.normal_(generator=generator)
        if i < len(ranks) - 1:
            layer.fold()
    return layer


def tokens(n: int = 7) -> Tensor:
    return torch.randn(n, SITE.d_in, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_the_paper(layer: MoRA, x: Tensor, tau: float, k: int, delta: float) -> Tensor:
    """Equations 5-7, one token and one part at a time."""
    keys = torch.cat([layer.keys_old, layer.keys], 1) if layer.keys is not None else layer.keys_old
    values = torch.cat([layer.values_old, layer.values], 1) if layer.values is not None else layer.values_old
    out = torch.zeros(len(SITE.parts), len(x), SITE.width, dtype=torch.float64)
    for g in range(len(SITE.parts)):
        for n in range(len(x)):
            z = keys[g] @ x[n]
            s = z / z.pow(2).sum().sqrt()
            chosen = sorted(range(len(s)), key=lambda i: -s[i].item())[: min(max(k, 2), len(s))]
            weight = {i: torch.exp(s[i] / tau) for i in chosen}
            total = sum(weight.values())
            for i in chosen:
                w = weight[i] / total * (1.0 if delta <= 0 or s[i] >= delta else 0.0)
                out[g, n] += w * z[i] * values[g, i]
    return out


SETTINGS = [(0.5, 3, 0.0), (0.05, 3, 0.2), (1.0, 8, 0.1), (0.2, 1, 0.0), (0.3, 99, 0.3)]


# few frozen experts, many (the layer then gathers the active ones), and none
@pytest.mark.parametrize("ranks", [(4, 4), (20, 5, 4), (6,)])
@pytest.mark.parametrize(("tau", "k", "delta"), SETTINGS)
def test_layer_equals_the_equations(tau: float, k: int, delta: float, ranks: tuple[int, ...]) -> None:
    layer, x = bank(Routing("adaptive", tau, k, delta), ranks), tokens()
    assert torch.allclose(layer(x), by_the_paper(layer, x, tau, k, delta), atol=1e-12)
    layer.fold()
    assert torch.allclose(layer(x), by_the_paper(layer, x, tau, k, delta), atol=1e-12)


@pytest.mark.parametrize("ranks", [(4, 4), (20, 5, 4)])
def test_gradients_equal_those_of_the_equations(ranks: tuple[int, ...]) -> None:
    layer, x = bank(Routing("adaptive", 0.2, 3, training=True), ranks), tokens().requires_grad_()
    upstream = torch.randn(3, len(x), SITE.width, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    trained = [x, layer.keys, layer.values]
    ours = torch.autograd.grad((layer(x) * upstream).sum(), trained)
    plain = torch.autograd.grad((by_the_paper(layer, x, 0.2, 3, 0.0) * upstream).sum(), trained)
    for a, b in zip(ours, plain, strict=True):
        assert torch.allclose(a, b, atol=1e-10)


def test_threshold_is_silent_in_training() -> None:
    routing, x = Routing("adaptive", 0.1, 3, 0.9, training=True), tokens()
    layer = bank(routing)
    assert torch.allclose(layer(x), by_the_paper(layer, x, 0.1, 3, 0.0), atol=1e-12)


def weights(z: Tensor, routing: Routing) -> Tensor:
    if routing.is_dense(z.shape[-1]):
        return dense_activation(z, routing) / z
    active, c = sparse_activation(z, routing)
    return torch.zeros_like(z).scatter(-1, active, c / z.gather(-1, active))


def test_weights_sum_to_one_in_training_and_the_threshold_leaves_less() -> None:
    z = torch.randn(50, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for budget in (2, 5, 16):
        w = weights(z, Routing("adaptive", 0.2, budget, 0.3, training=True))
        assert torch.allclose(w.sum(-1), torch.ones(50, dtype=torch.float64))
        assert ((w > 0).sum(-1) == budget).all()
        w_test = weights(z, Routing("adaptive", 0.2, budget, 0.3))
        assert (w_test.sum(-1) <= 1 + 1e-12).all()
        kept = w_test > 0
        assert torch.equal(w_test[kept], w[kept])
        assert (activation_scores(z)[kept] >= 0.3).all()


def test_oracle_2_infinite_temperature_is_incremental_lora_over_the_number_of_ranks() -> None:
    layer, x = bank(Routing("adaptive", 1e9, 99, 0.0)), tokens()
    lora = LoRA(SITE).double()
    lora.down_old = torch.cat([layer.keys_old, layer.keys.detach()], 1)  # type: ignore[union-attr]
    lora.up_old = torch.cat([layer.values_old, layer.values.detach()], 1)  # type: ignore[union-attr]
    assert torch.allclose(layer(x), lora(x) / 8, atol=1e-8)


def test_oracle_2_zero_temperature_is_the_single_best_rank() -> None:
    layer, x = bank(Routing("adaptive", 1e-6, 99, 0.0)), tokens()
    assert torch.allclose(layer(x), best_rank(layer, x), atol=1e-9)


def best_rank(layer: MoRA, x: Tensor) -> Tensor:
    keys, values = torch.cat([layer.keys_old, layer.keys], 1), torch.cat([layer.values_old, layer.values], 1)  # type: ignore[list-item]
    out = []
    for g in range(len(SITE.parts)):
        z = x @ keys[g].T
        best = z.argmax(-1)
        out.append(z.gather(1, best[:, None]) * values[g][best])
    return torch.stack(out)


def test_no_gradient_reaches_the_frozen_bank_and_folding_keeps_it_bit_for_bit() -> None:
    layer = bank(Routing("adaptive", 0.1, 3, training=True))
    before = layer.keys_old.clone(), layer.values_old.clone()
    layer(tokens()).pow(2).sum().backward()
    assert layer.keys_old.grad is None
    assert layer.keys is not None
    assert layer.keys.grad is not None
    assert layer.keys.grad.abs().sum() > 0
    new = layer.keys.detach().clone()
    layer.fold()
    assert torch.equal(layer.keys_old[:, :4], before[0])
    assert torch.equal(layer.values_old[:, :4], before[1])
    assert torch.equal(layer.keys_old[:, 4:], new)


def test_new_ranks_change_nothing_where_none_displaces_an_old_one() -> None:
    """Oracle 1 for MoRA: fresh values are zero, so only norm and top-k can move; with keys 0 they do not."""
    routing, x = Routing("adaptive", 0.1, 2, 0.0), tokens()
    layer = bank(routing, (4,))
    layer.fold()
    before = layer(x)
    layer.grow(4, torch.Generator().manual_seed(3))
    assert layer.keys is not None
    with torch.no_grad():
        layer.keys.zero_()
    positive = (layer.keys_old[0] @ x.T > 0).sum(0) >= 2  # tokens with two old ranks above the new ones' zero
    assert positive.any()
    assert torch.allclose(layer(x)[0, positive], before[0, positive], atol=1e-12)


def test_router_gives_every_rank_of_an_adapter_the_same_weight() -> None:
    layer, x = bank(Routing("router_lora", 1.0, 99), (3, 2)), tokens()
    assert layer.router is not None
    assert layer.router.shape == (3, 2, SITE.d_in)
    with torch.no_grad():
        layer.router.normal_(generator=torch.Generator().manual_seed(4))
    keys, values = torch.cat([layer.keys_old, layer.keys], 1), torch.cat([layer.values_old, layer.values], 1)  # type: ignore[list-item]
    w = torch.stack([(x @ layer.router[g].T).softmax(-1) for g in range(3)])[..., [0, 0, 0, 1, 1]]
    expected = torch.stack([(w[g] * (x @ keys[g].T)) @ values[g] for g in range(3)])
    assert torch.allclose(layer(x), expected, atol=1e-12)
