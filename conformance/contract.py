"""The contract between the suite and a client under test, as Python sees it.

JSON in, JSON out: an adapter takes and returns plain dicts, whether it is a
Python object, an executable (conformance/executable.py) or a command described
in TOML (conformance/command.py). ADAPTER.md beside this file teaches it.
"""

import re
from collections.abc import Callable
from typing import Any, Final, Protocol, runtime_checkable

from conformance.case import Feature

__all__ = [
    "Adapter",
    "AdapterError",
    "Json",
    "OnCancel",
    "check_capabilities",
    "check_features",
    "check_name",
    "check_result",
    "failure",
]

Json = dict[str, Any]
OnCancel = Callable[[Callable[[], object]], object]

# It becomes part of a test's id, a file's name and an option's value.
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class AdapterError(Exception):
    """An adapter is wrong or cannot be used; the text is one line for its author."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))


@runtime_checkable
class Adapter(Protocol):
    """What every adapter has.

    It may have more, looked up by name: ``installed()`` (None, or why the client
    cannot run and how to install it), ``setup()`` and ``teardown()`` (once a run),
    ``collect({"root"})`` (garbage collection now), ``evaluate(function, kind,
    input)`` (vectors; raises NotImplementedError for what it does not know), and
    what conformance/whitebox.py asks of those that are judged from the inside.
    """

    def capabilities(self) -> Json:
        """Return name, version and features."""
        ...

    def pull(self, request: Json, on_cancel: OnCancel) -> Json:
        """Pull an image; a failed pull is a result, not an exception.

        ``hosts_dir`` of the request, where it is not None, names mirrors in
        containerd's form (Feature.MIRRORS).
        """
        ...

    def inspect(self, request: Json) -> Json:
        """Return what lies under the request's root, in normal form."""
        ...


def failure(text: str, *, died: str | None = None) -> Json:
    """Return the result of a pull that gave no result of its own."""
    return {
        "ok": False,
        "exit": None,
        "error": {"class": "", "message": text},
        "died": died,
        "stdout": "",
        "stderr": "",
    }


def check_name(name: object, *, where: str) -> str:
    """Return the name of a client.

    Raises:
        AdapterError: It cannot be one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise AdapterError(
            f"{where}: {name!r} is no name (letters, digits and ._+- only)"
        )
    return name


def check_features(features: object, *, where: str) -> frozenset[Feature]:
    """Return the features an adapter claims.

    Raises:
        AdapterError: It is no list, or names what the suite does not know.
    """
    if not isinstance(features, list | tuple | set | frozenset):
        raise AdapterError(f"{where}: features must be a list of names")
    known = [feature.value for feature in Feature]
    unknown = sorted(str(f) for f in features if f not in known)
    if unknown:
        raise AdapterError(
            f"{where}: unknown feature {', '.join(map(repr, unknown))}; "
            f"known are {', '.join(sorted(known))}"
        )
    return frozenset(Feature(f) for f in features)


def check_capabilities(answer: object, *, where: str) -> Json:
    """Return what an adapter says about itself, features as a frozenset.

    Raises:
        AdapterError: The answer is not what the contract says.
    """
    if not isinstance(answer, dict):
        raise AdapterError(f"{where}: capabilities must be an object, not {answer!r}")
    for key in ("name", "version"):
        if not isinstance(answer.get(key), str) or not answer[key]:
            raise AdapterError(f"{where}: capabilities must have {key!r}, a text")
    features = check_features(answer.get("features"), where=where)
    return {**answer, "features": features}


def check_result(answer: object, *, where: str) -> Json:
    """Return the result of a pull with every key present.

    Raises:
        AdapterError: The answer is not what the contract says.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise AdapterError(f"{where}: a pull's result must be an object with 'ok'")
    error = answer.get("error") or {}
    if not isinstance(error, dict):
        raise AdapterError(f"{where}: 'error' must be {{class, message}} or null")
    status = answer.get("exit")
    if status is not None and (isinstance(status, bool) or not isinstance(status, int)):
        raise AdapterError(f"{where}: 'exit' must be a number or null")
    return {
        "ok": answer["ok"],
        "exit": status,
        "error_class": str(error.get("class") or ""),
        "error": str(error.get("message") or ""),
        "died": answer.get("died") or None,
        "stdout": str(answer.get("stdout") or ""),
        "stderr": str(answer.get("stderr") or ""),
    }
