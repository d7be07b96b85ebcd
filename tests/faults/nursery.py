"""Drivers of a sweep that start at once: this process has imported everything, and every driver is a fork of it.

Each line of its input is the words of a sweep. It answers with the driver's process id, which leads a process group of
its own, and, when that has ended, with its exit code.
"""

from __future__ import annotations

import os
import sys

import known_curves

from clsearch.results.store import open_store
from clsearch.search.run import run_sweep
from clsearch.spec.sweep import load_sweep


def main() -> None:
    """Until the end of input."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            log = os.open(os.environ["CLSEARCH_TEST_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            name, *overrides = line.split()
            spec = load_sweep(name, overrides)
            os._exit(run_sweep(spec, open_store(spec.storage), known_curves.learn_slowly))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
