"""What the executables in this folder share: the contract, and an OCI layout.

Each is a small program as a user of its library would write it. It is run by the
Python in which the library is installed, which need not be the suite's own: so
nothing is imported here but the standard library.
"""

import base64
import contextlib
import hashlib
import json
import linecache
import os
import platform
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

Request = dict[str, Any]
NOT_IMPLEMENTED: Final = 3
MANIFESTS: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}


def run(
    name: str,
    distribution: str,
    features: Sequence[str],
    pull: Callable[[Request, Path], object],
) -> None:
    """Speak the contract: answer the one question of this process.

    Args:
        name: The client's name in reports.
        distribution: What is installed with pip, whose version is the client's.
        features: What the client can be judged on.
        pull: Pulls what a request asks for into a folder; raises if it cannot.
    """
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "capabilities":
        told = {"name": name, "version": "unknown", "features": list(features)}
        try:
            told["version"] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            told["missing"] = f"{distribution}: not installed for {sys.executable}"
        _say(told)
    elif verb == "pull":
        _pull(json.load(sys.stdin), pull)
    else:
        sys.exit(NOT_IMPLEMENTED)


def _pull(request: Request, pull: Callable[[Request, Path], object]) -> None:
    if request["ca"]:
        # What OpenSSL, requests and aiohttp read where a library has no option.
        for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            os.environ[variable] = request["ca"]
    folder = Path(request["root"]) / "pulled"
    folder.mkdir(exist_ok=True)
    answer: dict[str, Any] = {"ok": True, "exit": 0}
    try:
        # Libraries that print must not spoil the answer.
        with contextlib.redirect_stdout(sys.stderr):
            pull(request, folder)
    except Exception as err:  # noqa: BLE001 - whatever a library raises is its error
        text = " ".join(f"{type(err).__name__}: {err}".split())
        error = {"class": _kind(err), "message": text}
        answer = {"ok": False, "exit": 1, "error": error}
    _say(answer)


def _kind(err: Exception) -> str:
    """Return the class of an error; "Error" of one that was meant.

    A ValueError that a library raises itself is its way to refuse something, and one
    that slips out of a conversion is none. What goes wrong in these programs here is
    not the library's.
    """
    *_, (frame, line) = traceback.walk_tb(err.__traceback__)
    file = frame.f_code.co_filename
    statement = linecache.getline(file, line).split()[:1]
    ours = Path(file).parent == Path(__file__).parent
    meant = type(err) is ValueError and statement == ["raise"]
    library = not file.startswith(sysconfig.get_path("stdlib")) or "-packages" in file
    return "Error" if ours or (meant and library) else type(err).__name__


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def scheme(request: Request) -> str:
    """Return the scheme of the registry's URL."""
    return "http" if request["plain_http"] else "https"


def split(ref: str) -> tuple[str, str, str]:
    """Return registry, repository and what to ask for: a digest or a tag."""
    registry, _, rest = ref.partition("/")
    rest, _, digest = rest.partition("@")
    repository, _, tag = rest.partition(":")
    return registry, repository, digest or tag or "latest"


def credentials(request: Request) -> str:
    """Return user name and password as Basic authentication writes them."""
    pair = f"{request['username']}:{request['password'] or ''}"
    return base64.b64encode(pair.encode()).decode()


def parse(data: bytes) -> dict[str, Any]:
    """Return a manifest or an index.

    Raises:
        ValueError: It is neither.
    """
    try:
        document = json.loads(data)
    except RecursionError as err:
        raise ValueError("a document nested too deep") from err
    except ValueError as err:
        raise ValueError(f"a document that cannot be read: {err}") from err
    if not isinstance(document, dict):
        raise ValueError("a document that is no object")
    if not is_index(document) and not {"config", "layers"} <= document.keys():
        raise ValueError("a manifest without config or layers")
    return document


def is_index(document: dict[str, Any]) -> bool:
    """Whether a document lists manifests."""
    return "manifests" in document


def choose(index: dict[str, Any]) -> str:
    """Return the digest of the manifest for this machine, for libraries that do not.

    Raises:
        LookupError: There is none.
    """
    machine = platform.machine()
    wanted = f"linux/{_ARCHITECTURES.get(machine, machine)}"
    for entry in index["manifests"]:
        told = entry.get("platform") or {}
        words = (told.get(key) for key in ("os", "architecture", "variant"))
        if "/".join(filter(None, words)) == wanted:
            return str(entry["digest"])
    raise LookupError(f"no manifest for {wanted}")


class Layout:
    """An OCI image layout in which every blob lies under the digest asked for."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        #: Where a blob may be written that is not yet whole.
        self.partial = folder / "partial"
        marker = folder / "oci-layout"
        marker.write_text('{"imageLayoutVersion": "1.0.0"}', encoding="utf-8")

    def path(self, digest: str) -> Path:
        """Return the file for a blob; its folder exists.

        Raises:
            ValueError: The digest cannot be the name of a file.
        """
        algorithm, _, encoded = digest.partition(":")
        if not (algorithm.isalnum() and encoded.isalnum()):
            raise ValueError(f"{digest!r} is no digest")
        (self._blobs / algorithm).mkdir(parents=True, exist_ok=True)
        return self._blobs / algorithm / encoded

    def write(self, digest: str, chunks: bytes | Iterable[bytes]) -> None:
        """Keep a blob once all of it has come."""
        path = self.path(digest)
        with self.partial.open("wb") as file:
            for chunk in (chunks,) if isinstance(chunks, bytes) else chunks:
                file.write(chunk)
        self.partial.replace(path)

    def write_document(self, target: str, data: bytes) -> None:
        """Keep a manifest or an index, asked for by a tag or by its digest."""
        own = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.write(target if ":" in target else own, data)
