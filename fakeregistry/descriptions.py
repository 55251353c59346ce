"""Exchanges, faults, gates and images as the admin API describes them in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fakeregistry.har import started_at
from fakeregistry.redaction import redact_header, redact_query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fakeregistry.faults import Fault
    from fakeregistry.gate import Gate
    from fakeregistry.image import Image
    from fakeregistry.journal import Exchange
    from fakeregistry.registry import Registry

__all__ = ["exchange_document", "fault_document", "gate_document", "image_document"]

Document = dict[str, Any]


def exchange_document(exchange: Exchange, *, redact: bool = True) -> Document:
    """Describe an exchange; header lists keep order and spelling."""
    finished = exchange.finished
    query = redact_query(exchange.query) if redact else exchange.query
    return {
        "index": exchange.index,
        "server": exchange.server,
        "connection": exchange.connection,
        "method": exchange.method,
        "path": exchange.path,
        "query": query,
        "request_headers": _pairs(exchange.request_headers, redact=redact),
        "request_bytes": exchange.body.size,
        "status": exchange.status,
        "response_headers": _pairs(exchange.response_headers, redact=redact),
        "body_sent": exchange.body_sent,
        "outcome": exchange.outcome,
        "faults": list(exchange.faults),
        "started": started_at(exchange),
        "seconds": None if finished is None else round(finished - exchange.started, 6),
    }


def fault_document(fault: Fault) -> Document:
    """Describe a fault and what it met."""
    return {
        "id": fault.id,
        "rule": fault.rule.criteria(),
        "actions": sorted(fault.actions.used()),
        "times": fault.times,
        "fired": fault.fired,
        "exchanges": [exchange.index for exchange in fault.exchanges],
    }


def gate_document(gate: Gate) -> Document:
    """Describe a gate and what it holds."""
    exchanges = gate.exchanges
    return {
        "id": gate.id,
        "rule": gate.rule.criteria(),
        "open": gate.is_open,
        "held": len(exchanges),
        "arrived": len(gate.arrived),
        "exchanges": [exchange.index for exchange in exchanges],
    }


def image_document(registry: Registry, image: Image) -> Document:
    """Describe an image that was published."""
    return {
        "ref": registry.ref(image),
        "digest_ref": registry.ref(image, digest=True),
        "repository": image.repository,
        "tag": image.tag,
        "root": image.descriptor.to_json(),
        "manifests": [
            {
                "manifest": manifest.descriptor.to_json(),
                "config": manifest.config.to_json(),
                "layers": [layer.to_json() for layer in manifest.layers],
            }
            for manifest in image.manifests
        ],
    }


def _pairs(headers: Iterable[tuple[str, str]], *, redact: bool) -> list[list[str]]:
    return [
        [name, redact_header(name, value) if redact else value]
        for name, value in headers
    ]
