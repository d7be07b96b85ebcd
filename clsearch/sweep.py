"""Door: `python -m clsearch.sweep NAME [NAME ...] [key=value ...] [--dry-run]` runs sweeps, one after the other."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace

from clsearch.benchmarks.catalogue import missing_files
from clsearch.errors import EXIT_FAILED_TRIALS, EXIT_USAGE, UsageError, nearest
from clsearch.results.store import Store, open_store
from clsearch.results.trials import read_trials
from clsearch.search.reuse import known_stages
from clsearch.search.savings import stopping_lines
from clsearch.spec.identity import check_identity
from clsearch.spec.locate import known_sweeps
from clsearch.spec.plan import make_plan
from clsearch.spec.show import render
from clsearch.spec.sweep import SweepSpec, load_sweep

HELP = """\
usage: python -m clsearch.sweep NAME [NAME ...] [key=value ...] [--dry-run]

  NAME        a sweep file's name (below) or path; several run one after the other
  key=value   overrides with dots: trials=32 storage=s3://bucket/prefix profile=pocket
              settings.batch=32 space.temperature.high=0.2 confirm.pairs=5 name=my_sweep
  --dry-run   print the resolved sweep, what the store holds of it and what is left; start nothing

The same command again carries on: what is finished is not learned again.
"""
_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")
_OPTIONS = ("--dry-run", "--help", "-h")


def main(argv: Sequence[str]) -> int:
    """Run the sweeps that the command line asks for; returns the process's exit code.

    0: all done; 2: something must be mended (what was learned until then is kept); 3: a sweep ended with failed trials.
    """
    try:
        if {"-h", "--help"} & set(argv):
            print(HELP + "\nsweeps: " + ", ".join(known_sweeps()))
            return 0
        names, overrides, dry_run = _parse(argv)
        specs = [load_sweep(name, overrides) for name in names]
        _check_names(specs)
        return _show(specs) if dry_run else _run(specs)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE


def _parse(argv: Sequence[str]) -> tuple[list[str], list[str], bool]:
    names, overrides = [], []
    for word in argv:
        if _OVERRIDE.match(word):
            overrides.append(word)
        elif not word.startswith("-"):
            names.append(word)
        elif word not in _OPTIONS:
            raise UsageError(f"unknown option '{word}': {nearest(word, _OPTIONS)}")
    if not names:
        raise UsageError(f"which sweep? name one of {', '.join(known_sweeps())}, or a sweep file")
    return names, overrides, "--dry-run" in argv


def _check_names(specs: Sequence[SweepSpec]) -> None:
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two of these sweeps would be named '{name}': run them one by one, each with name=")


def _show(specs: Sequence[SweepSpec]) -> int:
    for spec in specs:
        store = open_store(spec.storage, create=False)
        plan = replace(make_plan(spec, store), reusable=known_stages(spec, store))
        print(render(plan, stopping_lines(spec, read_trials(store, spec.name))))
        for absent in filter(None, map(missing_files, spec.benchmarks())):
            print(f"warning: the sweep cannot start yet: {absent}")
        print()
    return 0


def _run(specs: Sequence[SweepSpec]) -> int:
    """Check everything that can be checked before the first sweep starts, then run them."""
    for spec in specs:
        for absent in filter(None, map(missing_files, spec.benchmarks())):
            raise UsageError(absent)
    stores: list[Store] = []
    for spec in specs:
        stores.append(open_store(spec.storage))
        check_identity(spec, stores[-1])

    # ray and torch: seconds that a wrong command need not wait for
    from clsearch.search.cluster import ray_cluster
    from clsearch.search.run import run_sweep

    code = 0
    with ray_cluster():
        for spec, store in zip(specs, stores, strict=True):
            for note in spec.notes:
                print(f"note: {note}")
            code = max(code, run_sweep(spec, store))
            if code > EXIT_FAILED_TRIALS:  # interrupted: the sweeps after this one are not wanted either
                break
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
