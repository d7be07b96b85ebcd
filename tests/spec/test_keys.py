"""Keys of stages: one text for one value, and the same key tomorrow."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch.spec import keys

FACTS = {
    "method": "mora",
    "numerics": 1,
    "settings": {"learning_rate": 5e-4, "new_rank": 16, "projections": ("q", "v")},
    "run_seed": 0,
    "data": "é",
}


def test_golden_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that changes voids every stored stage: raise `numerics` instead, or know what you do."""
    monkeypatch.setattr(keys, "ENGINE_NUMERICS", 1)
    first = keys.stage_key(None, FACTS)
    assert first == "01dba5ba1ef921a0a54c46a1702e3db55ddab3643408acf32a54be1bba281004"
    assert keys.stage_key(first, FACTS) == "c4ee0cafe0858c5f30b58e9b334fa2467447e650abcb0971dc69c8f32a68648d"
    monkeypatch.setattr(keys, "ENGINE_NUMERICS", 2)
    assert keys.stage_key(None, FACTS) != first


def test_golden_eval_hash() -> None:
    assert keys.eval_hash({}) == "44136fa355b3"
    assert keys.eval_hash({"threshold": 0.2}) == "cc1bd4377dca"


def test_order_of_keys_and_kind_of_list_do_not_matter() -> None:
    assert keys.canonical_json({"b": (1, 2), "a": 0.1}) == keys.canonical_json({"a": 0.1, "b": [1, 2]})
    assert keys.canonical_json(1) != keys.canonical_json(1.0)


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}])
def test_no_number_that_json_does_not_know(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        keys.canonical_json(value)


@pytest.mark.parametrize("value", [{1: "a"}, {"a": [{True: 1}]}, {"a": {1, 2}}, b"a"])
def test_nothing_but_plain_data(value: Any) -> None:
    with pytest.raises(TypeError):
        keys.canonical_json(value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_canonical_json_keeps_every_bit(value: Any) -> None:
    text = keys.canonical_json(value)
    assert json.loads(text) == value
    assert keys.canonical_json(json.loads(text)) == text
