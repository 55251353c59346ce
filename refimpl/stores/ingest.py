"""Mirrors: containerd v1.5.18 content/local/store.go:376 on (status, resumeStatus).

One ingest on disk: a folder with what was received so far and a few notes about
it. Not durable: what a power cut garbles here shows when the ingest is resumed
or committed, and is written anew. All of it blocks.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from anyio.from_thread import check_cancelled

from refimpl.errdefs import ErrNotFound
from refimpl.stores.content import Status

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["Ingest"]

_BUFFER: Final = 1 << 20
_FILES: Final = ("data", "ref", "startedat", "updatedat", "total")


@dataclass(frozen=True, slots=True)
class Ingest:
    """The folder of one ingest."""

    path: Path
    ref: str

    @property
    def data(self) -> Path:
        """Return the file that the bytes go to."""
        return self.path / "data"

    def status(self) -> Status:
        """Read what the folder says (content/local/store.go:376).

        Raises:
            ErrNotFound: there is no such ingest, or it is not complete.
        """
        try:
            stat = self.data.stat()
            ref = _read(self.path / "ref")
            started_at = _read_time(self.path / "startedat")
            updated_at = _read_time(self.path / "updatedat")
        except (FileNotFoundError, NotADirectoryError) as err:
            raise ErrNotFound(
                f"open {err.filename}: no such file or directory"
            ) from err
        # updatedat is not written with every write: the file may know better.
        return Status(
            ref=ref,
            offset=stat.st_size,
            total=self._total(),
            started_at=started_at,
            updated_at=max(updated_at, datetime.fromtimestamp(stat.st_mtime, UTC)),
        )

    def _total(self) -> int:
        try:
            return int(_read(self.path / "total"))
        except (OSError, ValueError):
            return 0

    def start(self, status: Status) -> None:
        """Set the folder up, without anything that may be left in it."""
        self.remove()
        self.path.mkdir(mode=0o755)
        notes = {
            "ref": self.ref,
            "startedat": _text(status.started_at),
            "updatedat": _text(status.updated_at),
        }
        if status.total > 0:
            notes["total"] = str(status.total)
        for name, text in notes.items():
            _write(self.path / name, text)

    def open_data(self) -> int:
        """Open the file for the bytes."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.data, flags, 0o644)
        except PermissionError:
            # Killed between becoming read-only and getting its name.
            self.data.chmod(0o644)
            return os.open(self.data, flags, 0o644)

    def resume(self, total: int, digester: "_Hash") -> Status | None:
        """Hash what is there, or return nothing if it is of no use.

        Mirrors content/local/store.go:494 (resumeStatus).
        """
        if not self.path.is_dir():
            return None
        try:
            status = self.status()
        except (ErrNotFound, ValueError):
            return None
        if status.ref != self.ref or (total > 0 and 0 < status.total != total):
            return None
        return replace(status, offset=_hash_file(self.data, digester))

    def touch(self, moment: datetime) -> None:
        """Note when the last write was."""
        with suppress(FileNotFoundError):  # aborted meanwhile
            _write(self.path / "updatedat", _text(moment))

    def remove(self) -> None:
        """Remove the folder and all in it; one that is not there is no error."""
        try:
            for name in _FILES:
                (self.path / name).unlink(missing_ok=True)
            self.path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            shutil.rmtree(self.path)


def _hash_file(path: Path, digester: "_Hash") -> int:
    buffer, total = memoryview(bytearray(_BUFFER)), 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            check_cancelled()
            digester.update(buffer[:count])
            total += count
    return total


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _read_time(path: Path) -> datetime:
    moment = datetime.fromisoformat(_read(path))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogatepass")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
