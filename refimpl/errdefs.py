"""Mirrors: containerd v1.5.18 errdefs/errors.go, remotes/errors/errors.go.

An error's class says what a caller may do about it; its text says what failed.
Go's ``errors.Wrapf(err, "pulling %s", ref)`` is ``with wrapped(f"pulling {ref}")``:
the note stays apart from the text until :func:`message` joins them, outermost
first, as Go prints them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

__all__ = [
    "ContainerdError",
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
    "message",
    "wrapped",
]


class ContainerdError(Exception):
    """Every error that the reference raises on purpose.

    ``ErrNotFound("content sha256:..")`` prints as ``content sha256:..: not found``,
    a bare ``ErrNotFound()`` as ``not found``; ``detail`` is the text without the class.
    """

    text: ClassVar[str] = ""

    def __init__(self, detail: str = "") -> None:
        super().__init__(": ".join(part for part in (detail, self.text) if part))
        self.detail = detail


class ErrUnknown(ContainerdError):
    """Nothing more precise is known."""

    text = "unknown"


class ErrInvalidArgument(ContainerdError):
    """What was asked for can never work."""

    text = "invalid argument"


class ErrNotFound(ContainerdError):
    """What was asked for does not exist."""

    text = "not found"


class ErrAlreadyExists(ContainerdError):
    """What was to be created exists."""

    text = "already exists"


class ErrFailedPrecondition(ContainerdError):
    """The state of things forbids it: a digest or size that differs, say."""

    text = "failed precondition"


class ErrUnavailable(ContainerdError):
    """Somebody else holds it for now; later it may work."""

    text = "unavailable"


class ErrNotImplemented(ContainerdError):
    """Not supported here."""

    text = "not implemented"


class ErrUnexpectedEOF(ContainerdError):
    """Fewer bytes came than were announced (Go: io.ErrUnexpectedEOF)."""

    text = "unexpected EOF"


class ErrUnexpectedStatus(ContainerdError):
    """A registry answered with a status that is no success.

    Args:
        status: the HTTP status code.
        detail: what was asked, and what of the answer is fit to be shown.
        body: the first bytes of the answer.
    """

    def __init__(self, status: int, detail: str, body: bytes = b"") -> None:
        super().__init__(detail)
        self.status = status
        self.body = body


class HandlerSignal(Exception):
    """Control flow between handlers and dispatch, not a failure."""

    text: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__(self.text)


class ErrSkipDesc(HandlerSignal):
    """Do not visit the children of this descriptor (images/handlers.go:34)."""

    text = "skip descriptor"


class ErrStopHandler(HandlerSignal):
    """Stop the chain of handlers here, without an error (images/handlers.go:39)."""

    text = "stop handler"


@contextmanager
def wrapped(note: str) -> Iterator[None]:
    """Add a note to any error that passes through: Go's ``errors.Wrap``."""
    try:
        yield
    except Exception as err:
        err.add_note(note)
        raise


def message(err: BaseException) -> str:
    """Return the text of an error as Go prints it: the outermost note first."""
    notes = [*reversed(getattr(err, "__notes__", ()))]
    return ": ".join([*notes, str(err) or type(err).__name__])
