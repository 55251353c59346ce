"""Mirrors: containerd v1.5.18 remotes/docker/schema1/converter.go.

Images of before 2016 become OCI images while they are pulled. The converter is the
handler that fetches them, and in the end writes the manifest and the configuration
that they never had:

    converter = Converter(store, fetcher)
    await images.dispatch(converter.handle, None, desc)
    desc = await converter.convert()

The schema1 manifest itself is not kept. Base layers are fetched first. What is
written depends on the image alone, so that two machines get the same digest.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from anyio.from_thread import check_cancelled

from refimpl import digest, gojson
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    wrapped,
)
from refimpl.gotext import quote
from refimpl.images.documents import MAX_DOCUMENT_SIZE, parse_blob
from refimpl.images.image import Manifest
from refimpl.images.mediatypes import (
    MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST,
    MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG,
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER,
    MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP,
    MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST,
    MEDIA_TYPE_IMAGE_CONFIG,
    MEDIA_TYPE_IMAGE_MANIFEST,
)
from refimpl.remotes.docker.blobstate import BlobState, BlobStateCalculator
from refimpl.remotes.docker.schema1_document import (
    Schema1Manifest,
    known_states,
    make_config,
    parse_manifest,
)
from refimpl.remotes.docker.signature import strip_signature
from refimpl.remotes.handlers import make_ref_key
from refimpl.remotes.resolver import Fetcher
from refimpl.stores import content
from refimpl.workers import run_blocking

__all__ = ["MAX_LAYER_SIZE", "USE_DOCKER_SCHEMA2", "ConvertOptions", "Converter"]

_log = logging.getLogger(__name__)

# A schema1 manifest states no sizes, so something else has to: 16 GiB.
MAX_LAYER_SIZE: Final = 16 << 30

LABEL_UNCOMPRESSED: Final = "containerd.io/uncompressed"
LABEL_DOCKER_SCHEMA1_EMPTY_LAYER: Final = "containerd.io/docker.schema1.empty-layer"

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_READ: Final = 1 << 20
# Go: strconv.ParseBool.
_BOOLS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """What the converted documents are called (converter.go:126)."""

    manifest_media_type: str = MEDIA_TYPE_IMAGE_MANIFEST
    config_media_type: str = MEDIA_TYPE_IMAGE_CONFIG


_OCI: Final = ConvertOptions()
USE_DOCKER_SCHEMA2: Final = ConvertOptions(
    manifest_media_type=MEDIA_TYPE_DOCKER_SCHEMA2_MANIFEST,
    config_media_type=MEDIA_TYPE_DOCKER_SCHEMA2_CONFIG,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A layer that is in the store: what the manifest and the configuration say."""

    desc: Descriptor
    state: BlobState


