"""What a registry can do, and what it has switched off.

The specification leaves much to a registry; clients have to live with every
choice. All is on by default, as distribution-spec v1.1.1 describes it.

    Registry(features=Features(referrers=False, delete_tags=False, page_size=2))
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Features"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """The optional parts of the API, and the limits of a registry.

    Attributes:
        push: Take pushes at all; if not, every write gets 405.
        single_post: Take a blob in one POST; if not, the POST gets 202.
        mount: Mount blobs from other repositories; if not, such a POST gets 202.
        anonymous_mount: Mount without ``from``, out of any repository.
        delete_tags: Delete tags; if not: 405.
        delete_manifests: Delete manifests by digest; if not: 405.
        delete_blobs: Delete blobs; if not: 405.
        referrers: The referrers API; if not: 404, and clients keep the list under
            a tag (Referrers Tag Schema).
        catalog: ``/v2/_catalog``, which was never part of the OCI specification.
        tag_parameters: Tag what is pushed by digest with ``?tag=``.
        multiple_ranges: Answer several ranges at once; if not: the whole blob.
        lenient: Take manifests without looking into them.
        strict_accept: A manifest that the client does not accept is unknown.
        absolute_locations: Locations are URLs with a host, not only paths.
        min_chunk: Announce this OCI-Chunk-Min-Length.
        page_size: Entries of a list that are given at once; None: all.
        manifest_limit: Bytes of the largest manifest that is taken.
        blob_limit: Bytes of the largest blob that is taken: an upload without an
            end would fill the disk. What is larger gets 413.

    Raises:
        ValueError: A size is below 1.
    """

    push: bool = True
    single_post: bool = True
    mount: bool = True
    anonymous_mount: bool = True
    delete_tags: bool = True
    delete_manifests: bool = True
    delete_blobs: bool = True
    referrers: bool = True
    catalog: bool = True
    tag_parameters: bool = True
    multiple_ranges: bool = True
    lenient: bool = False
    strict_accept: bool = False
    absolute_locations: bool = False
    min_chunk: int | None = None
    page_size: int | None = None
    manifest_limit: int = 4 * 1024 * 1024
    blob_limit: int = 16 * 1024 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in ("min_chunk", "page_size", "manifest_limit", "blob_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value!r}: a number from 1 on")
