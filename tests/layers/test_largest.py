"""The k largest entries, by numpy or by torch."""

from __future__ import annotations

import pytest
import torch

from clsearch.layers.largest import largest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 2, 7, 20])
def test_the_chosen_are_the_largest(k: int, dtype: torch.dtype) -> None:
    scores = torch.randn(3, 50, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    chosen = largest(scores, k)
    assert chosen.shape == (3, 50, k)
    assert torch.equal(scores.gather(-1, chosen).sort(-1).values, scores.topk(k, -1).values.sort(-1).values)


def test_equal_values_still_give_k_different_entries() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]])
    chosen = largest(scores, 2)
    assert chosen.shape == (2, 2)
    assert len(set(chosen[0].tolist())) == 2
    assert set(chosen[1].tolist()) == {0, 1}
