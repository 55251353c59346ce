"""Builder of Docker schema1 images: signed, as registries held them until 2016.

    image = build_schema1("library/old", "1", layers=2, empty_layers=1)
    image.digest == digest_of(image.payload)

A schema1 manifest has no config: each layer brings the v1 image it belongs to as
text in ``history``, the top layer first. What registries of that time made of an
image is made here too, down to the indent; then it can be broken.

distribution v2.8, docs/spec/manifest-v2-1.md and manifest/schema1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypedDict, Unpack

from fakeregistry.content import config_document
from fakeregistry.image import (
    SCHEMA1,
    SCHEMA1_LAYER,
    SCHEMA1_SIGNED,
    Descriptor,
    Image,
    Platform,
    canonical_json,
    digest_of,
    frozen,
    unique,
)
from fakeregistry.jws import INDENT, ProtectedEdit, go_json, payload_of, pretty, sign
from fakeregistry.layers import COMPRESSIONS, Compression, Layer, seeded_layer
from fakeregistry.plan import Document, Edit
from fakeregistry.trustkeys import ALGORITHMS, Algorithm, trust_key

__all__ = [
    "EMPTY_TAR",
    "Schema1Image",
    "Schema1Options",
    "Signature",
    "Step",
    "build_schema1",
    "payload_of",
]

# What Docker stores for a step that changes no file: gzip of 1024 zero bytes,
# sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4.
EMPTY_TAR: Final = bytes.fromhex(
    "1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000"
)

_EPOCH: Final = "1970-01-01T00:00:00Z"

Mark = Literal["throwaway", "size"]
HistoryEdit = Callable[[Document], Document | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One entry of ``fsLayers`` with its entry of ``history``.

    Attributes:
        layer: None: the empty tar that Docker uses.
        empty: Whether the history calls it empty; None: if it has no layer.
        edit: Gets the v1 image as a dict before it is written into the history;
            changes it, or returns another dict, or text to be kept as it is.
    """

    layer: Layer | bytes | None = None
    empty: bool | None = None
    edit: HistoryEdit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature.

    Attributes:
        algorithm: "ES256" or "RS256".
        seed: Of the key; None: that of the image (ES256) and its place.
        format_length: That of the protected header; None: that of the image.
        edit_protected: Gets the protected header before it is signed; changes
            it, or returns another dict, or bytes to be kept raw.
        edit: Gets the finished signature; changes it, or returns another one.
    """

    algorithm: Algorithm = "ES256"
    seed: str | None = None
    format_length: int | None = None
    edit_protected: ProtectedEdit | None = None
    edit: Callable[[Document], Document | None] | None = None


class Schema1Options(TypedDict, total=False):
    """The keywords of ``build_schema1``, for signatures."""

    layers: int | Sequence[Layer | bytes | Step | None]
    layer_size: int
    compression: Compression
    repeat_layers: int
    empty_layers: int
    mark: Mark | None
    seed: int | str
    config: Mapping[str, Any] | None
    signatures: Sequence[Algorithm | Signature]
    format_length: int | None
    media_type: str | None
    outside: Mapping[str, Any] | None
    edit_manifest: Edit | None
    edit_document: Callable[[bytes], bytes] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Schema1Image(Image):
    """A schema1 image.

    ``descriptor.digest`` is that of the payload, and ``descriptor.size`` counts
    the bytes that are served, as a registry's headers do.

    Attributes:
        payload: What is signed: the manifest without its signatures.
        steps: The blob of every step, the base first; what the payload lists
            unless an edit changed it.
        solid: Those of them that the history does not call empty.
    """

    payload: bytes
    steps: tuple[Descriptor, ...]
    solid: tuple[Descriptor, ...]

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The same as ``solid``: what a converted manifest lists."""
        return self.solid

    @property
    def config(self) -> Descriptor:
        """Nothing: always raises LookupError."""
        raise LookupError(f"{self.name} is a schema1 image: it has no config")


