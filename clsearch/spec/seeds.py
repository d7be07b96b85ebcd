"""Randomness by derivation: every random draw has an address, and nothing is carried over.

A generator's state is never part of a checkpoint: what is drawn at (seed, task, purpose, epoch, example) depends on
that address alone, so a resumed sequence equals an uninterrupted one and workers can be added.
"""

from __future__ import annotations

import hashlib


def derive_seed(*address: int | str) -> int:
    """A 63-bit seed from an address such as (run_seed, task, "batch order", epoch)."""
    text = "\x1f".join(str(part) for part in address)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
