"""Where things are in a store.

sweeps/<sweep>.json                                  identity, once
trials/<sweep>/<number>/claim.json, attempt-<n>.json, end-<n>.json, outcome.json, failed-race-<order>-<seed>.json
verdicts/<sweep>/<n>.json
stages/<key[:2]>/<key>.safetensors
counts/<key[:2]>/<key>-<hash>.json                   of a stage, by eval setting, split and evaluated tasks
backbones/<name>-<precision>-<hash>.json             digest of the weights that stages here were learned on
rows/<sweep>/<trial>-<phase>-<order>-<seed>-t<task>-<eval hash>.parquet

Rows belong to one trial of one sweep. Stages and counts belong to nobody: any trial of any sweep that comes to the same
stage takes them from here. Counts outlive checkpoints (`keep: last | none`), so what was measured once is never learned
again to be measured again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from clsearch.errors import UsageError
from clsearch.results.rows import PHASES

FOLDERS = ("sweeps/", "trials/", "verdicts/", "stages/", "counts/", "backbones/", "rows/")
_SWEEP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_RACE_FAILURE = re.compile(r"failed-race-(?P<order>\d+)-(?P<seed>\d+)\.json")
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


def end_path(sweep: str, trial: int, attempt: int) -> str:
    """How that start ended, and what it took."""
    return f"trials/{checked_name(sweep)}/{trial}/end-{attempt}.json"


def outcome_path(sweep: str, trial: int) -> str:
    """How the trial ended."""
    return f"trials/{checked_name(sweep)}/{trial}/outcome.json"


def race_failure_path(sweep: str, trial: int, order_seed: int, run_seed: int) -> str:
    """That the trial's setting failed on a pair of the race, and why."""
    return f"trials/{checked_name(sweep)}/{trial}/failed-race-{order_seed}-{run_seed}.json"


def parse_race_failure(file: str) -> tuple[int, int] | None:
    """The pair (run seed, order seed) in the name of such a file; None for any other."""
    match = _RACE_FAILURE.fullmatch(file)
    return (int(match["seed"]), int(match["order"])) if match else None


def verdict_path(sweep: str, number: int) -> str:
    """What is to be confirmed; `number` from 1."""
    return f"verdicts/{checked_name(sweep)}/{number}.json"


def stage_path(key: str) -> str:
    """A stage's checkpoint."""
    return f"stages/{key[:2]}/{key}.safetensors"


def counts_prefix(key: str) -> str:
    """What the paths of a stage's counts begin with."""
    return f"counts/{key[:2]}/{key}-"


def counts_path(key: str, name: str) -> str:
    """What the evaluation of a stage gave; `name` is a hash of how and on what it was evaluated."""
    return f"{counts_prefix(key)}{name}.json"


def backbone_prefix(backbone: str, precision: str) -> str:
    """What the paths of a backbone's recorded weights begin with; hub names hold characters that a path may not."""
    return f"backbones/{re.sub(r'[^A-Za-z0-9_.-]', '_', backbone)}-{precision}-"


def backbone_path(backbone: str, precision: str, weights: str) -> str:
    """That stages were learned on a backbone with these weights (a SHA-256)."""
    return f"{backbone_prefix(backbone, precision)}{weights[:16]}.json"


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
