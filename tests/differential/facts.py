"""What a pull asked for and left behind, as facts in one form for both clients.

A fact is a path and a value, both text:

    images/registry/differential/x:latest/target   MEDIATYPE <root> 441 bytes
    content/<layer 0>/labels/containerd.io/uncompressed   <diff 0>
    requests/GET /v2/differential/x/blobs/<layer 0> 200   1 time

What differs from run to run is named after what it is: hosts and their ports, and
the digests of what was published. A digest without a name was made by the client,
and stands as it is: there, every byte counts.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from fakeregistry.image import Image, digest_of
from fakeregistry.journal import Exchange

__all__ = [
    "Facts",
    "Names",
    "content_facts",
    "image_facts",
    "ingest_facts",
    "label_facts",
    "lease_facts",
    "request_facts",
    "snapshot_facts",
]

Facts = dict[str, str]
Json = Mapping[str, Any]

_DIGEST: Final = re.compile(r"\bsha(?:256|384|512):[0-9a-f]{64,128}\b")
#: Keys of snapshots that are being made have a random number (unpacker.go:159).
_EXTRACTION: Final = re.compile(r"\bextract-[0-9]+-\S{4} ")
#: What is secret, or says nothing, in a request for a token.
_UNSAID: Final = ("password", "refresh_token")


class Names:
    """Names for what was published, in place of digests and addresses."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._hosts: dict[str, str] = {}

    def add_host(self, host: str, name: str) -> None:
        """Name a host and port."""
        self._hosts[host] = name

    def add_image(self, image: Image, label: str = "") -> None:
        """Name all digests of an image; ``label`` tells it from others."""
        prefix = f"{label} " if label else ""
        self._add(image.digest, f"{prefix}root")
        for number, manifest in enumerate(image.manifests):
            several = len(image.manifests) > 1
            which = f"{prefix}{manifest.platform or number} " if several else prefix
            self._add(manifest.descriptor.digest, f"{which}manifest")
            self._add(manifest.config.digest, f"{which}config")
            for place, layer in enumerate(manifest.layers):
                self._add(layer.digest, f"{which}layer {place}")
            self._add_contents(image.data.get(manifest.config.digest, b""), which)
        for number, blob in enumerate(image.blobs):
            self._add(blob.digest, f"{prefix}blob {number}")

    def _add_contents(self, config: bytes, which: str) -> None:
        chain = ""
        for place, found in enumerate(_DIGEST.findall(config.decode(errors="replace"))):
            self._add(found, f"{which}diff {place}")
            chain = digest_of(f"{chain} {found}".encode()) if chain else found
            self._add(chain, f"{which}chain {place}")

    def _add(self, digest: str, name: str) -> None:
        self._names.setdefault(digest, name)

    def text(self, text: str) -> str:
        """Return a text with names for what has one."""
        text = _EXTRACTION.sub("extract-RANDOM ", text)
        text = _DIGEST.sub(self._name, text)
        for host, name in self._hosts.items():
            text = text.replace(host, name)
        return text

    def _name(self, found: re.Match[str]) -> str:
        name = self._names.get(found[0])
        return f"<{name}>" if name else found[0]

    def facts(self, facts: Mapping[str, str]) -> Facts:
        """Return facts with names in their paths and values."""
        return {self.text(path): self.text(value) for path, value in facts.items()}


def label_facts(path: str, labels: Mapping[str, str]) -> Facts:
    """Return one fact a label."""
    return {f"{path}/labels/{key}": value for key, value in labels.items()}


def image_facts(images: Iterable[Json]) -> Facts:
    """Return what the image records say."""
    facts: Facts = {}
    for image in images:
        target = image["target"]
        path = f"images/{image['name']}"
        facts[f"{path}/target"] = (
            f"{target['mediaType']} {target['digest']} {target['size']} bytes"
        )
        for key, value in (target.get("annotations") or {}).items():
            facts[f"{path}/annotations/{key}"] = value
        facts |= label_facts(path, image["labels"])
    return facts


def content_facts(content: Iterable[Json]) -> Facts:
    """Return what blobs are there, with their labels."""
    facts: Facts = {}
    for blob in content:
        path = f"content/{blob['digest']}"
        facts[path] = f"{blob['size']} bytes"
        facts |= label_facts(path, blob["labels"])
    return facts


def ingest_facts(ingests: Iterable[Json]) -> Facts:
    """Return what downloads were begun and not finished."""
    return {
        f"ingests/{ingest['ref']}": f"{ingest['offset']} of {ingest['total']} bytes"
        for ingest in ingests
    }


def lease_facts(leases: Iterable[object]) -> Facts:
    """Return how many leases are left; their names are random."""
    return {"leases": f"{len(tuple(leases))} left"}


def snapshot_facts(snapshots: Iterable[Json]) -> Facts:
    """Return what snapshots there are, with kind, parent, labels and files."""
    facts: Facts = {}
    for snapshot in snapshots:
        path = f"snapshots/{snapshot['name']}"
        facts[path] = f"{snapshot['kind']}, parent {snapshot['parent'] or 'none'}"
        facts |= label_facts(path, snapshot["labels"])
        for name, entry in (snapshot.get("files") or {}).items():
            facts[f"{path}/files/{name}"] = entry
    return facts


def request_facts(
    exchanges: Iterable[Exchange], *, ordered: bool, naming: Callable[[str], str]
) -> Facts:
    """Return what was asked for, how often, and in which order if that is fixed.

    ``naming`` is applied to each line, so that lines are counted by their names.
    """
    exchanges = tuple(exchanges)
    lines = [naming(_line(exchange)) for exchange in exchanges]
    facts = {
        f"requests/{line}": f"{count} time{'s' if count > 1 else ''}"
        for line, count in Counter(lines).items()
    }
    encodings = {
        exchange.request_headers.get("Accept-Encoding", "none")
        for exchange in exchanges
        if exchange.method == "GET"
    }
    if encodings:
        facts["headers/Accept-Encoding of GET"] = ", ".join(sorted(encodings))
    if ordered:
        facts["order"] = " | ".join(line.partition(" accept=")[0] for line in lines)
    return facts


def _line(exchange: Exchange) -> str:
    headers = exchange.request_headers
    where = "" if exchange.server == "registry" else f" {exchange.server}"
    words = [f"{exchange.method}{where} {exchange.path}{_query(exchange)}"]
    words.append(str(exchange.status or "no answer"))
    if body := exchange.request_body:
        words.append(f"form={_fields(body.decode(errors='replace'))}")
    if "Range" in headers:
        words.append(headers.get("Range"))
    if "Authorization" in headers:
        words.append(headers.get("Authorization").partition(" ")[0])
    if "Accept" in headers:
        words.append(f"accept={','.join(headers.get_all('Accept'))}")
    return " ".join(words)


def _query(exchange: Exchange) -> str:
    if exchange.server == "cdn" or not exchange.query:
        return ""  # a signature, which is another one every time
    return f"?{_fields(exchange.query)}"


def _fields(text: str) -> str:
    pairs = sorted(parse_qsl(text, keep_blank_values=True))
    return "&".join(key if key in _UNSAID else f"{key}={value}" for key, value in pairs)
