"""What a trial costs beside learning and evaluation, and how long a sweep takes to its first training step.

    python -m tests.speed.trials [process | train] [trials]

Runs a real nano sweep in a new process. Printed, from the store's own outcomes: overhead (wall seconds less those of
learning and evaluation) of the first trial of each slot and the median of later ones; seconds from the command to the
first attempt and to the first row; peak memory of the driver and of the largest trial process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from clsearch.results.store import open_store
from clsearch.results.trials import read_trials


def peak_memory(pid: int) -> int:
    """Peak resident kB of a process, 0 once it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def trial_processes() -> list[int]:
    """Ray's worker processes that run a trial: Tune names them after its wrapper of a function."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if command.startswith("ray::") and "ImplicitFunc" in command:
            found.append(int(folder.name))
    return found


def main(runner: str = "process", trials: str = "8") -> None:
    store = open_store(tempfile.mkdtemp())
    words = ["mora_clip", "profile=nano", f"trials={trials}", "confirm.pairs=0", f"runner={runner}"]
    begun = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "clsearch.sweep", *words, f"storage={store.uri}"], stdout=subprocess.DEVNULL
    )
    peaks = {"driver": 0, "trial": 0}

    def watch() -> None:
        while process.poll() is None:
            peaks["driver"] = max(peaks["driver"], peak_memory(process.pid))
            peaks["trial"] = max([peaks["trial"], *map(peak_memory, trial_processes())])
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    watcher.join()
    wall = time.time() - begun
    records = read_trials(store)
    attempts = {r.number: store.get_json(store.attempt_path(r.sweep, r.number, 1)) for r in records}
    first_attempt = min(datetime.fromisoformat(a["started_at"]).timestamp() for a in attempts.values())
    rows = [Path(store.uri, name).stat().st_mtime for name in store.row_names()]
    slots: dict[int, list[float]] = {}
    for record in sorted(records, key=lambda r: attempts[r.number]["started_at"]):
        outcome = record.outcome or {}
        overhead = outcome["wall_seconds"] - outcome["learn_seconds"] - outcome["evaluate_seconds"]
        slots.setdefault(attempts[record.number]["pid"], []).append(overhead)
    firsts = [times[0] for times in slots.values()]
    later = [seconds for times in slots.values() for seconds in times[1:]]
    print(f"{runner}, {trials} trials on {os.cpu_count()} processors: {wall:.1f} s in all, exit code {code}")
    print(f"  overhead: first of a slot {max(firsts):.2f} s", end="")
    print(f", later ones {statistics.median(later):.2f} s (median of {len(later)})" if later else "")
    print(f"  command to first attempt {first_attempt - begun:.1f} s, to first rows {min(rows) - begun:.1f} s")
    print(f"  peak memory: driver {peaks['driver'] / 1024:.0f} MB, trial {peaks['trial'] / 1024:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
