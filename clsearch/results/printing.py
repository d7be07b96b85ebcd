"""Plain tables of texts, for a terminal, a file or Markdown."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence

from clsearch.results.intervals import Gap


def terminal_table(header: Sequence[str], lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """The table with its columns aligned: the first `left` to the left, the rest to the right.

    Into a file or a pipe the lines are as long as they need to be; a terminal wraps at its own width.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(Text(name, style="bold"), justify="left" if i < left else "right")
    for line in lines:
        table.add_row(*map(Text, line))
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=None if terminal else 10_000, highlight=False, markup=False
    )
    console.print(table)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in str(printed).split("\n"))


def markdown_table(header: Sequence[str], lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """The table in Markdown, aligned as `terminal_table` does."""
    rule = [":--" if i < left else "--:" for i in range(len(header))]
    escaped = ([cell.replace("|", "\\|") for cell in cells] for cells in (header, rule, *lines))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in escaped)


def with_interval(gap: Gap) -> str:
    """`+1.20 [+0.30, +2.10]`; the mean alone where there is no interval."""
    if gap.low is None or gap.high is None:
        return f"{gap.mean:+.2f}"
    return f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
