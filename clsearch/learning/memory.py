"""The peak memory of a process, in GB (1e9 bytes): what a stage needed while it was learned."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # what clear_refs takes for it, see proc(5)


def forget_peak(device: torch.device) -> None:
    """Measure anew from here on: the process may have learned something larger before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        # Where the system cannot forget, or does not let us, the peak since the process began stands.
        with contextlib.suppress(OSError):
            _CLEAR.write_text(_FORGET_PEAK)


def peak_gb(device: torch.device) -> float:
    """The most that was in use since `forget_peak`: of a GPU what torch allocated, else the process's resident set.

    Where the system cannot forget (no /proc, or one that may not be written), it is the peak since the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used * (1 if sys.platform == "darwin" else 1024) / 1e9
