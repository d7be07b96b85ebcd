"""The methods by name; their settings, under the same names, stand in `clsearch.spec.settings`."""

from __future__ import annotations

from clsearch.methods.base import Method
from clsearch.methods.fine_tuning import FineTuning
from clsearch.methods.fm_lora import FMLoRA
from clsearch.methods.frozen import Frozen
from clsearch.methods.lora import IncrementalLoRA, SequentialLoRA
from clsearch.methods.mora import MoRAMethod

METHODS: dict[str, type[Method]] = {
    "mora": MoRAMethod,
    "fm_lora": FMLoRA,
    "sequential_lora": SequentialLoRA,
    "incremental_lora": IncrementalLoRA,
    "fine_tuning": FineTuning,
    "frozen": Frozen,
}
