"""A complete registry in a Python process, for tests of clients.

    with Registry() as registry:
        image = registry.publish("library/hello:1", layers=2)
        subprocess.run(["client", "pull", registry.ref(image)], check=True)
        assert "GET" in {exchange.method for exchange in registry.journal}

The names are imported when they are first used: pytest imports the plugin of
this package, and so the package, in every project where it is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeregistry.archive import ExchangeError
    from fakeregistry.auth import BasicAuth, TokenAuth
    from fakeregistry.cdn import Cdn
    from fakeregistry.content import Descriptor, Image, build_image
    from fakeregistry.faults import Fault
    from fakeregistry.features import Features
    from fakeregistry.gate import Gate, GateTimeout
    from fakeregistry.journal import Exchange, Journal, JournalTimeout
    from fakeregistry.notices import Notice
    from fakeregistry.redirect import Redirect
    from fakeregistry.registry import Registry
    from fakeregistry.replay import HarError, Replay
    from fakeregistry.schema1 import Schema1Image, build_schema1

__all__ = [
    "BasicAuth",
    "Cdn",
    "Descriptor",
    "Exchange",
    "ExchangeError",
    "Fault",
    "Features",
    "Gate",
    "GateTimeout",
    "HarError",
    "Image",
    "Journal",
    "JournalTimeout",
    "Notice",
    "Redirect",
    "Registry",
    "Replay",
    "Schema1Image",
    "TokenAuth",
    "build_image",
    "build_schema1",
]

_HOMES = {
    "BasicAuth": "auth",
    "Cdn": "cdn",
    "Descriptor": "content",
    "Exchange": "journal",
    "ExchangeError": "archive",
    "Fault": "faults",
    "Features": "features",
    "Gate": "gate",
    "GateTimeout": "gate",
    "HarError": "replay",
    "Image": "content",
    "Journal": "journal",
    "JournalTimeout": "journal",
    "Notice": "notices",
    "Redirect": "redirect",
    "Registry": "registry",
    "Replay": "replay",
    "Schema1Image": "schema1",
    "TokenAuth": "auth",
    "build_image": "content",
    "build_schema1": "schema1",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
