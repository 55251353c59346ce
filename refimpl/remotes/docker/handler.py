"""Mirrors: containerd v1.5.18 remotes/docker/handler.go.

Content remembers which repositories it came from, so that a later push to the same
registry can mount it instead of sending it.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from refimpl import gourl, labels, reference
from refimpl.descriptor import Descriptor
from refimpl.errdefs import ErrInvalidArgument
from refimpl.images.handlers import Handler
from refimpl.stores.content import Info, Manager

__all__ = [
    "LABEL_DISTRIBUTION_SOURCE",
    "append_distribution_source_label",
    "distribution_source",
]

_log = logging.getLogger(__name__)

LABEL_DISTRIBUTION_SOURCE: Final = "containerd.io/distribution.source"

_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


def append_distribution_source_label(manager: Manager, ref: str) -> Handler:
    """Return a handler that notes on content where it came from (handler.go:39).

    The label is ``containerd.io/distribution.source.<host without port>``; its value
    lists repositories, sorted and without duplicates.

    Raises:
        ErrInvalid: ``ref`` is no reference.
        ErrHostnameRequired: ``ref`` names no host.
        URLError: ``ref`` is no URL.
    """
    source, repository = distribution_source(reference.parse(ref))
    key = f"{LABEL_DISTRIBUTION_SOURCE}.{source}"

    async def handle(desc: Descriptor) -> Sequence[Descriptor]:
        info = await manager.info(desc.digest)
        value = _append(info.labels.get(key, ""), repository)
        try:
            labels.validate(key, value)
        except ErrInvalidArgument as err:
            _log.warning("skip to append distribution label: %s", err)
            return ()
        info = Info(
            digest=desc.digest,
            size=0,
            created_at=_NEVER,
            updated_at=_NEVER,
            labels={key: value},
        )
        await manager.update(info, f"labels.{key}")
        return ()

    return handle


def distribution_source(spec: reference.Spec) -> tuple[str, str]:
    """Return host name and repository of a reference, as the label has them."""
    url = gourl.parse(f"dummy://{spec.locator}")
    return url.hostname, url.path.removeprefix("/")


def _append(label: str, repository: str) -> str:
    """Add a repository to a label's value (handler.go:84)."""
    repositories = {*label.split(","), repository}
    return ",".join(sorted(repositories - {""}))
