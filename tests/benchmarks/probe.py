"""A pytest plugin that tells the client's share of a case from the suite's.

    pull-conformance run --client skopeo -p tests.benchmarks.probe --probe-json FILE

It times what the adapter's `pull` does and every case as a whole, from the start of
its set-up to the end of its clean-up.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from conformance.plugin import session_key
from tests.benchmarks.spans import covered

if TYPE_CHECKING:
    from collections.abc import Generator

    from conformance.contract import Adapter, Json, OnCancel

__all__ = ["TimedAdapter"]

_spans: Final[list[tuple[float, float]]] = []
_cases: Final[list[dict[str, Any]]] = []


class TimedAdapter:
    """Any adapter, with a clock at its `pull`."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Pull, and note from when to when."""
        began = time.monotonic()
        try:
            return self._adapter.pull(request, on_cancel)
        finally:
            _spans.append((began, time.monotonic()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the file to write to."""
    parser.addoption("--probe-json", required=True, metavar="FILE", type=Path)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Put the clock into every client."""
    for client in session.config.stash[session_key].clients.values():
        client.adapter = TimedAdapter(client.adapter)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Time a case; one that was left out never pulls and does not count."""
    _spans.clear()
    began = time.monotonic()
    result = yield
    ended = time.monotonic()
    if _spans:
        client = covered(list(_spans), began, ended)
        _cases.append({"case": item.name, "all": ended - began, "client": client})
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the times."""
    session.config.option.probe_json.write_text(json.dumps(_cases), encoding="utf-8")
