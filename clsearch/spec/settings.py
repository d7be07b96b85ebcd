"""What a method can be set to: one frozen dataclass a method, readable without torch.

Each field says when it acts (`train`, `eval` or `both`, see the design's contract), and where its default comes from:
`code` (a public implementation), `paper` (its text), `lost` (the text lost the number; the value is our choice) or
`ours`. A search space names these fields; a dry run knows every default from here.

A field may act only from a later task on (`from_task`): it is no part of what an earlier stage is, so stages before it
are shared by all its values. That is a promise: their checkpoints are the same to the bit (tests/methods).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_origin

from clsearch.errors import UsageError, nearest

Acts = Literal["train", "eval", "both"]
Provenance = Literal["code", "paper", "lost", "ours"]
Family = Literal["vit", "clip"]
Projection = Literal["q", "k", "v", "out", "fc1", "fc2"]


def setting(
    default: Any,
    source: Provenance,
    note: str = "",
    acts: Acts = "train",
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    from_task: int = 1,
) -> Any:
    """A settings field: its default, the source of that default, when it acts (and from which task on it does), and
    the values that make sense.

    `least` belongs to the range, `above` and `below` do not; they bound a number,
    or each number of a list.
    """
    bounds = {"least": least, "above": above, "below": below}
    facts = {"source": source, "note": note, "acts": acts, "from_task": from_task}
    return dataclasses.field(default=default, metadata={**facts, **bounds})


@dataclass(frozen=True)
class MethodSettings:
    """What every method has: how it is optimised. Subclasses restate a default to give it their own source."""

    name: ClassVar[str]
    numerics: ClassVar[int]
    families: ClassVar[tuple[Family, ...]] = ("vit", "clip")
    reads_tasks_total: ClassVar[bool] = False
    reads_inner: ClassVar[bool] = False  # if not, `inner` is learned from along with `train`

    optimiser: Literal["adamw", "adam", "sgd"] = setting("adamw", "ours")
    learning_rate: float = setting(1e-3, "ours", above=0)
    weight_decay: float = setting(0.0, "ours", least=0)
    beta2: float = setting(0.999, "ours", "second moment decay of Adam and AdamW", above=0, below=1)
    momentum: float = setting(0.9, "ours", "of SGD", least=0, below=1)
    schedule: Literal["cosine", "constant"] = setting("cosine", "ours", "per iteration, half-cosine to 0")
    warmup: int = setting(0, "ours", "iterations of linear warm-up", least=0)
    epochs: int = setting(20, "ours", "passes over the task's training images; ignored where iterations > 0", least=1)
    iterations: int = setting(0, "ours", "steps per task; 0: as many as `epochs` asks for", least=0)
    batch: int = setting(128, "ours", "images per step over all workers", least=1)
    label_smoothing: float = setting(0.0, "ours", least=0, below=1)
    clip_text_loss: Literal["none", "published", "present"] = setting(
        "none", "ours", "CLIP: text-side loss averaged over all rows seen so far (published) or over present classes"
    )


@dataclass(frozen=True)
class MoRASettings(MethodSettings):
    """MoRA (arXiv 2506.21035), defaults of the X-TAIL runner in its public code (MoRAM, XTAIL/runner_moram.sh)."""

    name: ClassVar[str] = "mora"
    numerics: ClassVar[int] = 1

    learning_rate: float = setting(5e-4, "code", above=0)
    beta2: float = setting(0.9999, "code", above=0, below=1)
    iterations: int = setting(500, "code", least=0)
    batch: int = setting(64, "code", least=1)
    clip_text_loss: Literal["none", "published", "present"] = setting("published", "code")
    new_rank: int = setting(16, "code", "rank-1 experts added per task, r", least=1)
    activation_budget: int = setting(
        16, "code", "experts active per token, k; a floor of 2 holds", acts="both", least=1
    )
    temperature: float = setting(0.01, "code", "of the softmax over self-activations, tau", acts="both", above=0)
    threshold: float = setting(0.2, "code", "at test time experts below it are silent, delta", acts="eval", least=0)
    projections: tuple[Projection, ...] = setting(("q", "k", "v", "out", "fc1", "fc2"), "code")
    routing: Literal["router_lora", "router_rank", "self_activated", "sparse", "adaptive"] = setting(
        "adaptive", "paper", "the ladder of table 5; adaptive is MoRA", acts="train"
    )


@dataclass(frozen=True)
class FMLoRASettings(MethodSettings):
    """FM-LoRA (arXiv 2504.08823); no public code; most of its numbers were lost with the text we hold."""

    name: ClassVar[str] = "fm_lora"
    numerics: ClassVar[int] = 1
    families: ClassVar[tuple[Family, ...]] = ("vit",)
    reads_inner: ClassVar[bool] = True

    learning_rate: float = setting(1e-3, "lost", above=0)
    weight_decay: float = setting(1e-4, "lost", least=0)
    epochs: int = setting(30, "paper", least=1)
    batch: int = setting(256, "paper", least=1)
    candidate_ranks: tuple[int, ...] = setting((2, 4, 8, 16), "lost", "rising; the last is r_max", least=1)
    rank_selector: Literal["gumbel", "validate", "fixed"] = setting(
        "gumbel", "paper", "fixed: always r_max", from_task=2
    )
    selector_temperature: float = setting(1.0, "lost", "of the Gumbel softmax, tau_g", above=0, from_task=2)
    selector_tolerance: float = setting(
        0.5, "lost", "points of accuracy a smaller rank may cost (validate)", least=0, from_task=2
    )
    selector_learning_rate: float = setting(
        0.05, "ours", "of the selector's weights w; at the rate of the factors they cannot move", from_task=2
    )
    selector_epochs: int = setting(1, "paper", "preliminary epochs per selection", least=1, from_task=2)
    prompt_tokens: int = setting(10, "lost", "length of the shared meta-prompt, m; 0: no meta-prompt", least=0)
    prompt_learning_rate: float = setting(1.0, "ours", "of the meta-prompt, as a multiple of learning_rate", above=0)
    combination: Literal["sum", "last", "continue"] = setting("sum", "ours", "of the tasks' updates at test time")
    orthonormalise: Literal["qr", "svd", "none"] = setting("qr", "ours", "of the shared bases, after task 1")
    projections: tuple[Projection, ...] = setting(("q", "v"), "ours", "as SD-LoRA; the paper: query, key, value or MLP")


@dataclass(frozen=True)
class SequentialLoRASettings(MethodSettings):
    """One LoRA pair per weight, trained on through all tasks."""

    name: ClassVar[str] = "sequential_lora"
    numerics: ClassVar[int] = 1

    learning_rate: float = setting(1e-3, "ours", above=0)
    rank: int = setting(10, "code", least=1)
    projections: tuple[Projection, ...] = setting(("q", "v"), "code")


@dataclass(frozen=True)
class IncrementalLoRASettings(MethodSettings):
    """A new LoRA pair per task, earlier ones frozen and summed, no regulariser."""

    name: ClassVar[str] = "incremental_lora"
    numerics: ClassVar[int] = 1

    learning_rate: float = setting(1e-3, "ours", above=0)
    rank: int = setting(10, "code", least=1)
    projections: tuple[Projection, ...] = setting(("q", "v"), "code")


@dataclass(frozen=True)
class FineTuningSettings(MethodSettings):
    """All weights, task after task: CODA-Prompt's port for ViT, ZSCL's loss for CLIP."""

    name: ClassVar[str] = "fine_tuning"
    numerics: ClassVar[int] = 1

    optimiser: Literal["adamw", "adam", "sgd"] = setting("adam", "code", "CODA-Prompt's fine-tuning")
    learning_rate: float = setting(5e-5, "code", "CODA-Prompt's; CLIP (ZSCL): 1e-5 with AdamW", above=0)


@dataclass(frozen=True)
class FrozenSettings(MethodSettings):
    """The model as it was pre-trained: zero-shot for CLIP, nearest class mean for ViT."""

    name: ClassVar[str] = "frozen"
    numerics: ClassVar[int] = 1

    iterations: int = setting(0, "ours", "nothing is trained", least=0)


METHODS: dict[str, type[MethodSettings]] = {
    cls.name: cls
    for cls in (
        MoRASettings,
        FMLoRASettings,
        SequentialLoRASettings,
        IncrementalLoRASettings,
        FineTuningSettings,
        FrozenSettings,
    )
}


def method_settings(method: str) -> type[MethodSettings]:
    """The settings class of a method; raises UsageError with the nearest name."""
    if method not in METHODS:
        raise UsageError(f"unknown method '{method}': {nearest(method, METHODS)}")
    return METHODS[method]


def fields(method: str) -> dict[str, dataclasses.Field[Any]]:
    """The settable fields of a method, by name."""
    return {field.name: field for field in dataclasses.fields(method_settings(method))}


def acts(method: str, name: str) -> Acts:
    """When a field of a method acts."""
    return typing.cast(Acts, fields(method)[name].metadata["acts"])


def from_task(method: str, name: str) -> int:
    """The first task that a field acts on."""
    return typing.cast(int, fields(method)[name].metadata["from_task"])


def forks(method: str, task: int) -> bool:
    """Whether some field acts from this task on: then sequences that differ in it part after the task before."""
    return any(from_task(method, name) == task for name in fields(method))


def field_type(method: str, name: str) -> Any:
    """The annotated type of a method's field: float, int, bool, str, a Literal, or tuple[item, ...]."""
    return _hints(method)[name]


