"""What one sees of a running sweep: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.table import Table

from clsearch.execution.job import Job
from clsearch.spec.sweep import SweepSpec

_MOST_PAIRS = 1000
_SHOWN = 24  # lines of the live table; older finished trials scroll out of it


@dataclass
class Line:
    """One job as it stands."""

    name: str
    state: str = "waiting"
    task: int = 0
    tasks_total: int = 0
    metric: float | None = None
    only_test: bool = False  # a figure on test images is not for the eyes of who tunes
    started: float = 0.0
    seconds: float = 0.0


class Board(Callback):
    """Follows a sweep through Tune's callbacks; counts stages, prints the first traceback.

    Attributes:
        stages_learned, stages_reused: stages finished in this run, by learning or from the store.
    """

    def __init__(self, spec: SweepSpec, best: float | None) -> None:
        self.stages_learned = 0
        self.stages_reused = 0
        self._spec = spec
        self._best = best
        self._lines: dict[str, Line] = {}
        self._traceback_shown = False
        self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, refresh_per_second=2, get_renderable=self._table)
        self._on_terminal = self._console.is_terminal

    def __enter__(self) -> Board:
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._on_terminal:
            self._live.stop()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks into scratch; a console cannot be

    def say(self, text: str) -> None:
        """Print a line, above the table where there is one."""
        self._console.print(text, markup=False)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial process took up the job."""
        line = self._line(trial)
        line.state, line.started = "running", time.monotonic()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A task was finished, or the job ended."""
        line = self._line(trial)
        line.seconds = time.monotonic() - line.started
        if "status" in result:
            self._ended(line, result)
        elif "task" in result:
            self._task(line, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The job ended; one that did not say how was stopped."""
        line = self._line(trial)
        if line.state == "running":
            line.state = "stopped"

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's process ended without a word and is started again."""
        line = self._line(trial)
        line.state = "lost"
        self.say(f"trial {line.name}: its process was lost; it goes on in a new one")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's process ended without a word once more, and is given up."""
        line = self._line(trial)
        line.state = "lost"
        self.say(f"trial {line.name}: its process was lost again and is given up")

    def _task(self, line: Line, result: dict[str, Any]) -> None:
        line.task, line.tasks_total = result["task"], result["tasks_total"]
        line.metric = None if line.only_test else result["metric"]
        self.stages_reused += bool(result["reused"])
        self.stages_learned += not result["reused"]
        if not self._on_terminal:
            source = "from the store" if result["reused"] else "learned"
            self.say(
                f"trial {line.name}  task {line.task}/{line.tasks_total}  {self._spec.objective.metric} "
                f"{_percent(line.metric)}  best {_percent(self._best)}  {line.seconds:.1f} s  {source}"
            )

    def _ended(self, line: Line, result: dict[str, Any]) -> None:
        line.state = result["status"]
        objective = result.get("objective")
        if objective is not None:
            line.metric = objective
        if result.get("violations"):
            line.state = f"over {', '.join(result['violations'])}"
            excess = ", ".join(f"{name} by {by:g}" for name, by in result["violations"].items())
            self.say(f"trial {line.name} is over a constraint, and cannot be the best: {excess}")
        elif objective is not None:
            better = max if self._spec.objective.direction == "max" else min
            self._best = objective if self._best is None else better(self._best, objective)
        if line.state in ("failed", "blocked"):
            self.say(f"trial {line.name} {line.state}: {result.get('cause')}")
        if result.get("traceback") and not self._traceback_shown:
            self._traceback_shown = True
            self.say(result["traceback"].rstrip())

    def _line(self, trial: Any) -> Line:
        if trial.trial_id not in self._lines:
            job = Job.from_config(trial.config)
            self._lines[trial.trial_id] = Line(job_name(self._spec, job), only_test=job.phase == "analysis")
        return self._lines[trial.trial_id]

    def _table(self) -> Table:
        table = Table(title=f"sweep {self._spec.name}", title_justify="left")
        for name in ("trial", "tasks", self._spec.objective.metric, "best", "seconds", "state"):
            table.add_column(name, justify="left" if name in ("trial", "state") else "right")
        lines = list(self._lines.values())
        running = [line for line in lines if line.state == "running"]
        ended = [line for line in lines if line.state != "running"]
        for line in ended[-max(1, _SHOWN - len(running)) :] + running[:_SHOWN]:
            seconds = time.monotonic() - line.started if line.state == "running" else line.seconds
            done = f"{line.task}/{line.tasks_total}" if line.tasks_total else "-"
            figures = (done, _percent(line.metric), _percent(self._best), f"{seconds:.0f}")
            table.add_row(line.name, *figures, line.state)
        return table


def job_name(spec: SweepSpec, job: Job) -> str:
    """A job in a word or two: the trial's number, and for a confirmation which pair of seeds."""
    if job.phase == "search":
        return str(job.trial)
    seeds = [spec.seeds, *(spec.confirm_seeds() if job.phase == "confirm" else spec.race_seeds(_MOST_PAIRS))]
    pair = [(known.run, known.order) for known in seeds].index((job.run_seed, job.order_seed))
    return f"{job.trial} {job.phase} {pair}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
