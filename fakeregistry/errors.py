r"""Errors of a registry, as clients see them.

distribution-spec v1.1.1, Error Codes: a JSON body is ``{"errors": [{"code",
"message", "detail"}]}`` and the code is one of a closed list. Handlers raise
:class:`RegistryError`; the application alone renders it.

    >>> RegistryError("BLOB_UNKNOWN", 404).body()
    b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}\n'
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["MESSAGES", "RegistryError"]

# distribution-spec v1.1.1, the table of error codes.
MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BLOB_UNKNOWN": "blob unknown to registry",
        "BLOB_UPLOAD_INVALID": "blob upload invalid",
        "BLOB_UPLOAD_UNKNOWN": "blob upload unknown to registry",
        "DENIED": "requested access to the resource is denied",
        "DIGEST_INVALID": "provided digest did not match uploaded content",
        "MANIFEST_BLOB_UNKNOWN": (
            "manifest references a manifest or blob unknown to registry"
        ),
        "MANIFEST_INVALID": "manifest invalid",
        "MANIFEST_UNKNOWN": "manifest unknown to registry",
        "NAME_INVALID": "invalid repository name",
        "NAME_UNKNOWN": "repository name not known to registry",
        "SIZE_INVALID": "provided length did not match content length",
        "TOOMANYREQUESTS": "too many requests",
        "UNAUTHORIZED": "authentication required",
        "UNSUPPORTED": "the operation is unsupported",
    }
)


class RegistryError(Exception):
    """A refusal: a status and one entry of the OCI error list.

    The detail may hold any JSON value; headers are added to the response, and
    ``more`` gives further entries of the list.
    """

    def __init__(  # noqa: PLR0913 - keywords with defaults
        self,
        code: str,
        status: int,
        *,
        message: str | None = None,
        detail: Any = None,  # noqa: ANN401 - the spec calls it unstructured
        headers: Mapping[str, str] | None = None,
        more: Sequence[RegistryError] = (),
    ) -> None:
        if code not in MESSAGES:
            raise ValueError(f"{code!r} is no error code of distribution-spec v1.1.1")
        self.code = code
        self.status = status
        self.message = MESSAGES[code] if message is None else message
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = tuple(more)
        super().__init__(f"{status} {code}: {self.message}")

    def body(self) -> bytes:
        """Render the OCI error list."""
        entries = [error.entry() for error in (self, *self.more)]
        return json.dumps({"errors": entries}, separators=(",", ":")).encode() + b"\n"

    def entry(self) -> dict[str, Any]:
        """Return what stands in the list for this one."""
        entry: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            entry["detail"] = self.detail
        return entry
