"""Calls to containerd's socket: its own services and CRI's images."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.differential.messages import CONTAINERD, CRI, message_types

__all__ = ["CallError", "Socket"]


class CallError(Exception):
    """A call failed: ``code`` is gRPC's name for it, as in ``NOT_FOUND``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Method(NamedTuple):
    path: str
    request: str
    response: str
    streams: bool = False


_IMAGES: Final = "containerd.services.images.v1"
_CONTENT: Final = "containerd.services.content.v1"
_SNAPSHOTS: Final = "containerd.services.snapshots.v1"
_LEASES: Final = "containerd.services.leases.v1"
_METHODS: Final[Mapping[str, _Method]] = {
    "images.List": _Method(
        f"{_IMAGES}.Images/List", "ListImagesRequest", "ListImagesResponse"
    ),
    "images.Delete": _Method(f"{_IMAGES}.Images/Delete", "DeleteImageRequest", "Empty"),
    "content.List": _Method(
        f"{_CONTENT}.Content/List",
        "ListContentRequest",
        "ListContentResponse",
        streams=True,
    ),
    "content.ListStatuses": _Method(
        f"{_CONTENT}.Content/ListStatuses",
        "ListStatusesRequest",
        "ListStatusesResponse",
    ),
    "content.Abort": _Method(f"{_CONTENT}.Content/Abort", "AbortRequest", "Empty"),
    "snapshots.List": _Method(
        f"{_SNAPSHOTS}.Snapshots/List",
        "ListSnapshotsRequest",
        "ListSnapshotsResponse",
        streams=True,
    ),
    "snapshots.View": _Method(
        f"{_SNAPSHOTS}.Snapshots/View", "ViewSnapshotRequest", "ViewSnapshotResponse"
    ),
    "snapshots.Remove": _Method(
        f"{_SNAPSHOTS}.Snapshots/Remove", "RemoveSnapshotRequest", "Empty"
    ),
    "leases.Create": _Method(
        f"{_LEASES}.Leases/Create", "CreateRequest", "CreateResponse"
    ),
    "leases.Delete": _Method(f"{_LEASES}.Leases/Delete", "DeleteRequest", "Empty"),
    "leases.List": _Method(f"{_LEASES}.Leases/List", "ListRequest", "ListResponse"),
    "cri.PullImage": _Method(
        "runtime.v1.ImageService/PullImage", "PullImageRequest", "PullImageResponse"
    ),
}


class Socket:
    """A connection to containerd; calls are by short name, as in ``images.List``."""

    def __init__(self, address: Path) -> None:
        self._grpc: Any = importlib.import_module("grpc")
        self._types = {**message_types(CONTAINERD), **message_types(CRI)}
        self._channel = self._grpc.insecure_channel(f"unix://{address}")

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def call(
        self,
        name: str,
        /,
        *,
        namespace: str = "",
        timeout: float = 30.0,
        **fields: Any,
    ) -> Any:
        """Call a method and return its response; a list of them if it streams.

        Args:
            name: Service and method.
            namespace: Containerd's; CRI has its own.
            timeout: Seconds until it is given up.
            fields: What the request holds; nested messages as dicts.

        Raises:
            CallError: It failed.
        """
        method = _METHODS[name]
        package = method.path.rpartition("/")[0].rpartition(".")[0]
        request = self._types[f"{package}.{method.request}"](**fields)
        response = self._types[f"{package}.{method.response}"]
        kind = self._channel.unary_stream if method.streams else None
        invoke = (kind or self._channel.unary_unary)(
            f"/{method.path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        metadata = [("containerd-namespace", namespace)] if namespace else None
        try:
            answer = invoke(request, timeout=timeout, metadata=metadata)
            return list(answer) if method.streams else answer
        except self._grpc.RpcError as err:
            raise CallError(err.code().name, err.details() or "") from None
