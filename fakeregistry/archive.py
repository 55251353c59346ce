"""Folders and tar archives to import from and export to.

What is read was made by somebody else: a name never leads out of its folder or
archive, and what is no plain file is refused, not followed.
"""

from __future__ import annotations

import json
import lzma
import posixpath
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from fakeregistry.layers import tar_parts

__all__ = ["ExchangeError", "Files", "Source", "open_source", "write_files"]

Files = Mapping[str, bytes | memoryview]

_MAX_LINKS: Final = 16
_UNREADABLE: Final = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


class ExchangeError(ValueError):
    """Something cannot be imported or exported; says what, and which file."""


class Source(Protocol):
    """Named files."""

    path: Path

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, None if there is none.

        Raises:
            ExchangeError: The name leads elsewhere, or to something else.
        """
        ...


def open_source(path: Path) -> Source:
    """Open a folder or a tar archive, packed or not.

    Raises:
        ExchangeError: It is neither, or holds what it should not.
    """
    if path.is_dir():
        return Folder(path)
    if not path.is_file():
        raise ExchangeError(f"{path}: there is no such file or folder")
    return Archive(path)


class Folder:
    """Files of a folder; links that stay inside are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path.resolve()

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, None if there is none."""
        found = self._find(name)
        if found is None:
            return None
        if not found.is_file():
            raise ExchangeError(f"{self.path}: {name} is no regular file")
        try:
            return found.read_bytes()
        except OSError as err:
            raise ExchangeError(f"{self.path}: {name}: {err.strerror}") from None

    def _find(self, name: str) -> Path | None:
        try:
            found = (self._root / name).resolve()
            exists, circular = found.exists(), found.is_symlink()
        except RuntimeError:
            # Python 3.13 leaves links that go in circles as they are.
            exists, circular = False, True
        except (OSError, ValueError) as err:
            raise ExchangeError(f"{self.path}: {name!r}: {err}") from None
        if circular:
            raise ExchangeError(f"{self.path}: {name} is a link that leads nowhere")
        if not found.is_relative_to(self._root):
            raise ExchangeError(f"{self.path}: {name} leads out of the folder")
        return found if exists else None


class Archive:
    """Files of a tar archive, read at once; links that stay inside are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    self._add(archive, member)
        except (*_UNREADABLE, OSError, UnicodeError) as err:
            raise ExchangeError(f"{path}: not a readable tar archive: {err}") from None

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, None if there is none."""
        wanted = self._inside(name, name)
        for _ in range(_MAX_LINKS):
            if wanted not in self._links:
                return self._files.get(wanted)
            wanted = self._links[wanted]
        raise ExchangeError(f"{self.path}: {name} is a link that leads nowhere")

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = self._inside(member.name, member.name)
        if member.isdir():
            return
        if name in self._files or name in self._links:
            raise ExchangeError(f"{self.path}: {name} is there twice")
        if member.issym():
            target = posixpath.join(posixpath.dirname(name), member.linkname)
            self._links[name] = self._inside(target, name)
        elif member.islnk():
            self._links[name] = self._inside(member.linkname, name)
        elif member.isreg() and not member.issparse():
            file = archive.extractfile(member)
            self._files[name] = b"" if file is None else file.read()
        else:
            raise ExchangeError(f"{self.path}: {name} is no regular file")

    def _inside(self, path: str, name: str) -> str:
        """Return a path in its shortest form, if it stays inside."""
        found = posixpath.normpath(path)
        if found.startswith("/") or found.split("/")[0] == "..":
            raise ExchangeError(f"{self.path}: {name} leads out of the archive")
        return found


def read_json(source: Source, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return the parsed JSON of a file that has to be there.

    Raises:
        ExchangeError: It is not there, or is no JSON.
    """
    data = source.read(name)
    if data is None:
        raise ExchangeError(f"{source.path}: {name} is missing")
    return parse_json(data, f"{source.path}: {name}")


def parse_json(data: bytes | memoryview, where: str) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON; ``where`` is what an error names.

    Raises:
        ExchangeError: It is no JSON.
    """
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as err:
        raise ExchangeError(f"{where} is no JSON: {err}") from None


def write_files(path: Path, files: Files, *, packed: bool) -> None:
    """Write files into a new folder, or a new tar archive; all of them or none.

    Raises:
        ExchangeError: Something is there already.
    """
    empty = path.is_dir() and not packed and not any(path.iterdir())
    if path.exists() and not empty:
        raise ExchangeError(f"{path}: is there already")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as scratch:
        made = Path(scratch) / "made"
        if packed:
            _write_tar(made, files)
        else:
            _write_folder(made, files)
        made.rename(path)


def _write_tar(path: Path, files: Files) -> None:
    members = ((tarfile.TarInfo(name), data) for name, data in files.items())
    with path.open("wb") as out:
        out.writelines(tar_parts(members))


def _write_folder(path: Path, files: Files) -> None:
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
