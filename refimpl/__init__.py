"""The client pull of containerd v1.5.18, as a reference that runs and can be read.

    from pathlib import Path
    from refimpl import Client, RemoteContext

    async with Client(Path("store")) as client:
        image = await client.pull(
            "127.0.0.1:5000/library/hello:1",
            RemoteContext(platforms=("linux/arm/v7",)),
        )

Start reading at ``refimpl/pull.py``; README.md beside it is the way from there.
"""

import logging

from refimpl.client import Client, RemoteContext
from refimpl.descriptor import Descriptor, Platform
from refimpl.digest import Digest
from refimpl.errdefs import (
    ContainerdError,
    ErrAlreadyExists,
    ErrFailedPrecondition,
    ErrInvalidArgument,
    ErrNotFound,
    ErrNotImplemented,
    ErrSkipDesc,
    ErrStopHandler,
    ErrUnavailable,
    ErrUnexpectedEOF,
    ErrUnexpectedStatus,
    ErrUnknown,
    HandlerSignal,
    message,
)
from refimpl.image import Image, UnpackConfig
from refimpl.remotes.docker import ResolverOptions, new_resolver

__all__ = [
    "Client",
    "ContainerdError",
    "Descriptor",
    "Digest",
    "ErrAlreadyExists",
    "ErrFailedPrecondition",
    "ErrInvalidArgument",
    "ErrNotFound",
    "ErrNotImplemented",
    "ErrSkipDesc",
    "ErrStopHandler",
    "ErrUnavailable",
    "ErrUnexpectedEOF",
    "ErrUnexpectedStatus",
    "ErrUnknown",
    "HandlerSignal",
    "Image",
    "Platform",
    "RemoteContext",
    "ResolverOptions",
    "UnpackConfig",
    "message",
    "new_resolver",
]

# A library is silent unless its user wants to hear it.
logging.getLogger(__name__).addHandler(logging.NullHandler())