class Converter:
    """Converts one schema1 image while it is fetched (converter.go:57).

    Args:
        store: where the layers and the new documents go.
        fetcher: fetches from the repository of the image.
        max_layer_size: how many bytes a layer may have as it is stored, and as many
            again unpacked.
    """

    def __init__(
        self,
        store: content.Store,
        fetcher: Fetcher,
        *,
        max_layer_size: int = MAX_LAYER_SIZE,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._max_layer_size = max_layer_size
        self._manifest: Schema1Manifest | None = None
        self._states: dict[Digest, BlobState] = {}
        self._layers: dict[Digest, _Layer] = {}

    async def handle(self, desc: Descriptor) -> Sequence[Descriptor]:
        """Fetch the manifest, or one of its layers (converter.go:79).

        Returns the layers of the manifest that are not known to be empty, base first.

        Raises:
            ErrFailedPrecondition: content has another digest, or is too long.
            JSONError: the manifest is not JSON, or a field has another type.
            ContainerdError: it is not signed or contradicts itself, a layer cannot
                be unpacked, or ``desc`` is something else.
        """
        if desc.media_type == MEDIA_TYPE_DOCKER_SCHEMA1_MANIFEST:
            self._manifest = manifest = await self._fetch_manifest(desc)
            self._states = await run_blocking(known_states, manifest)
            return tuple(
                Descriptor(
                    media_type=MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP,
                    digest=blob_sum,
                    size=-1,
                )
                for blob_sum, state in reversed(self._states.items())
                if not state.empty
            )
        if desc.media_type == MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP:
            if self._manifest is None:
                raise ContainerdError("manifest required for schema 1 blob pull")
            self._layers[desc.digest] = await self._fetch_blob(desc)
            return ()
        raise ContainerdError(f"{desc.media_type} not support for schema 1 manifests")

    async def convert(self, options: ConvertOptions = _OCI) -> Descriptor:
        """Write manifest and configuration once all has been fetched (:149).

        Returns the descriptor of the manifest.

        Raises:
            JSONError: an entry of the history is not JSON.
            ContainerdError: there is no history, or no manifest was fetched.
        """
        if self._manifest is None:
            raise ContainerdError(
                "schema 1 conversion failed: missing schema 1 manifest for conversion"
            )
        states = self._states | {
            blob_sum: layer.state for blob_sum, layer in self._layers.items()
        }
        data, diff_ids = await run_blocking(make_config, self._manifest, states)
        config = _describe(options.config_media_type, data)
        layers = self._by_diff_id()
        manifest = Manifest(
            schema_version=2,
            config=config,
            layers=tuple(layers.get(diff_id, Descriptor()) for diff_id in diff_ids),
        )
        desc = await self._write_manifest(options.manifest_media_type, manifest)
        with wrapped("failed to write image config"):
            await content.write_blob(self._store, make_ref_key(config), data, config)
        return desc

    def _by_diff_id(self) -> dict[Digest, Descriptor]:
        """Return what stores the layers, by their digests when unpacked (:65).

        Of two blobs that unpack to the same the upper one is taken. containerd takes
        the one that was fetched last: the same, where one is fetched at a time.
        """
        layers = [
            self._layers[key] for key in reversed(self._states) if key in self._layers
        ]
        return {layer.state.diff_id: layer.desc for layer in layers}

    async def _write_manifest(self, media_type: str, manifest: Manifest) -> Descriptor:
        data = gojson.marshal_indent(manifest.to_json(), "   ")
        desc = _describe(media_type, data)
        labels = {
            f"containerd.io/gc.ref.content.{number}": str(child.digest)
            for number, child in enumerate((manifest.config, *(manifest.layers or ())))
        }
        with wrapped("failed to write image manifest"):
            await content.write_blob(
                self._store, make_ref_key(desc), data, desc, labels=labels
            )
        return desc

    async def _fetch_manifest(self, desc: Descriptor) -> Schema1Manifest:
        """Return the manifest; it is not stored (converter.go:241)."""
        async with aclosing(await self._fetcher.fetch(desc)) as reader:
            document = await _read(reader, MAX_DOCUMENT_SIZE)
        algorithm = digest.algorithm(desc.digest)
        payload, found, whole = await parse_blob(_hashed, document, algorithm)
        # DEVIATION D14: containerd never hashes the document (converter.go:241): who
        # asks for a digest gets whatever the registry calls schema1. The digest is
        # that of the payload (distribution v2.8.3 docs/spec/api.md, Digest Header);
        # that of all that came pins it no less.
        if desc.digest not in (found, whole):
            raise ErrFailedPrecondition(
                f"unexpected digest {found} of a schema 1 manifest, "
                f"expected {desc.digest}"
            )
        return await parse_blob(parse_manifest, payload)

    async def _fetch_blob(self, desc: Descriptor) -> _Layer:
        """Bring a layer into the store and find out what it is (converter.go:267)."""
        # DEVIATION D18: containerd asks for whatever stands in blobSum.
        with wrapped(f"invalid blobSum {quote(desc.digest)}"):
            digest.validate(desc.digest)
        # Not known yet, which the store calls 0.
        ingest_desc = replace(desc, size=max(desc.size, 0))
        try:
            writer = await content.open_writer(
                self._store, ref=make_ref_key(desc), desc=ingest_desc
            )
        except ErrAlreadyExists:
            layer = await self._reuse_label_blob_state(desc)
            if layer is not None:
                return layer
            calculator = await self._read_stored(desc)
        else:
            async with writer:
                calculator = await self._download(writer, ingest_desc, desc)
        state = await run_blocking(calculator.finish)
        with wrapped("failed to get blob info"):
            info = await self._store.info(desc.digest)
        media_type = desc.media_type
        if not calculator.compressed:
            media_type = MEDIA_TYPE_DOCKER_SCHEMA2_LAYER
        await self._label(desc.digest, state)
        return _Layer(
            desc=replace(desc, media_type=media_type, size=info.size), state=state
        )

    async def _download(
        self, writer: content.Writer, ingest_desc: Descriptor, desc: Descriptor
    ) -> BlobStateCalculator:
        # DEVIATION D34: containerd goes on where an ingest broke off, or finds it
        # complete (content/helpers.go:147), yet computes the diffID of all that the
        # registry sends now (converter.go:342): of bytes that are never verified.
        # All of it is asked for anyway, so that all of it is stored anew.
        if writer.status().offset > 0:
            await writer.truncate(0)
        calculator = self._calculator()
        async with aclosing(await self._fetcher.fetch(desc)) as reader:
            # DEVIATION D33: where the header of gzip is broken, containerd stops to
            # read the pipe that the download writes to (converter.go:327), and waits
            # for its end. Here the download ends, and is told what it was.
            tee = _Tee(reader, calculator, self._max_layer_size)
            await content.copy(writer, tee, ingest_desc.size, ingest_desc.digest)
        return calculator

    async def _read_stored(self, desc: Descriptor) -> BlobStateCalculator:
        reader = await self._store.reader_at(desc)
        try:
            calculator = self._calculator()
            await run_blocking(_pour, reader, calculator)
        finally:
            reader.close()
        return calculator

    def _calculator(self) -> BlobStateCalculator:
        return BlobStateCalculator(
            limit=self._max_layer_size, checkpoint=check_cancelled
        )

    async def _label(self, blob_sum: Digest, state: BlobState) -> None:
        """Note on a layer what it is, so that it need not be unpacked again."""
        labels = {
            LABEL_UNCOMPRESSED: str(state.diff_id),
            LABEL_DOCKER_SCHEMA1_EMPTY_LAYER: str(state.empty).lower(),
        }
        info = content.Info(
            digest=blob_sum,
            size=0,
            created_at=_NEVER,
            updated_at=_NEVER,
            labels=labels,
        )
        with wrapped("failed to update uncompressed label"):
            await self._store.update(info, *(f"labels.{key}" for key in labels))

    async def _reuse_label_blob_state(self, desc: Descriptor) -> _Layer | None:
        """Return what an earlier conversion noted on a layer (converter.go:385)."""
        with wrapped("failed to get blob info"):
            info = await self._store.info(desc.digest)
        diff_id = info.labels.get(LABEL_UNCOMPRESSED)
        empty = info.labels.get(LABEL_DOCKER_SCHEMA1_EMPTY_LAYER)
        if diff_id is None or empty is None:
            return None
        if empty not in _BOOLS or digest.defect(diff_id):
            _log.warning(
                "%s: labels that say nothing: %s=%s, %s=%s",
                *(desc.digest, LABEL_UNCOMPRESSED, quote(diff_id)),
                *(LABEL_DOCKER_SCHEMA1_EMPTY_LAYER, quote(empty)),
            )
            return None
        media_type = MEDIA_TYPE_DOCKER_SCHEMA2_LAYER_GZIP
        if diff_id == desc.digest:
            media_type = MEDIA_TYPE_DOCKER_SCHEMA2_LAYER
        return _Layer(
            desc=replace(desc, media_type=media_type, size=info.size),
            state=BlobState(diff_id=Digest(diff_id), empty=_BOOLS[empty]),
        )


def _describe(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(
        media_type=media_type, digest=digest.from_bytes(data), size=len(data)
    )


def _hashed(document: bytes, algorithm: str) -> tuple[bytes, Digest, Digest]:
    """Return the payload of a document, its digest, and that of all of it."""
    payload = strip_signature(document)
    return (
        payload,
        digest.from_bytes(payload, algorithm),
        digest.from_bytes(document, algorithm),
    )


async def _read(reader: content.Reader, limit: int) -> bytes:
    """Return all that a reader has.

    Raises:
        ErrFailedPrecondition: it has more bytes than ``limit``.
    """
    document = bytearray()

    def sink(data: memoryview) -> int:
        # DEVIATION D17: containerd parses the first 8 MB of whatever comes
        # (converter.go:233), and calls what it has cut off broken.
        if len(document) + len(data) > limit:
            raise ErrFailedPrecondition(
                f"a schema 1 manifest of more than {limit} bytes"
            )
        document.extend(data)
        return len(data)

    await reader.write_to(sink)
    return bytes(document)


class _Tee:
    """A reader whose bytes go to a calculator, too (converter.go:342)."""

    def __init__(
        self, reader: content.Reader, calculator: BlobStateCalculator, limit: int
    ) -> None:
        self._reader = reader
        self._calculator = calculator
        self._left = limit
        self._limit = limit

    async def seek(self, offset: int, /) -> None:
        """Refuse: what is skipped would be missing in the calculation."""
        raise ErrInvalidArgument(f"a schema 1 layer is read from 0, not {offset}")

    async def write_to(self, sink: content.Sink, /) -> int:
        """Move all that is left into ``sink`` and the calculator."""

        def both(data: memoryview) -> int:
            # DEVIATION D19: with no size to hold it to, a registry may send for
            # ever, and containerd stores all of it (converter.go:342).
            self._left -= len(data)
            if self._left < 0:
                raise ErrFailedPrecondition(f"a layer of more than {self._limit} bytes")
            self._calculator.write(data)
            return sink(data)

        return await self._reader.write_to(both)

    async def aclose(self) -> None:
        """Do nothing: who has made the reader closes it."""


def _pour(reader: content.ReaderAt, calculator: BlobStateCalculator) -> None:
    for offset in range(0, reader.size, _READ):
        check_cancelled()
        calculator.write(memoryview(reader.read_at(offset, _READ)))