def build_schema1(
    repository: str = "library/test",
    tag: str | None = "latest",
    **options: Unpack[Schema1Options],
) -> Schema1Image:
    """Build a schema1 image, signed or not.

    Args:
        repository: Where it will be; the manifest says so too.
        tag: The tag that will name it; None for none.
        **options: All of these have defaults:

            layers: How many, or what they are, the base first: layers, bytes,
                None for the empty tar, or ``Step``.
            layer_size: Bytes of file content in each.
            compression: "gzip", "zstd" or "none".
            repeat_layers: How often every layer is listed in a row.
            empty_layers: Number of empty steps above the layers.
            mark: How the history tells empty steps: "throwaway" (Docker 1.10),
                "size" (before: every step has ``Size``), or None: not at all.
            seed: Another seed, other layers and other ES256 keys.
            config: Members that replace those of the image.
            signatures: "ES256", "RS256" or ``Signature``, in order; none at all
                make an unsigned manifest.
            format_length: What protected headers say in place of the truth.
            media_type: None: the one for signed, or for unsigned manifests.
            outside: Members that stand beside the signatures, not signed.
            edit_manifest: Gets the payload as a dict before it is written and
                signed; changes it, or returns another dict, or raw bytes.
            edit_document: Gets the finished bytes and returns others.

    Raises:
        ValueError: A keyword is unknown, or has a value that makes no sense.
    """
    plan = _make_plan(options)
    steps = plan.steps()
    payload = _payload(plan, repository, tag, steps)
    document = _signed(plan, payload)
    default = SCHEMA1_SIGNED if plan.signatures else SCHEMA1
    root = Descriptor(plan.media_type or default, digest_of(payload), len(document))
    blobs = [Descriptor.of(_layer(step).data, SCHEMA1_LAYER) for step in steps]
    data = {
        blob.digest: _layer(step).data for blob, step in zip(blobs, steps, strict=True)
    }
    solid = [
        blob for blob, step in zip(blobs, steps, strict=True) if not _is_empty(step)
    ]
    return Schema1Image(
        repository=repository,
        tag=tag,
        descriptor=root,
        manifests=(),
        documents=(root,),
        contents=tuple(unique(blobs).values()),
        data=frozen({root.digest: document, **data}),
        payload=payload,
        steps=tuple(blobs),
        solid=tuple(solid),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """All that is asked for, checked; ``build_schema1`` says what each means."""

    layers: int | Sequence[Layer | bytes | Step | None] = 1
    layer_size: int = 1024
    compression: Compression = "gzip"
    repeat_layers: int = 1
    empty_layers: int = 0
    mark: Mark | None = "throwaway"
    seed: int | str = 0
    config: Mapping[str, Any] | None = None
    signatures: Sequence[Algorithm | Signature] = ("ES256",)
    format_length: int | None = None
    media_type: str | None = None
    outside: Mapping[str, Any] | None = None
    edit_manifest: Edit | None = None
    edit_document: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        for name, least in (("layer_size", 0), ("repeat_layers", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r}: at least {least}")
        for name in ("layers", "empty_layers"):
            if isinstance(count := getattr(self, name), int) and count < 0:
                raise ValueError(f"{name}={count!r}: at least 0")
        if self.compression not in COMPRESSIONS:
            choices = ", ".join(COMPRESSIONS)
            raise ValueError(f"compression={self.compression!r}: one of {choices}")
        if self.mark not in {"throwaway", "size", None}:
            raise ValueError(f"mark={self.mark!r}: throwaway, size or None")
        self._check_signatures()

    def _check_signatures(self) -> None:
        if isinstance(self.signatures, str):
            raise ValueError("signatures: a sequence of them, not one string")
        for signature in self.signatures:
            name = signature if isinstance(signature, str) else signature.algorithm
            if name not in ALGORITHMS:
                choices = ", ".join(ALGORITHMS)
                raise ValueError(f"signatures: {name!r} is none of {choices}")
        if self.outside is not None and not self.signatures:
            raise ValueError("outside: only a signed document has an outside")

    def steps(self) -> list[Step]:
        """Return the steps, the base first."""
        if isinstance(self.layers, int):
            layers: Sequence[Layer | bytes | Step | None] = [
                seeded_layer(
                    f"layer-{self.seed}-{number}",
                    size=self.layer_size,
                    compression=self.compression,
                )
                for number in range(self.layers)
            ]
        else:
            layers = self.layers
        steps = [
            item if isinstance(item, Step) else Step(layer=item)
            for item in layers
            for _ in range(self.repeat_layers)
        ]
        return [*steps, *([Step()] * self.empty_layers)]


def _make_plan(options: Schema1Options) -> _Plan:
    known = tuple(item.name for item in fields(_Plan))
    for name in options:
        if name not in known:
            raise ValueError(f"{name}: unknown keyword; there are {', '.join(known)}")
    return _Plan(**options)


def _payload(
    plan: _Plan, repository: str, tag: str | None, steps: Sequence[Step]
) -> bytes:
    """Write the manifest with the members in Docker's order (schema1.Manifest)."""
    config = _config(plan, steps)
    histories = list(_histories(plan, config, steps))
    blob_sums = [digest_of(_layer(step).data) for step in steps]
    document: Document = {
        "schemaVersion": 1,
        "name": repository,
        "tag": tag or "",
        "architecture": config.get("architecture", ""),
        "fsLayers": [{"blobSum": blob_sum} for blob_sum in reversed(blob_sums)],
        "history": [{"v1Compatibility": text} for text in reversed(histories)],
    }
    changed = None if plan.edit_manifest is None else plan.edit_manifest(document)
    if isinstance(changed, bytes):
        return changed
    written = document if changed is None else changed
    return go_json(written, indent=INDENT).encode("utf-8", "surrogatepass")


def _config(plan: _Plan, steps: Sequence[Step]) -> Document:
    """Return the image that the manifest is made from."""
    solid = [_layer(step) for step in steps if not _is_empty(step)]
    config = config_document(Platform(), solid)
    config["container_config"] = {"Cmd": [_created_by(steps[-1])] if steps else []}
    return {**config, **(plan.config or {})}


def _histories(plan: _Plan, config: Document, steps: Sequence[Step]) -> list[str]:
    """Write the v1 images, the base first (schema1 config_builder.go, Build)."""
    texts: list[str] = []
    parent = ""
    for number, step in enumerate(steps):
        is_top = number == len(steps) - 1
        blob = hashlib.sha256(_layer(step).data).hexdigest()
        source = f"{blob} {parent}".encode()
        if is_top:
            source += b" " + canonical_json(config)
        image: Document = {"id": hashlib.sha256(source).hexdigest()}
        if parent:
            image["parent"] = parent
        if not is_top:
            image["created"] = _EPOCH
            image["container_config"] = {"Cmd": [_created_by(step)]}
        _mark(image, step, plan.mark)
        parent = image["id"]
        if is_top:
            image = _top(image, config)
        texts.append(_edited(image, step))
    return texts


def _top(image: Document, config: Document) -> Document:
    """Return the image of the top layer: the config, but for what v1 had not."""
    merged = {**config, **image}
    names = sorted(set(merged).difference(("rootfs", "history")))
    return {name: merged[name] for name in names}


def _mark(image: Document, step: Step, mark: Mark | None) -> None:
    if mark == "throwaway" and _is_empty(step):
        image["throwaway"] = True
    if mark == "size":
        image["Size"] = 0 if _is_empty(step) else len(_layer(step).data)


def _edited(image: Document, step: Step) -> str:
    changed = None if step.edit is None else step.edit(image)
    if isinstance(changed, str):
        return changed
    return go_json(image if changed is None else changed)


def _signed(plan: _Plan, payload: bytes) -> bytes:
    document = payload
    if plan.signatures:
        signatures = [
            _signature(plan, payload, item, place)
            for place, item in enumerate(plan.signatures)
        ]
        document = pretty(payload, signatures, outside=plan.outside)
    return document if plan.edit_document is None else plan.edit_document(document)


def _signature(
    plan: _Plan, payload: bytes, item: Algorithm | Signature, place: int
) -> Document:
    wanted = Signature(algorithm=item) if isinstance(item, str) else item
    seed = wanted.seed
    if seed is None:
        # One RSA key a place for all images: to find its primes takes time.
        seed = str(place) if wanted.algorithm == "RS256" else f"{plan.seed}/{place}"
    length = wanted.format_length
    document = sign(
        payload,
        trust_key(wanted.algorithm, seed),
        format_length=plan.format_length if length is None else length,
        edit_protected=wanted.edit_protected,
    )
    changed = None if wanted.edit is None else wanted.edit(document)
    return document if changed is None else changed


def _layer(step: Step) -> Layer:
    if step.layer is None:
        return Layer(data=EMPTY_TAR)
    return step.layer if isinstance(step.layer, Layer) else Layer(data=step.layer)


def _is_empty(step: Step) -> bool:
    return step.layer is None if step.empty is None else step.empty


def _created_by(step: Step) -> str:
    if _is_empty(step):
        return "/bin/sh -c #(nop) ENV FAKE=1"
    return "/bin/sh -c #(nop) ADD file in /"
