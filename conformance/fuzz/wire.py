"""Which bytes of its content a registry really sent, whatever a client says.

A client cannot have what was never sent. To be fair, all that a client could have
put together counts as sent: parts of several answers, the bytes beside a broken
one, a body under a strange status, anything that was compressed on the way.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fakeregistry import Exchange, Image, Registry
from fakeregistry.image import digest_of

__all__ = ["asked_for", "carries_credentials", "touched", "unsent"]

Span = tuple[int, int]

#: Answers of a fault hold nothing of the content.
_STRANGE: Final = frozenset({"status", "redirect", "raw", "replace"})
_RESIZED: Final = frozenset({"append", "shorten", "endless"})


def asked_for(registry: Registry, digest: str) -> tuple[Exchange, ...]:
    """Return the requests for content by this digest."""
    return tuple(registry.journal.requests(method="GET", reference=digest))


def touched(registry: Registry, image: Image) -> bool:
    """Say whether a fault met any request for what the image's name stands for."""
    names = (image.tag, image.digest)
    return any(e.met for e in registry.journal if e.reference in names)


def unsent(registry: Registry, image: Image, digests: Sequence[str]) -> list[str]:
    """Return what was asked for by its digest, and never sent as it is."""
    return [
        digest
        for digest in digests
        if _is_promise(image, digest)
        and asked_for(registry, digest)
        and not _was_sent(registry, image, digest)
    ]


def carries_credentials(exchange: Exchange, secret: str) -> bool:
    """Say whether a request brings credentials along."""
    return "Authorization" in exchange.request_headers or (
        bool(secret) and secret in exchange.target
    )


def _is_promise(image: Image, digest: str) -> bool:
    """Whether the digest is that of the bytes as they are sent.

    That of a signed schema1 manifest is not: its signatures may be any.
    """
    return digest_of(image.data[digest], digest.partition(":")[0]) == digest


def _was_sent(registry: Registry, image: Image, digest: str) -> bool:
    """Say whether a client can have all bytes of some content of an image."""
    exchanges = list(asked_for(registry, digest))
    if digest == image.digest and image.tag is not None:
        exchanges += registry.journal.requests(method="GET", reference=image.tag)
    size = len(image.data[digest])
    spans = [span for one in exchanges for span in _spans(one, size)]
    return _covers(spans, size) and (size > 0 or bool(spans))


def _spans(exchange: Exchange, size: int) -> Iterator[Span]:
    """Yield the parts of the content that an answer can have brought."""
    if _refused(exchange) or _actions(exchange) & _STRANGE:
        return
    start = _start(exchange)
    packed = "Content-Encoding" in exchange.response_headers
    # What is still in flight has not been counted yet.
    if packed or start is None or exchange.outcome is None:
        yield 0, size
        return
    begin = 0
    for hole in _holes(exchange, size - start):
        yield start + begin, start + hole
        begin = hole + 1
    yield start + begin, start + exchange.body_sent


def _refused(exchange: Exchange) -> bool:
    """Whether the registry itself answered with an error, or sent nothing."""
    changed = "change_status" in _actions(exchange)
    return not changed and exchange.status not in (200, 206)


def _start(exchange: Exchange) -> int | None:
    """Return where in the content an answer begins; None if that is hard to say."""
    wanted = exchange.range
    if wanted is None:
        return 0
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    if exchange.status == 200 or not first.isdigit() or "," in last:
        return None
    return int(first)


def _holes(exchange: Exchange, length: int) -> list[int]:
    """Return which bytes of an answer are not those of the content, in order."""
    offsets = [fault.actions.flip for fault in exchange.met]
    flips = [offset for offset in offsets if offset is not None]
    if _actions(exchange) & _RESIZED:
        # From the end of which body? Too little is known.
        flips = [offset for offset in flips if offset >= 0]
    holes = [offset if offset >= 0 else offset + length for offset in flips]
    return sorted(hole for hole in holes if 0 <= hole < exchange.body_sent)


def _actions(exchange: Exchange) -> frozenset[str]:
    return frozenset[str]().union(*(fault.actions.used() for fault in exchange.met))


def _covers(spans: Iterable[Span], size: int) -> bool:
    end = 0
    for begin, after in sorted(spans):
        if begin > end:
            return False
        end = max(end, after)
    return end >= size