def coerce(method: str, name: str, value: Any, where: str) -> Any:
    """`value` as the type of the method's field; raises UsageError naming `where` and the field.

    Integers are taken for floats and lists for tuples; nothing else is converted. Bounds of the field are checked.
    """
    known = fields(method)
    if name not in known:
        raise UsageError(f"{where}: method '{method}' has no setting '{name}': {nearest(name, known)}")
    try:
        result = _as_type(field_type(method, name), value)
        _check_bounds(known[name].metadata, result)
        if name == "candidate_ranks" and list(result) != sorted(set(result)):
            raise TypeError("must rise")
    except TypeError as error:
        raise UsageError(f"{where}: '{name}' {error}, not {value!r}") from None
    return result


@functools.cache
def _hints(method: str) -> dict[str, Any]:
    return typing.get_type_hints(method_settings(method))


def _as_type(wanted: Any, value: Any) -> Any:
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted):
            raise TypeError(f"must be one of {', '.join(map(str, get_args(wanted)))}")
        return value
    if get_origin(wanted) is tuple:
        if not isinstance(value, (list, tuple)) or not value:
            raise TypeError("must be a list that is not empty")
        return tuple(_as_type(get_args(wanted)[0], item) for item in value)
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise TypeError(f"must be {_TYPE_NAMES.get(wanted, wanted.__name__)}")
    if wanted is float and not math.isfinite(value):
        raise TypeError("must be a finite number")
    return value


_TYPE_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _check_bounds(metadata: Mapping[str, Any], value: Any) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if type(number) not in (int, float):
            continue
        if metadata["least"] is not None and number < metadata["least"]:
            raise TypeError(f"must be at least {metadata['least']:g}")
        if metadata["above"] is not None and number <= metadata["above"]:
            raise TypeError(f"must be above {metadata['above']:g}")
        if metadata["below"] is not None and number >= metadata["below"]:
            raise TypeError(f"must be below {metadata['below']:g}")


def make_settings(method: str, values: dict[str, Any], where: str = "settings") -> MethodSettings:
    """The method's settings with `values` over its defaults, each value checked; raises UsageError."""
    checked = {name: coerce(method, name, value, where) for name, value in values.items()}
    return method_settings(method)(**checked)
