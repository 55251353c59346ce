"""Builders of images: seeded, deterministic, genuine.

    image = build_image("library/hello", "1", layers=2, platforms=["linux/amd64"])
    image.digest, image.config, image.layers, image.data[image.digest]

Everything that is not asked to be wrong is right: layers are tar archives, diff
IDs are those of their contents, descriptors match bytes. The same arguments give
the same bytes, on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Unpack

from fakeregistry.image import (
    IN_TOTO,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
    Image,
    Manifest,
    Platform,
    canonical_json,
    frozen,
    unique,
)
from fakeregistry.layers import Layer, seeded_layer
from fakeregistry.plan import (
    Document,
    Edit,
    Embedded,
    Entry,
    ImageOptions,
    Plan,
    make_plan,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Descriptor",
    "Entry",
    "Image",
    "ImageOptions",
    "Layer",
    "Manifest",
    "Platform",
    "build_image",
    "split_name",
]

# Annotation that ``manifest_size`` and ``index_size`` fill up.
PADDING: Final = "vnd.fakeregistry.padding"
_EPOCH: Final = "1970-01-01T00:00:00Z"
_DEFAULT: Final = Platform()


def build_image(
    repository: str = "library/test",
    tag: str | None = "latest",
    **options: Unpack[ImageOptions],
) -> Image:
    """Build an image, or an index of images.

    Args:
        repository: Where it will be; nothing is published here.
        tag: The tag that will name it; None for none.
        **options: All of these have defaults:

            layers: How many, or the layers themselves (bytes: blobs as they are).
            layer_size: Bytes of file content in each.
            platforms: The entries of the root index, in order: platforms, None
                for one without platform, or ``Entry``. None: no index, one
                manifest for linux/amd64.
            format: "oci" or "docker"; "oci", but "docker" for a legacy config.
            legacy_config: The config's media type is application/octet-stream.
            compression: "gzip", "zstd" or "none".
            annotations: Those of every manifest.
            index_annotations: Those of the root index.
            seed: Another seed, another image.
            config: Members that replace those of the config, or its raw bytes.
            config_media_type: Media type in the config's descriptor.
            layer_media_type: Media type in the layers' descriptors.
            repeat_layers: How often every layer is listed in a row.
            nesting: Number of further indexes around, each with one entry.
            nesting_platform: Platform of their entries.
            media_type_field: Whether documents have ``mediaType``.
            artifact_type: Make manifests artifacts of this type, with the empty
                config unless ``config`` is given.
            subject: ``subject`` of every manifest: a descriptor, or the image that
                it is about.
            algorithm: Digest algorithm of configs and layers.
            document_algorithm: Digest algorithm of manifests and indexes.
            embed: Which descriptors bring their content as ``data``: "config",
                "layers", "manifests".
            manifest_size: Exact number of bytes of every image manifest, padded
                with an annotation after its edit.
            index_size: The same for the root index.
            edit_manifest: Gets each manifest as a dict before it is written;
                changes it, or returns another dict, or bytes to be kept raw.
            edit_index: The same for the root index.

    Raises:
        ValueError: A keyword is unknown, or has a value that makes no sense.
    """
    plan = make_plan(options)
    bench = _Bench(plan)
    if plan.platforms is None:
        root = bench.manifest(str(plan.seed), Entry(platform=_DEFAULT))
    else:
        root = bench.index(str(plan.seed), plan.platforms)
    root = bench.nest(root)
    documents = unique((root, *bench.documents))
    return Image(
        repository=repository,
        tag=tag,
        descriptor=root,
        manifests=tuple(bench.manifests),
        documents=tuple(documents.values()),
        contents=tuple(unique(bench.contents).values()),
        data=frozen(bench.data),
    )


def split_name(name: str) -> tuple[str, str]:
    """Split ``repository[:tag]``; the tag is "latest" by default."""
    repository, colon, tag = name.partition(":")
    return repository, tag if colon else "latest"


@dataclass(slots=True)
class _Bench:
    """Where the parts of one image come together, leaves first."""

    plan: Plan
    manifests: list[Manifest] = field(default_factory=list)
    documents: list[Descriptor] = field(default_factory=list)
    contents: list[Descriptor] = field(default_factory=list)
    data: dict[str, bytes] = field(default_factory=dict)

    def nest(self, root: Descriptor) -> Descriptor:
        """Put the root into as many further indexes as are asked for."""
        platform = _platform(self.plan.nesting_platform)
        for depth in range(self.plan.nesting, 0, -1):
            entry = self._written(replace(root, platform=platform), "manifests")
            root = self._write_index([entry], outermost=depth == 1)
        return root

    def index(
        self, seed: str, items: Sequence[str | Platform | Entry | None]
    ) -> Descriptor:
        """Build the root index with everything below it."""
        entries = self._entries(seed, items)
        return self._write_index(entries, outermost=not self.plan.nesting)

    def _entries(
        self, seed: str, items: Sequence[str | Platform | Entry | None]
    ) -> list[Document]:
        entries: list[Document] = []
        for number, item in enumerate(items):
            entry = item if isinstance(item, Entry) else Entry(platform=item)
            place = f"{seed}/{number}"
            descriptor = self._entry(place, entry, entries)
            document = self._written(_described(descriptor, entry), "manifests")
            if entry.edit_descriptor is not None:
                document = entry.edit_descriptor(document) or document
            entries.append(document)
        return entries

    def _entry(self, seed: str, entry: Entry, before: list[Document]) -> Descriptor:
        if entry.data is not None:
            if entry.media_type is None:
                raise ValueError("data: an entry of raw bytes needs media_type=")
            return self._add_content(entry.data, entry.media_type, document=True)
        if entry.children is not None:
            entries = self._entries(seed, entry.children)
            return self._write_index(entries, edit=entry.edit)
        if entry.attestation:
            if not before:
                raise ValueError("attestation: comes after an entry; see edit_index=")
            return self._attestation(entry, str(before[-1]["digest"]))
        return self.manifest(seed, entry)

    def manifest(self, seed: str, entry: Entry) -> Descriptor:
        """Build one manifest with its config and layers."""
        layers = self._layers(seed, entry)
        described = tuple(self._add_layer(layer) for layer in layers)
        config = self._config(entry, layers)
        document: Document = {"schemaVersion": 2}
        if self.plan.media_type_field:
            document["mediaType"] = self.plan.manifest_type
        if self.plan.artifact_type is not None:
            document["artifactType"] = self.plan.artifact_type
        document["config"] = self._written(config, "config")
        document["layers"] = [self._written(layer, "layers") for layer in described]
        if (subject := self.plan.subject_descriptor) is not None:
            document["subject"] = subject.to_json()
        if self.plan.annotations is not None:
            document["annotations"] = dict(self.plan.annotations)
        edit = entry.edit or self.plan.edit_manifest
        data = _edited(document, edit, ("manifest_size", self.plan.manifest_size))
        return self._add_manifest(data, config, described, _platform(entry.platform))

    def _layers(self, seed: str, entry: Entry) -> list[Layer]:
        wanted = self.plan.layers if entry.layers is None else entry.layers
        if isinstance(wanted, int):
            size, compression = self.plan.layer_size, self.plan.compression
            layers = [
                seeded_layer(
                    f"layer-{seed}-{number}", size=size, compression=compression
                )
                for number in range(wanted)
            ]
        else:
            layers = [
                item if isinstance(item, Layer) else Layer(data=item) for item in wanted
            ]
        return [layer for layer in layers for _ in range(self.plan.repeat_layers)]

    def _config(self, entry: Entry, layers: Sequence[Layer]) -> Descriptor:
        plan = self.plan
        if isinstance(plan.config, bytes):
            data = plan.config
        elif plan.artifact_type is not None and plan.config is None:
            data = b"{}"
        else:
            platform = _platform(entry.config_platform) or _platform(entry.platform)
            document = config_document(platform or _DEFAULT, layers)
            data = canonical_json({**document, **(plan.config or {})})
        return self._add_content(data, plan.config_type)

    def _attestation(self, entry: Entry, subject: str) -> Descriptor:
        """Build what BuildKit puts beside each image (attestation-storage.md)."""
        algorithm, _, value = subject.partition(":")
        predicate = "https://slsa.dev/provenance/v0.2"
        statement = {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": predicate,
            "subject": [{"name": "image", "digest": {algorithm: value}}],
            "predicate": {},
        }
        layer = replace(
            self._add_content(canonical_json(statement), IN_TOTO),
            annotations={"in-toto.io/predicate-type": predicate},
        )
        unknown = Platform("unknown", "unknown")
        layers = (Layer(data=self.data[layer.digest]),)
        config_data = canonical_json(config_document(unknown, layers))
        config = self._add_content(config_data, OCI_CONFIG)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json()],
        }
        data = _edited(document, entry.edit)
        platform = _platform(entry.platform) or unknown
        found = self._add_manifest(data, config, (layer,), platform, OCI_MANIFEST)
        annotations = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject,
        }
        return replace(found, platform=platform, annotations=annotations)

    def _write_index(
        self,
        entries: list[Document],
        *,
        outermost: bool = False,
        edit: Edit | None = None,
    ) -> Descriptor:
        document: Document = {"schemaVersion": 2}
        if self.plan.media_type_field:
            document["mediaType"] = self.plan.index_type
        document["manifests"] = entries
        if outermost and self.plan.index_annotations is not None:
            document["annotations"] = dict(self.plan.index_annotations)
        if outermost:
            size = ("index_size", self.plan.index_size)
            data = _edited(document, self.plan.edit_index, size)
        else:
            data = _edited(document, edit)
        return self._add_document(data, self.plan.index_type)

    def _written(self, descriptor: Descriptor, place: Embedded) -> Document:
        """Return a descriptor as it stands in a document."""
        if place in self.plan.embed:
            data = self.data[descriptor.digest]
            return replace(descriptor, data=data).to_json()
        return descriptor.to_json()

    def _add_layer(self, layer: Layer) -> Descriptor:
        default = self.plan.foreign_type if layer.foreign else self.plan.layer_type
        media_type = layer.media_type or default
        descriptor = self._add_content(layer.data, media_type, stored=layer.stored)
        return replace(descriptor, annotations=layer.annotations, urls=layer.urls)

    def _add_content(
        self,
        data: bytes,
        media_type: str,
        *,
        document: bool = False,
        stored: bool = True,
    ) -> Descriptor:
        plan = self.plan
        algorithm = plan.document_algorithm if document else plan.algorithm
        descriptor = Descriptor.of(data, media_type, algorithm=algorithm)
        self.data[descriptor.digest] = data
        if stored:
            self.contents.append(descriptor)
        if document:
            self.documents.append(descriptor)
        return descriptor

    def _add_document(self, data: bytes, media_type: str) -> Descriptor:
        algorithm = self.plan.document_algorithm
        descriptor = Descriptor.of(data, media_type, algorithm=algorithm)
        self.data[descriptor.digest] = data
        self.documents.append(descriptor)
        return descriptor

    def _add_manifest(
        self,
        data: bytes,
        config: Descriptor,
        layers: tuple[Descriptor, ...],
        platform: Platform | None,
        media_type: str | None = None,
    ) -> Descriptor:
        descriptor = self._add_document(data, media_type or self.plan.manifest_type)
        manifest = Manifest(
            descriptor=descriptor, config=config, layers=layers, platform=platform
        )
        self.manifests.append(manifest)
        return descriptor


def _described(descriptor: Descriptor, entry: Entry) -> Descriptor:
    """Return the descriptor as the index is to show it."""
    return replace(
        descriptor,
        media_type=entry.media_type or descriptor.media_type,
        platform=_platform(entry.platform) or descriptor.platform,
        annotations=entry.annotations or descriptor.annotations,
        artifact_type=entry.artifact_type,
    )


def config_document(platform: Platform, layers: Sequence[Layer]) -> Document:
    """Return a config that OCI (config.md) and Docker (image spec v1.2) both know."""
    described = {key: value for key, value in platform.to_json().items() if value}
    created_by = "ADD a file from fakeregistry"
    return {
        "created": _EPOCH,
        **described,
        "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/true"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": [layer.content_digest() for layer in layers],
        },
        "history": [{"created": _EPOCH, "created_by": created_by} for _ in layers],
    }


def _edited(
    document: Document, edit: Edit | None, size: tuple[str, int | None] = ("", None)
) -> bytes:
    """Edit and write a document; ``size`` is a knob's name and value."""
    name, wanted = size
    changed = None if edit is None else edit(document)
    if isinstance(changed, bytes):
        if wanted is not None and len(changed) != wanted:
            raise ValueError(f"{name}={wanted}: raw bytes of an edit are not padded")
        return changed
    written = document if changed is None else changed
    return canonical_json(written) if wanted is None else _padded(written, name, wanted)


def _padded(document: Document, name: str, size: int) -> bytes:
    """Write a document with an annotation that fills it up to a size."""
    annotations = document.get("annotations") or {}
    if not isinstance(annotations, dict):
        raise ValueError(f"{name}={size}: the edit left no annotations to fill")
    padded = {**document, "annotations": {**annotations, PADDING: ""}}
    missing = size - len(canonical_json(padded))
    if missing < 0:
        raise ValueError(f"{name}={size}: {size - missing} bytes are the least")
    padded["annotations"][PADDING] = "x" * missing
    return canonical_json(padded)


def _platform(platform: str | Platform | None) -> Platform | None:
    return Platform.parse(platform) if isinstance(platform, str) else platform
