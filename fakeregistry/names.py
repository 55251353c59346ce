"""Names of imported images: from a reference to a repository and a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fakeregistry.archive import ExchangeError
from fakeregistry.store import check_tag, valid_name

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Name", "Namer"]

_DEFAULT_TAG: Final = "latest"
_HOST: Final = re.compile(r"(?:localhost|[^/]*[.:][^/]*)/")
_REFERENCE: Final = re.compile(r"[/:@]")


@dataclass(frozen=True, slots=True)
class Name:
    """Where an image goes; without a tag it is found by its digest alone."""

    repository: str
    tag: str | None


@dataclass(frozen=True, slots=True)
class Namer:
    """Gives images the names that their files have for them.

    Attributes:
        path: The file or folder, for the repository of images without a name.
        repository: Wins over every repository that is found.
    """

    path: Path
    repository: str | None = None

    def full(self, reference: str) -> Name:
        """Name an image by ``[host/]repository[:tag][@digest]``.

        Raises:
            ExchangeError: That is not possible.
        """
        plain, at, _ = reference.partition("@")
        host = _HOST.match(plain)
        rest = plain[host.end() :] if host else plain
        repository, _, tag = rest.partition(":")
        return self._checked(repository, tag or (None if at else _DEFAULT_TAG))

    def short(self, reference: str) -> Name:
        """Name an image by its tag alone, or by a reference with one."""
        if _REFERENCE.search(reference):
            return self.full(reference)
        return self._checked(None, reference)

    def unnamed(self, *, alone: bool) -> Name:
        """Name an image that has no name; the only one is the latest."""
        return self._checked(None, _DEFAULT_TAG if alone else None)

    def _checked(self, repository: str | None, tag: str | None) -> Name:
        repository = self.repository or repository or self._from_path()
        if not valid_name(repository):
            raise ExchangeError(
                f"{self.path}: {repository!r} is no repository name; say repository="
            )
        if tag is not None:
            try:
                check_tag(tag)
            except ValueError as err:
                raise ExchangeError(f"{self.path}: {err}") from None
        return Name(repository, tag)

    def _from_path(self) -> str:
        return self.path.resolve().name.partition(".")[0].lower()
