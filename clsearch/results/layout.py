"""Where things are in a store.

sweeps/<sweep>.json                                  identity, once
trials/<sweep>/<number>/claim.json, attempt-<n>.json, outcome.json
stages/<key[:2]>/<key>.safetensors
rows/<sweep>/<trial>-<phase>-<order>-<seed>-t<task>-<eval hash>.parquet
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from clsearch.errors import UsageError
from clsearch.results.rows import PHASES

FOLDERS = ("sweeps/", "trials/", "stages/", "rows/")
_SWEEP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_ROW_NAME = re.compile(
    rf"rows/(?P<sweep>[^/]+)/(?P<trial>\d+)-(?P<phase>{'|'.join(PHASES)})"
    r"-(?P<order>\d+)-(?P<seed>\d+)-t(?P<task>\d+)-(?P<eval>[0-9a-f]+)\.parquet"
)


def checked_name(sweep: str) -> str:
    """The sweep's name; raises UsageError if it could not be a folder's name everywhere."""
    if not _SWEEP_NAME.fullmatch(sweep):
        raise UsageError(f"sweep name '{sweep}': only letters, digits, '_', '.' and '-' are allowed")
    return sweep


def sweep_path(sweep: str) -> str:
    """The sweep's identity."""
    return f"sweeps/{checked_name(sweep)}.json"


def claim_path(sweep: str, trial: int) -> str:
    """Who asked for the trial, and with which setting."""
    return f"trials/{checked_name(sweep)}/{trial}/claim.json"


def attempt_path(sweep: str, trial: int, attempt: int) -> str:
    """One start of the trial."""
    return f"trials/{checked_name(sweep)}/{trial}/attempt-{attempt}.json"


def outcome_path(sweep: str, trial: int) -> str:
    """How the trial ended."""
    return f"trials/{checked_name(sweep)}/{trial}/outcome.json"


def stage_path(key: str) -> str:
    """A stage's checkpoint."""
    return f"stages/{key[:2]}/{key}.safetensors"


def rows_path(
    sweep: str, trial: int, phase: str, order_seed: int, run_seed: int, task_learned: int, eval_hash: str
) -> str:
    """The rows of one stage of one trial under one eval setting; `eval_hash` as of `spec.keys.eval_hash`."""
    path = f"rows/{checked_name(sweep)}/{trial}-{phase}-{order_seed}-{run_seed}-t{task_learned}-{eval_hash}.parquet"
    if parse_row_name(path) is None:
        raise ValueError(f"{path} is no row file's name: seeds are >= 0, phases are {PHASES}, the hash is hexadecimal")
    return path


@dataclass(frozen=True)
class RowName:
    """What the name of a row file says of its rows."""

    sweep: str
    trial: int
    phase: str
    order_seed: int
    run_seed: int
    task_learned: int
    eval_hash: str


def parse_row_name(path: str) -> RowName | None:
    """The parts of a row file's path; None for a file that is not ours."""
    match = _ROW_NAME.fullmatch(path)
    if match is None:
        return None
    sweep, trial, phase, order, seed, task, eval_hash = match.groups()
    return RowName(sweep, int(trial), phase, int(order), int(seed), int(task), eval_hash)


# These columns are in the name of a row file, and the same in all its rows.
NAMED_COLUMNS = ("trial", "phase", "order_seed", "run_seed", "task_learned")


def may_match(path: str, wanted: Mapping[str, Collection[Any]]) -> bool:
    """Whether a row file's name lets its rows pass column = one of values: files that cannot need not be read."""
    name = parse_row_name(path)
    return name is not None and all(getattr(name, key) in wanted[key] for key in NAMED_COLUMNS if key in wanted)
