"""The errors that are the user's to mend, and the help to mend them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_USAGE = 2
EXIT_FAILED_TRIALS = 3


class UsageError(Exception):
    """What was asked cannot be done; the message says which file and key, and what would be valid.

    Every door prints the message as one sentence, without a traceback, and ends with exit code 2.
    """


def nearest(name: str, valid: Iterable[str]) -> str:
    """A sentence ending that names the valid name closest to `name`, or all of them where none is close."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "valid are: " + ", ".join(names) if names else "there is none"
