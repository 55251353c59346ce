"""Mirrors: containerd v1.5.18 remotes: where content comes from."""

from refimpl.remotes.handlers import (
    fetch,
    fetch_handler,
    filter_manifest_by_platform_handler,
    make_ref_key,
    with_media_type_key_prefix,
)
from refimpl.remotes.resolver import Fetcher, Resolver

__all__ = [
    "Fetcher",
    "Resolver",
    "fetch",
    "fetch_handler",
    "filter_manifest_by_platform_handler",
    "make_ref_key",
    "with_media_type_key_prefix",
]
