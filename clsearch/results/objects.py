"""What a store stands on: named, immutable byte objects, and the two ways in which that can fail."""

from __future__ import annotations

from typing import Protocol

from clsearch.errors import UsageError

Paths = list[str]  # in a class with a method `list`, that name no longer means the type


class StoreError(UsageError):
    """The store, or one object of it, cannot be used; the message names it and says what to do."""


class StoreConflict(StoreError):  # noqa: N818 - it says what it is
    """An object is there already and says something else than what was to be written."""


class Objects(Protocol):
    """Byte objects under `uri`, by relative path with forward slashes. Safe to use from many threads."""

    uri: str

    def put(self, path: str, data: bytes) -> bool:
        """Create the object, whole or not at all: True if this call created it, False if it was there before."""

    def get(self, path: str) -> bytes:
        """The object's bytes; raises FileNotFoundError."""

    def exists(self, path: str) -> bool:
        """Whether the object is there."""

    def list(self, prefix: str) -> Paths:
        """Every path that starts with `prefix`, sorted, as the storage has it now."""

    def top(self) -> Paths:
        """The first part of every path, each once, sorted; folders end in a slash."""

    def delete(self, path: str) -> None:
        """Remove the object; one that is not there is no error."""

    def check_readable(self) -> None:
        """Raises StoreError if the place cannot be read; a local folder that does not exist yet reads as empty."""
