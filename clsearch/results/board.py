"""What a leaderboard says: one board per benchmark and protocol, its lines ranked, what is left out counted.

Confirmed results (phase confirm, split test) are ranked. A setting that was only searched is listed below them, on
validation and without a rank. Trials that did not learn their whole sequence are hidden, and counted with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from clsearch.results.differences import Difference, differences
from clsearch.results.gaps import ProtocolGap, with_gaps
from clsearch.results.metrics import LOWER_IS_BETTER, METRICS, Floats
from clsearch.results.roles import Role, SweepTrials
from clsearch.results.sequences import Measured, measured_sequences
from clsearch.results.trials import Status, TrialRecord
from clsearch.results.verdicts import Verdict
from clsearch.spec.protocols import read_protocol

PHASES_SHOWN = ("search", "confirm")
INCOMPLETE: tuple[Status, ...] = ("pruned", "failed", "running")


@dataclass(frozen=True)
class Line:
    """One setting of one sweep, measured on one or more pairs of seeds."""

    method: str
    backbone: str
    sweep: str
    trial: int
    role: Role
    confirmed: bool
    phase: str
    split: str
    eval_setting: str
    tasks_total: int
    pairs: tuple[tuple[int, int], ...]  # (run seed, order seed), in the order of the values
    digests: tuple[str | None, ...]  # of the data of each pair's sequence
    values: Mapping[str, Floats]  # metric -> one figure per pair
    trained_parameters: int | None
    stored_parameters: int | None
    trials_spent: int
    seen: str = ""  # of which tasks the figures are, where it is not the whole sequence of the board

    def mean(self, metric: str) -> float:
        return float(self.values[metric].mean())

    def std(self, metric: str) -> float:
        """The sample's standard deviation over pairs; NaN for one pair."""
        return float(self.values[metric].std(ddof=1)) if len(self.pairs) > 1 else float("nan")


@dataclass(frozen=True)
class Board:
    """One table. `hidden` counts what is left out, by reason; `causes` says it of each failed trial."""

    benchmark: str
    protocol: str
    kind: str
    metric: str
    confirmed: tuple[Line, ...]
    unconfirmed: tuple[Line, ...]
    differences: tuple[Difference, ...]
    hidden: Mapping[str, int] = field(default_factory=dict)
    causes: tuple[str, ...] = ()
    gaps: tuple[ProtocolGap, ...] = ()  # to the benchmark's boards before this one


def headline(kind: str) -> str:
    """The metric a kind of benchmark is ranked by when none is asked for."""
    return "average" if kind == "cross_domain" else "final_acc_micro"


def make_boards(
    rows: pa.Table,
    trials: Sequence[TrialRecord],
    identities: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, str],
    metric: str | None = None,
    verdicts: Mapping[str, Sequence[Verdict]] | None = None,
) -> list[Board]:
    """Every board of a store, by benchmark and protocol.

    Args:
        rows: of the phases in PHASES_SHOWN.
        trials: of every sweep.
        identities: sweep -> its identity (benchmark, protocol, method, objective).
        kinds: benchmark -> kind; a benchmark that is not in it counts as cross-domain if tasks were evaluated before
            they were learned.
        metric: a name of METRICS to rank by; None: the headline of the benchmark's kind.
        verdicts: sweep -> its verdicts, in the order in which they were written.
    """
    places: dict[tuple[str, str], list[Measured]] = {}
    sweeps: dict[str, tuple[str, str]] = {
        sweep: (str(identity["benchmark"]), str(identity["protocol"])) for sweep, identity in identities.items()
    }
    for sequence in measured_sequences(rows):
        # A sweep's results are on the board of its own benchmark, whichever it was searched on.
        place = sweeps.setdefault(sequence.sweep, (sequence.benchmark, sequence.protocol))
        places.setdefault(place, []).append(_as_permitted(sequence))
    lives: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        lives.setdefault(sweeps.get(trial.sweep, ("unknown benchmark", "unknown protocol")), []).append(trial)
    found = sorted({*places, *lives})
    return with_gaps(
        _board(place, places.get(place, []), lives.get(place, []), identities, kinds, metric, verdicts or {})
        for place in found
    )


def _board(
    place: tuple[str, str],
    sequences: list[Measured],
    trials: list[TrialRecord],
    identities: Mapping[str, Mapping[str, Any]],
    kinds: Mapping[str, str],
    metric: str | None,
    verdicts: Mapping[str, Sequence[Verdict]],
) -> Board:
    benchmark, protocol = place
    kind = kinds.get(benchmark) or _kind(sequences)
    chosen = metric or headline(kind)
    names = {sequence.sweep for sequence in sequences}
    sweeps = {name: SweepTrials(name, trials, identities.get(name, {}), verdicts.get(name, ())) for name in names}
    tested = [s for s in sequences if (s.phase, s.split) == ("confirm", "test")]
    searched = [s for s in sequences if (s.phase, s.split) == ("search", "validation")]
    whole = {id(s) for s in sequences if s.complete(kinds.get(s.benchmark, kind) == "cross_domain")}
    # A winner that was confirmed and then overtaken (trials= may grow) is not ranked: the best of several confirmed
    # settings would be chosen by test.
    confirmed = [
        line for line in _lines((s for s in tested if id(s) in whole), sweeps, benchmark) if line.role != "other"
    ]
    ended = [s for s in searched if id(s) in whole and sweeps[s.sweep].ended(s.trial)]
    unconfirmed = _without(_lines(ended, sweeps, benchmark), confirmed, sweeps)
    return Board(
        benchmark=benchmark,
        protocol=protocol,
        kind=kind,
        metric=chosen,
        confirmed=tuple(ranked(confirmed, chosen)),
        unconfirmed=tuple(ranked(unconfirmed, chosen)),
        differences=tuple(differences(confirmed, chosen, sweeps)),
        hidden=_hidden(trials, ended, [s for s in tested if id(s) not in whole]),
        causes=tuple(_cause(trial) for trial in trials if trial.status == "failed"),
    )


