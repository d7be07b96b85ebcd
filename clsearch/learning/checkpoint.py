"""A stage's checkpoint: one safetensors object with the stage's record in its header. Nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

RECORD = "clsearch"
LENGTH_BYTES = 8  # a safetensors object starts with the length of its JSON header


class DamagedCheckpointError(ValueError):
    """The object is no checkpoint of ours, or not whole."""


@dataclass(frozen=True)
class Checkpoint:
    """All tensors that differ from the backbone, and the facts of the stage that left them."""

    state: dict[str, Tensor]
    record: dict[str, Any]


def encode(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as bytes, in full precision."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in checkpoint.state.items()}
    return safetensors.torch.save(tensors, metadata={RECORD: json.dumps(checkpoint.record, sort_keys=True)})


def decode(data: bytes) -> Checkpoint:
    """The checkpoint in `data`; raises DamagedCheckpointError, whose cause says what is wrong."""
    try:
        state = safetensors.torch.load(data)
        length = int.from_bytes(data[:LENGTH_BYTES], "little")
        record = json.loads(json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])["__metadata__"][RECORD])
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DamagedCheckpointError(str(error)) from error
    return Checkpoint(state, record)
