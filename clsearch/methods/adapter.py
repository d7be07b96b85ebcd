"""What all adapter methods share: adapters on the backbone's linear layers under the family's classifier."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import Adapter, Site, attach, replace_tensors
from clsearch.methods.base import prefixed, under
from clsearch.methods.classifiers import ClassifierMethod


class AdapterMethod(ClassifierMethod):
    """Adapters on every layer that computes one of the setting's projections; a subclass says which."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.adapters: Mapping[str, Any] = attach(self.backbone.linears(), self.settings.projections, self.make_adapter)

    @abc.abstractmethod
    def make_adapter(self, site: Site) -> Adapter:
        """The adapter of one site, at the start of the sequence."""

    def feature_parameters(self) -> list[nn.Parameter]:
        return [p for adapter in self.adapters.values() for p in adapter.parameters() if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        state = prefixed("classifier", self.classifier.state())
        for name, adapter in self.adapters.items():
            state |= prefixed(f"adapters.{name}", adapter.state_dict())
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.classifier.load_state(under("classifier", state))
        for name, adapter in self.adapters.items():
            replace_tensors(adapter, under(f"adapters.{name}", state))

    def adapter_generator(self, name: str, *address: int | str) -> torch.Generator:
        """A generator for one adapter's draws."""
        return self.generator(*address, "adapter", name)
