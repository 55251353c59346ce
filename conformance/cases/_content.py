"""How cases of several areas make a document lie, and hold that nobody believes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Unpack

from conformance.case import Feature, not_testable

if TYPE_CHECKING:
    from collections.abc import Callable

    from conformance.bench import Bench, Options, Pull
    from fakeregistry import Fault, Image

DISTRIBUTION: Final = (
    "https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md"
)
IMAGE: Final = "https://github.com/opencontainers/image-spec/blob/v1.1.1"
CONFUSION: Final = "https://nvd.nist.gov/vuln/detail/CVE-2021-41190"

# A body of blanks: valid JSON goes on being valid, and no layer is this long here.
FLOOD: Final = 64 << 20
# Far above any manifest (real limits are 4 to 8 MiB), with what sockets buffer.
BOUND: Final = 32 << 20

CRASHES: Final = ("Traceback (most recent call last)", "panic: ", "goroutine 1 [")
# What a client that runs in this process would have died of in its own.
SLIPS: Final = (
    "AttributeError",
    "IndexError",
    "KeyError",
    "OverflowError",
    "RecursionError",
    "TypeError",
    "UnicodeDecodeError",
    "ValueError",
)

Document = dict[str, Any]


def layer_says(**members: object) -> Callable[[Document], None]:
    """Return an edit of a manifest that changes the first layer's descriptor."""

    def edit(manifest: Document) -> None:
        manifest["layers"][0].update(members)

    return edit


def member(key: str, value: object) -> Callable[[Document], None]:
    """Return an edit of a document that sets one member."""

    def edit(document: Document) -> None:
        document[key] = value

    return edit


def without(key: str) -> Callable[[Document], None]:
    """Return an edit of a document that takes one member out."""

    def edit(document: Document) -> None:
        del document[key]

    return edit


def must_refuse(
    bench: Bench, what: Image | str, *reached: Fault, **options: Unpack[Options]
) -> Pull:
    """Hold that a client fails on what is wrong, and keeps nothing wrong of it.

    Where no fault is to be met the document itself is wrong, so the client must
    have seen it: otherwise it failed for another reason.
    """
    pull = bench.pull(what, **options)
    seen = bench.registry.journal.requests(path="/manifests/*", status=200)
    if not reached and not seen:
        not_testable(f"the client never asked for the manifest; {pull}")
    bench.must_reject(pull, *reached)
    assert_nothing_false(bench)
    assert_no_record(bench, what)
    return pull


def assert_nothing_false(bench: Bench) -> None:
    """Hold that no bytes are kept under a digest that they do not have."""
    if wrong := [blob.digest for blob in bench.stored({"content"}).corrupt()]:
        raise AssertionError(f"kept under a digest that the bytes lack: {wrong}")


def assert_no_record(bench: Bench, what: Image | str) -> None:
    """Hold that the image is not known to the client, if it can tell."""
    if bench.claims(Feature.IMAGE_RECORD):
        ref = what if isinstance(what, str) else bench.registry.ref(what)
        if bench.stored({"images"}).image(ref) is not None:
            raise AssertionError(f"the pull failed, yet {ref} is recorded")


def assert_not_astray(bench: Bench, image: Image) -> None:
    """Hold that nothing but documents and blobs of the repository was asked for."""
    ours = re.compile(
        f"/v2/(?:{re.escape(image.repository)}/(?:manifests|blobs)/[^/]+)?"
    )
    for exchange in bench.registry.journal:
        path = exchange.path
        if ".." in path or not (path == "/v2" or ours.fullmatch(path)):
            raise AssertionError(f"the client was led astray, see {exchange!r}")


def assert_not_crashed(pull: Pull) -> None:
    """Hold that a client ended with an error of its own, if it failed."""
    if pull.error_class in SLIPS or any(mark in pull.stderr for mark in CRASHES):
        raise AssertionError(f"the client crashed: {pull.last_words()}")


def assert_bounded(fault: Fault) -> None:
    """Hold that a client did not read a flood to its end."""
    for exchange in fault.exchanges:
        if exchange.body_sent >= BOUND:
            sent = exchange.body_sent >> 20
            raise AssertionError(f"took {sent} MiB, see {exchange!r}")
