"""Golden numbers: what each method computes, at the `numerics` version it claims.

python -m tests.methods.golden        writes golden.json anew; do it together with a raised numerics version
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clsearch.spec.keys import ENGINE_NUMERICS
from clsearch.spec.settings import method_settings
from tests.methods.nano import CASES, Nano

FILE = Path(__file__).with_name("golden.json")


def measure(case: str) -> dict[str, Any]:
    """Losses, state norms and scores of a real two-task sequence in float64."""
    nano = Nano(case)
    nano.learn(1)
    nano.learn(2)
    scores = nano.scores(1)
    return {
        "numerics": {"engine": ENGINE_NUMERICS, "method": method_settings(CASES[case][0]).numerics},
        "losses": nano.losses,
        "norms": {
            name: float(tensor.norm())
            for name, tensor in sorted(nano.method.state().items())
            if tensor.is_floating_point() and tensor.numel()
        },
        "scores": scores[:3].flatten().tolist(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps({case: measure(case) for case in CASES}, indent=1) + "\n")
