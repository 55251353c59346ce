"""Mirrors: Go's net/url Parse, as far as references need it.

Not every text that Go takes for a URL is one to Python, and the error texts of
reference.Parse are those of net/url.

    >>> parse("dummy://localhost:5000/a%20b").path
    '/a b'
    >>> parse("dummy://busybox:latest")
    Traceback (most recent call last):
    refimpl.gourl.URLError: invalid port ":latest" after host
    parse "dummy://busybox:latest"
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from refimpl.errdefs import ContainerdError, wrapped
from refimpl.gotext import quote

__all__ = ["URL", "URLError", "parse"]

_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_PORT: Final = re.compile(r"(?::[0-9]*)?", re.ASCII)
_USER: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*", re.ASCII)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?", re.ASCII)
# All of ASCII but what may stand in a host as it is: RFC 3986 section 3.2.2, % for
# escapes, and <, > and ".
_NO_HOST: Final = re.compile(r"[\x00-\x20#/?@\\^`{|}\x7f]")
_IN_HOST: Final = re.compile(f"{_ESCAPE.pattern}|{_NO_HOST.pattern}", re.ASCII)


class URLError(ContainerdError):
    """A text is no URL; the words are Go's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class URL:
    """The parts of a URL that a reference is made of, unescaped."""

    host: str
    path: str

    @property
    def hostname(self) -> str:
        """Return the host without port and brackets (url.go, splitHostPort)."""
        name, colon, port = self.host.rpartition(":")
        if not (colon and _PORT.fullmatch(colon + port)):
            name = self.host
        bracketed = name.startswith("[") and name.endswith("]")
        return name[1:-1] if bracketed else name


def parse(url: str) -> URL:
    """Return the parts of ``scheme://authority/path``.

    User information, query and fragment are checked and dropped.

    Raises:
        URLError: Go's parser refuses the text.
    """
    before, _, fragment = url.partition("#")
    with wrapped(f"parse {quote(before)}"):
        parsed = _parse(before)
    with wrapped(f"parse {quote(url)}"):
        _unescape(fragment)
    return parsed


def _parse(url: str) -> URL:
    if _CONTROL.search(url):
        raise URLError("net/url: invalid control character in URL")
    authority, slash, path = url.partition("://")[2].partition("?")[0].partition("/")
    user, at, host = authority.rpartition("@")
    host = _parse_host(host)
    if at:
        _check_user(user)
    return URL(host=host, path=_unescape(slash + path))


def _check_user(user: str) -> None:
    if not _USER.fullmatch(user):
        raise URLError("net/url: invalid userinfo")
    name, _, password = user.partition(":")
    _unescape(name)
    _unescape(password)


def _parse_host(host: str) -> str:
    """Return the host unescaped, with its port (url.go, parseHost)."""
    if host.startswith("["):
        if "]" not in host:
            raise URLError("missing ']' in host")
        address, _, port = host.rpartition("]")
        _check_port(port)
        # RFC 6874: a zone follows %25, and in it more may be escaped.
        zone = address.find("%25")
        zone = len(address) if zone < 0 else zone
        return (
            _unescape_host(address[:zone], _is_ascii_escape)
            + _unescape_host(address[zone:], _is_zone_escape)
            + _unescape_host(f"]{port}", _is_ascii_escape)
        )
    colon = host.rfind(":")
    if colon >= 0:
        _check_port(host[colon:])
    return _unescape_host(host, _is_ascii_escape)


def _check_port(port: str) -> None:
    if not _PORT.fullmatch(port):
        raise URLError(f"invalid port {quote(port)} after host")


def _unescape_host(text: str, refused: Callable[[str], bool]) -> str:
    for match in _IN_HOST.finditer(text):
        if not match[0].startswith("%"):
            raise URLError(f"invalid character {quote(match[0])} in host name")
        _check_escape(text, match)
        if match[0] != "%25" and refused(match[1]):
            raise URLError(f"invalid URL escape {quote(match[0])}")
    return unquote(text)


def _is_ascii_escape(digits: str) -> bool:
    return digits[0] in "01234567"


def _is_zone_escape(digits: str) -> bool:
    char = chr(int(digits, 16))
    return char != " " and (char >= "\x80" or bool(_NO_HOST.fullmatch(char)))


def _unescape(text: str) -> str:
    """Return a text with its %xx resolved; bytes that are no UTF-8 become U+FFFD."""
    for match in _ESCAPE.finditer(text):
        _check_escape(text, match)
    return unquote(text) if "%" in text else text


def _check_escape(text: str, match: re.Match[str]) -> None:
    if match[1] is None:
        found = text[match.start() : match.start() + 3]
        raise URLError(f"invalid URL escape {quote(found)}")
