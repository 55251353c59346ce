"""Mirrors: containerd v1.5.18 reference/reference.go.

A reference is a locator (host and repository) and an object (a tag, a digest, or
both). Nothing is filled in: ``busybox`` is a host without a repository.

>>> spec = parse("127.0.0.1:5000/library/hello:1@sha256:0000")
>>> spec.locator, spec.object, spec.hostname, spec.digest
('127.0.0.1:5000/library/hello', '1@sha256:0000', '127.0.0.1:5000', 'sha256:0000')
"""

import posixpath
import re
from dataclasses import dataclass
from typing import Final

from refimpl import gourl
from refimpl.digest import Digest
from refimpl.errdefs import ContainerdError

__all__ = [
    "ErrHostnameRequired",
    "ErrInvalid",
    "ErrObjectRequired",
    "Spec",
    "parse",
    "split_object",
]

_SPLIT: Final = re.compile("[:@]")


class ErrInvalid(ContainerdError):
    """A text is no reference."""

    text = "invalid reference"


class ErrObjectRequired(ContainerdError):
    """A reference names neither a tag nor a digest."""

    text = "object required"


class ErrHostnameRequired(ContainerdError):
    """A reference does not begin with a host."""

    text = "hostname required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A reference in its parts (reference.go:57).

    Attributes:
        locator: the host and the path, cleaned.
        object: ``tag``, ``tag@digest`` or ``@digest``; may be empty.
    """

    locator: str
    object: str = ""

    @property
    def hostname(self) -> str:
        """Return the host, with its port."""
        return self.locator.partition("/")[0]

    @property
    def digest(self) -> Digest:
        """Return what follows the @: a whole digest, a part of one, or any text."""
        return split_object(self.object)[1]

    def __str__(self) -> str:
        """Return the reference as a text that parses to the same."""
        if not self.object:
            return self.locator
        colon = "" if self.object.startswith("@") else ":"
        return f"{self.locator}{colon}{self.object}"


def parse(text: str) -> Spec:
    """Return a reference in its parts (reference.go:87).

    Raises:
        ErrInvalid: the text has a scheme.
        ErrHostnameRequired: the text begins with a slash or is empty.
        URLError: the text is no URL; Go's words say why.
    """
    if "://" in text:
        raise ErrInvalid
    url = gourl.parse(f"dummy://{text}")
    if not url.host:
        raise ErrHostnameRequired
    path, name = url.path, ""
    if split := _SPLIT.search(path):
        # The @ of a digest stays: it tells "@part" from a tag.
        path, name = path[: split.start()], path[split.start() :].removeprefix(":")
    locator = posixpath.normpath(f"{url.host}/{path}" if path else url.host)
    return Spec(locator=locator, object=name)


def split_object(name: str) -> tuple[str, Digest]:
    """Split an object into tag and digest; the tag keeps its @ (reference.go:155)."""
    tag, at, digest = name.partition("@")
    return tag + at, Digest(digest)