def _as_permitted(sequence: Measured) -> Measured:
    """A searched sequence with the entries that its protocol let choose, whatever else was measured of it."""
    tasks = read_protocol(sequence.protocol, f"rows of sweep {sequence.sweep}").tasks
    if sequence.phase != "search" or tasks is None:
        return sequence
    return replace(sequence, correct=sequence.correct[:tasks, :tasks], count=sequence.count[:tasks, :tasks])


def _seen(sequence: Measured, benchmark: str) -> str:
    """What a searched sequence was measured on, where that is not the whole sequence of the benchmark."""
    if sequence.benchmark != benchmark:
        return f"all of {sequence.benchmark}"
    tasks = read_protocol(sequence.protocol, f"rows of sweep {sequence.sweep}").tasks
    return f"first {tasks} tasks" if sequence.phase == "search" and tasks is not None else ""


def _without(searched: list[Line], confirmed: list[Line], sweeps: Mapping[str, SweepTrials]) -> list[Line]:
    """The searched lines worth a look: best and published where they are not confirmed, and rows without a trial."""
    known = {(line.sweep, line.method, part) for line in confirmed for part in line.role.split(" = ")}

    def shown(line: Line) -> bool:
        if line.role == "other":
            return sweeps[line.sweep].unclaimed(line.trial)
        return not all((line.sweep, line.method, part) in known for part in line.role.split(" = "))

    return [line for line in searched if shown(line)]


def _hidden(trials: list[TrialRecord], searched: list[Measured], unfinished: list[Measured]) -> dict[str, int]:
    """How much is left out, by reason; `searched` are the whole search sequences, `unfinished` the confirm ones."""
    statuses = Counter(trial.status for trial in trials)
    have_rows = {(sequence.sweep, sequence.trial) for sequence in searched}
    rowless = [t for t in trials if t.status == "complete" and (t.sweep, t.number) not in have_rows]
    counts: dict[str, int] = {status: statuses[status] for status in INCOMPLETE}
    counts["complete trial, but rows are missing"] = len(rowless)
    counts["confirmation not finished"] = len({(s.sweep, s.trial, s.pair) for s in unfinished})
    return {reason: count for reason, count in counts.items() if count}


def _cause(trial: TrialRecord) -> str:
    cause = str((trial.outcome or {}).get("cause") or "no cause was recorded").strip().split("\n")[0]
    return f"{trial.sweep} trial {trial.number} failed: {cause[:200]}"


def _kind(sequences: Iterable[Measured]) -> str:
    ahead = any(np.triu(sequence.count, k=1).any() for sequence in sequences)
    return "cross_domain" if ahead else "class_incremental"


def _lines(sequences: Iterable[Measured], sweeps: Mapping[str, SweepTrials], benchmark: str) -> list[Line]:
    groups: dict[tuple[Any, ...], list[Measured]] = {}
    for s in sequences:
        groups.setdefault((s.method, s.backbone, s.sweep, s.trial, s.eval_setting), []).append(s)
    return [_line(group, sweeps[key[2]], benchmark) for key, group in groups.items()]


def _line(group: list[Measured], sweep: SweepTrials, benchmark: str) -> Line:
    group = sorted(group, key=lambda s: s.pair)
    one = group[-1]
    correct, count = np.stack([s.correct for s in group]), np.stack([s.count for s in group])
    return Line(
        method=one.method,
        backbone=one.backbone,
        sweep=one.sweep,
        trial=one.trial,
        role=sweep.role(one.method, one.trial, one.eval_setting),
        confirmed=one.phase == "confirm",
        phase=one.phase,
        split=one.split,
        eval_setting=one.eval_setting,
        tasks_total=one.tasks_total,
        pairs=tuple(s.pair for s in group),
        digests=tuple(s.data_digest for s in group),
        values={name: np.asarray(metric(correct, count)) for name, metric in METRICS.items()},
        trained_parameters=one.trained_parameters,
        stored_parameters=one.stored_parameters,
        trials_spent=sweep.spent,
        seen=_seen(one, benchmark),
    )


def ranked(lines: Iterable[Line], metric: str) -> list[Line]:
    """Best first by `metric`; lines that do not have it last."""
    sign = 1.0 if metric in LOWER_IS_BETTER else -1.0

    def key(line: Line) -> tuple[bool, float, str, str, int]:
        mean = line.mean(metric)
        return bool(np.isnan(mean)), 0.0 if np.isnan(mean) else sign * mean, line.method, line.sweep, line.trial

    return sorted(lines, key=key)
