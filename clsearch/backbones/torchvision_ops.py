"""Let `import torchvision` succeed beside a torch it was not built for.

PyPI's torchvision is built for CUDA torch. Beside a CPU torch its extension does not
load, and `import torchvision` then fails because it registers fake kernels for two
operators that only the extension would have defined. timm and open_clip import
torchvision for image transforms alone, so declaring the operators without a kernel is
enough: nothing here ever calls them. A matching install is left as it is.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# A Library withdraws its operators when it is collected, so it lives as long as the module.
_library: Any = None


def declare_missing_operators() -> None:
    """Define the operators torchvision's import needs, if nothing else does.

    Call it before the first import of timm, open_clip or torchvision; later calls do nothing.
    """
    global _library
    import torch

    if _library is not None or hasattr(torch.ops.torchvision, _OPERATORS[0]):
        return
    if _load_extension():
        return
    # Untyped in torch.
    make: Any = torch.library.Library
    library = make("torchvision", "DEF")
    for name in _OPERATORS:
        library.define(name + _SCHEMA)
    _library = library


def _load_extension() -> bool:
    """Load torchvision's own extension, as its import would; False when it does not load."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    load: Any = torch.ops.load_library
    for path in sorted(Path(spec.origin).parent.glob("_C*")):
        if path.suffix not in {".so", ".pyd", ".dylib"}:
            continue
        try:
            load(str(path))
        except (OSError, ImportError):
            continue
        return hasattr(torch.ops.torchvision, _OPERATORS[0])
    return False
