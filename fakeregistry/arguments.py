"""What a registry is made with: checks, and what speaks TLS for it."""

from __future__ import annotations

import importlib
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fakeregistry.auth import BasicAuth, TokenAuth

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from fakeregistry.tls import Authority

__all__ = ["authority", "check_alone", "check_arguments", "tls_context"]


def check_arguments(
    auth: object, host: str, port: int, *, tls: bool, client_ca: bool
) -> None:
    """Refuse arguments of ``Registry`` that cannot be meant.

    Raises:
        ValueError: They cannot.
    """
    if auth is not None and not isinstance(auth, (BasicAuth, TokenAuth)):
        raise ValueError("auth is None, BasicAuth(...) or TokenAuth(...)")
    if client_ca and not tls:
        raise ValueError("client_ca needs tls=True")
    if port not in range(65536):
        raise ValueError(f"port={port}: 0 for any, or a number up to 65535")
    if urlsplit(f"//{host}").username or "/" in host or not host:
        raise ValueError(f"host={host!r}: a name or an address")
    try:
        socket.getaddrinfo(host, port)
    except OSError:
        raise ValueError(f"host={host!r} is not known on this machine") from None


def check_alone(har: object, others: Mapping[str, object]) -> None:
    """Refuse what says how to answer beside a file that has the answers.

    Raises:
        ValueError: There is such an argument.
    """
    for name, value in others.items():
        if har is not None and value:
            raise ValueError(f"{name} contradicts har: all answers are in the file")


def tls_context(*, tls: bool, client_ca: bool) -> ssl.SSLContext | None:
    """Return a TLS context; cryptography is imported when the first is needed."""
    if not tls:
        return None
    module: Any = importlib.import_module("fakeregistry.tls")
    context: ssl.SSLContext = module.server_context(client_ca=client_ca)
    return context


def authority() -> Authority:
    """Return the authority that all certificates come from."""
    module: Any = importlib.import_module("fakeregistry.tls")
    made: Authority = module.authority()
    return made
