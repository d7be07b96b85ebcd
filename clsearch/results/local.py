"""Objects as files of a local folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from clsearch.results.objects import Paths, StoreError

_HIDDEN = "."  # names of temporary files begin with it; no object's name does


class LocalObjects:
    """A folder. An object appears by a hard link to a finished, synced temporary file, so it is never seen in part.

    A process that is killed leaves at most a hidden temporary file, which nobody reads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)

    def put(self, path: str, data: bytes) -> bool:
        target = self.root / path
        lasting = not path.startswith("selftest/")  # syncing what is removed at once would make every start slow
        try:
            folder = _made(target.parent, self.root)
            temporary = folder / f"{_HIDDEN}{target.name}.{uuid.uuid4().hex}.tmp"
            try:
                _write(temporary, data, lasting)
                try:
                    os.link(temporary, target)
                except FileExistsError:
                    return False
            finally:
                temporary.unlink(missing_ok=True)
            if lasting:
                _sync_folder(folder)
        except OSError as error:
            raise StoreError(
                f"store {self.uri}: {path} cannot be written ({error.strerror or error}): "
                "give a folder that can be written, on a file system with hard links"
            ) from error
        return True

    def get(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"{self.uri}/{path}") from None
        except OSError as error:
            raise StoreError(f"store {self.uri}: {path} cannot be read ({error.strerror or error})") from error

    def exists(self, path: str) -> bool:
        return (self.root / path).is_file()

    def list(self, prefix: str) -> Paths:
        folder, _, _ = prefix.rpartition("/")
        found: Paths = []
        waiting = [folder]
        while waiting:
            inside = waiting.pop()
            lead = f"{inside}/" if inside else ""
            for entry in self._scan(inside):
                path = lead + entry.name
                if entry.name.startswith(_HIDDEN) or not (path.startswith(prefix) or prefix.startswith(f"{path}/")):
                    continue
                if entry.is_dir():
                    waiting.append(path)
                else:
                    found.append(path)
        return sorted(found)

    def top(self) -> Paths:
        names = (f"{entry.name}/" if entry.is_dir() else entry.name for entry in self._scan(""))
        return sorted(name for name in names if not name.startswith(_HIDDEN))

    def _scan(self, folder: str) -> Sequence[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return list(entries)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            return []
        except OSError as error:
            raise StoreError(f"store {self.uri}: cannot be listed ({error.strerror or error})") from error

    def delete(self, path: str) -> None:
        try:
            (self.root / path).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"store {self.uri}: {path} cannot be removed ({error.strerror or error})") from error

    def check_readable(self) -> None:
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise StoreError(f"store {self.uri}: this is a file, not a folder")
        if not os.access(self.root, os.R_OK | os.X_OK):
            raise StoreError(f"store {self.uri}: the folder may not be read by this user")


def _made(folder: Path, root: Path) -> Path:
    """The folder, made if need be; each new name is synced, or a power cut could lose it with all it holds."""
    if not folder.is_dir():
        missing = folder
        while missing != root and not missing.parent.is_dir():
            missing = missing.parent
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            if missing.parent.is_dir():
                _sync_folder(missing.parent)
            if missing == folder:
                break
            missing = missing / folder.relative_to(missing).parts[0]
    return folder


def _write(path: Path, data: bytes, synced: bool) -> None:
    # Mode 0666 under the user's umask, where tempfile would give 0600: colleagues read each other's stores.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        if synced:
            file.flush()
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
