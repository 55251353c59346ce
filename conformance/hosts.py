"""Hosts and mirrors of a registry, written as containerd reads them.

containerd's docs/hosts.md describes the form: a folder per registry with a
``hosts.toml`` in it. nerdctl and what is built on containerd's client read it too.

    server = Host(url="http://127.0.0.1:5000")
    mirror = Host(url="http://127.0.0.1:5001", capabilities=("pull",))
    write_hosts(folder, "127.0.0.1:5000", server, [mirror])
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["TRUSTED", "Host", "write_hosts"]

#: What a mirror may do that is trusted like the registry itself.
TRUSTED: Final = ("pull", "resolve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host that serves a registry's content.

    Attributes:
        url: Scheme, host and port; a path is what stands in the place of ``/v2``.
        capabilities: ``pull`` for content by digest, ``resolve`` for tags.
        ca: A PEM file of whom to trust.
        headers: Fields to send to this host.
    """

    url: str
    capabilities: Sequence[str] = TRUSTED
    ca: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def write_hosts(
    folder: Path, registry: str, server: Host, mirrors: Sequence[Host]
) -> None:
    """Write how a registry is reached: mirrors in their order, then the server."""
    lines = [f"server = {_text(server.url)}", *_keys(server)]
    if not mirrors:
        # containerd reads no server from a file without a table of hosts.
        lines += ["", "[host]"]
    for mirror in mirrors:
        table = f"host.{_text(mirror.url)}"
        lines += ["", f"[{table}]", *_keys(mirror)]
        if mirror.headers:
            lines += [f"[{table}.header]"]
            lines += [f"{_text(k)} = {_text(v)}" for k, v in mirror.headers.items()]
    file = folder / registry / "hosts.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _keys(host: Host) -> list[str]:
    lines = [f"capabilities = {json.dumps(list(host.capabilities))}"]
    if host.ca is not None:
        lines.append(f"ca = {_text(str(host.ca))}")
    if host.url.count("/") > 2:
        lines.append("override_path = true")
    return lines


def _text(value: str) -> str:
    # A basic string of TOML may hold all that a string of JSON may.
    return json.dumps(value)
