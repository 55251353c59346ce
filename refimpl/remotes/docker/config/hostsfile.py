"""Mirrors: containerd v1.5.18 remotes/docker/config/hosts.go (loadHostDir).

A folder says how the registry after which it is named is reached. It holds a
``hosts.toml``, whose tables ``host`` come before ``server``, in the file's order:

    server = "https://registry.example"
    [host."https://mirror.example"]
      capabilities = ["pull"]
      ca = "mirror.pem"

or else certificates as Docker keeps them: ``*.crt`` of authorities, ``*.cert`` and
``*.key`` of ours.
"""

import logging
import os.path
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from refimpl.errdefs import ErrInvalidArgument
from refimpl.remotes.docker.registry import ALL_CAPABILITIES, HostCapabilities

__all__ = ["HostConfig", "load_cert_files", "load_host_dir", "parse_hosts_file"]

_log = logging.getLogger(__name__)

_CAPABILITIES: Final = {cap.name.lower(): cap for cap in HostCapabilities if cap.name}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_KNOWN: Final = frozenset(
    {"capabilities", "ca", "client", "skip_verify", "header", "override_path"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """What a folder says about one host (hosts.go:44).

    Attributes:
        host: name and port; empty for the registry that the folder is named after.
        scheme: ``http`` or ``https``.
        path: what stands before the repository's name.
        capabilities: what it may be asked for.
        ca_certs: PEM files of the authorities to trust for it.
        client_pairs: PEM files with a certificate of ours and its key; None says
            that both are in one file.
        skip_verify: trust whatever certificate it has; None takes the default.
        header: fields to send to this host only.
        where: file and table, for errors.
    """

    host: str = ""
    scheme: str = ""
    path: str = ""
    capabilities: HostCapabilities = ALL_CAPABILITIES
    ca_certs: tuple[Path, ...] = ()
    client_pairs: tuple[tuple[Path, Path | None], ...] = ()
    skip_verify: bool | None = None
    header: tuple[tuple[str, str], ...] = ()
    where: str = ""

    @property
    def has_tls(self) -> bool:
        """Tell whether it says anything about TLS."""
        return bool(self.ca_certs or self.client_pairs or self.skip_verify is not None)


def load_host_dir(folder: Path) -> tuple[HostConfig, ...]:
    """Return what a folder says, the registry itself last (hosts.go:255).

    Raises:
        ErrInvalidArgument: its ``hosts.toml`` cannot be used; the text names file
            and key.
    """
    file = folder / "hosts.toml"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return load_cert_files(folder)
    except OSError as err:
        raise ErrInvalidArgument(f"{file}: {err.strerror}") from err
    # DEVIATION D60: Go logs what is wrong with the file and pulls without it.
    return parse_hosts_file(file, data) or load_cert_files(folder)


def parse_hosts_file(file: Path, data: bytes) -> tuple[HostConfig, ...]:
    """Return the hosts that a ``hosts.toml`` names; none if it says nothing (:301).

    Relative paths in it are relative to the file. Unknown keys are passed over.

    Raises:
        ErrInvalidArgument: it cannot be used; the text names file and key.
    """
    import tomllib  # noqa: PLC0415 - most pulls have no such file

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except ValueError as err:
        raise ErrInvalidArgument(f"{file}: {' '.join(str(err).split())}") from err
    if not document:
        return ()
    server = document.pop("server", "")
    tables = document.pop("host", {})
    root = _Table(file, "", document)
    root.expect(isinstance(server, str), "server", "a text")
    root.expect(isinstance(tables, Mapping), "host", "a table of tables")
    hosts = []
    for name, values in tables.items():
        key = f'host."{name}"'
        root.expect(isinstance(values, Mapping), key, "a table")
        hosts.append(_Table(file, key, values).config(name))
    # The registry itself is asked last (hosts.go:344).
    return (*hosts, root.config(server))


@dataclass(frozen=True, slots=True)
class _Table:
    """The keys that say how one host is reached (hosts.go:278)."""

    file: Path
    name: str
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"{self.file}: {self.name}" if self.name else str(self.file)

    def expect(self, right: bool, key: str, what: str) -> None:  # noqa: FBT001 - a condition
        """Raise ErrInvalidArgument unless a key has what it should."""
        if not right:
            raise ErrInvalidArgument(f"{self.where}: {key} must be {what}")

    def config(self, server: str) -> HostConfig:
        """Return the host (hosts.go:354)."""
        for key in sorted(self.values.keys() - _KNOWN):
            _log.warning("%s: unknown key %s is ignored", self.where, key)
        skip_verify = self.values.get("skip_verify")
        override_path = self.values.get("override_path", False)
        self.expect(isinstance(skip_verify, bool | None), "skip_verify", "a boolean")
        self.expect(isinstance(override_path, bool), "override_path", "a boolean")
        scheme, host, path = "", "", ""
        if server or self.name:
            scheme, host, path = self._server(server, override_path=override_path)
        return HostConfig(
            host=host,
            scheme=scheme,
            path=path,
            capabilities=self._capabilities(),
            ca_certs=tuple(map(self._path, self._texts("ca"))),
            client_pairs=self._client_pairs(),
            skip_verify=skip_verify,
            header=self._header(),
            where=self.where,
        )

    def _server(self, server: str, *, override_path: bool) -> tuple[str, str, str]:
        """Return scheme, host and path of a host's name (hosts.go:360)."""
        key = "its name" if self.name else "server"
        text = server if "://" in server else f"https://{server}"
        what = "a host, or an http or https URL"
        try:
            url, parts = httpx.URL(text), urlsplit(text)
        except (httpx.InvalidURL, ValueError) as err:
            raise ErrInvalidArgument(f"{self.where}: {key} must be {what}") from err
        self.expect(url.scheme in ("http", "https") and bool(url.host), key, what)
        path = posixpath.normpath(parts.path) if parts.path else ""
        if not override_path and not path.endswith("/v2"):
            path = f"{path.rstrip('/')}/v2"
        # As it is written: a port makes it another name (registry.go:80).
        return url.scheme, parts.netloc.rpartition("@")[2], path

    def _capabilities(self) -> HostCapabilities:
        names = self.values.get("capabilities", [])
        what = f"a list of {', '.join(_CAPABILITIES)}"
        right = isinstance(names, list) and all(
            isinstance(name, str) and name.lower() in _CAPABILITIES for name in names
        )
        self.expect(right, "capabilities", what)
        caps = HostCapabilities(0)
        for name in names:
            caps |= _CAPABILITIES[name.lower()]
        return caps or ALL_CAPABILITIES

    def _texts(self, key: str) -> Sequence[str]:
        """Return a text, or the texts of a list (hosts.go:404)."""
        value = self.values.get(key, [])
        texts = [value] if isinstance(value, str) else value
        right = isinstance(texts, list) and all(isinstance(t, str) for t in texts)
        self.expect(right, key, "a text or a list of texts")
        return texts

    def _client_pairs(self) -> tuple[tuple[Path, Path | None], ...]:
        value = self.values.get("client", [])
        entries = [value] if isinstance(value, str) else value
        self.expect(isinstance(entries, list), "client", "a text or a list")
        return tuple(map(self._client_pair, entries))

    def _client_pair(self, entry: object) -> tuple[Path, Path | None]:
        pair = [entry, ""] if isinstance(entry, str) else entry
        what = "a list of texts, or of pairs of texts"
        match pair:
            case [str(certificate), str(key)] if certificate:
                # Without a key of its own a certificate brings it along; Go takes
                # the folder for the key's file then (hosts.go:432).
                return self._path(certificate), self._path(key) if key else None
            case _:
                raise ErrInvalidArgument(f"{self.where}: client must be {what}")

    def _path(self, text: str) -> Path:
        return Path(os.path.normpath(self.file.parent / text))

    def _header(self) -> tuple[tuple[str, str], ...]:
        table = self.values.get("header", {})
        self.expect(isinstance(table, Mapping), "header", "a table")
        fields = []
        for name, value in table.items():
            key = f"header.{name}"
            values = [value] if isinstance(value, str) else value
            right = isinstance(values, list) and all(map(_is_field_value, values))
            self.expect(_TOKEN.fullmatch(name) is not None, key, "named by a token")
            self.expect(right, key, "a text of one line, or a list of such texts")
            fields += [(name, one) for one in values]
        return tuple(fields)


def _is_field_value(value: object) -> bool:
    return isinstance(value, str) and not _CONTROL.search(value)


def load_cert_files(folder: Path) -> tuple[HostConfig, ...]:
    """Return what certificates as Docker keeps them say (hosts.go:529).

    Raises:
        ErrInvalidArgument: the folder cannot be read.
    """
    try:
        files = sorted(file for file in folder.iterdir() if not file.is_dir())
    except FileNotFoundError:
        files = []
    except OSError as err:
        raise ErrInvalidArgument(f"{folder}: {err.strerror}") from err
    certificates = [file for file in files if file.name.endswith(".cert")]
    keys = [file.with_name(f"{file.name[:-5]}.key") for file in certificates]
    config = HostConfig(
        ca_certs=tuple(file for file in files if file.name.endswith(".crt")),
        client_pairs=tuple(
            (certificate, key if key.exists() else None)
            for certificate, key in zip(certificates, keys, strict=True)
        ),
        where=str(folder),
    )
    return (config,)
