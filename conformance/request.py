"""A pull's request as the values that a command line can hold."""

import base64
import json
import shutil
from collections.abc import Collection
from pathlib import Path

from conformance.contract import Json
from conformance.hosts import Host, write_hosts

__all__ = [
    "make_docker_config",
    "make_hosts_dir",
    "placeholder_values",
    "split_reference",
    "switches",
]

#: A platform of one word is an architecture unless it is one of these.
_SYSTEMS = frozenset({"linux", "windows", "darwin", "freebsd"})


def placeholder_values(request: Json, wanted: Collection[str]) -> dict[str, str]:
    """Return the placeholders that have a value in this run.

    Folders of certificates are only made if a placeholder of theirs is wanted.
    """
    root = Path(request["root"])
    values = {
        "ref": request["ref"],
        "root": str(root),
        "scheme": "http" if request.get("plain_http") else "https",
        **split_reference(request["ref"]),
        **_platform(request.get("platform") or ""),
    }
    for key in ("ca", "username", "password", "max_concurrent_downloads"):
        if request.get(key):
            values[key] = str(request[key])
    if "username" in values:
        values.setdefault("password", "")
    if "ca_dir" in wanted and "ca" in values:
        values["ca_dir"] = str(_make_ca_dir(root, Path(values["ca"])))
    if "docker_config" in wanted and "username" in values:
        values["docker_config"] = str(make_docker_config(request))
    if "hosts_dir" in wanted:
        values["hosts_dir"] = str(make_hosts_dir(request))
    return values


def switches(request: Json) -> frozenset[str]:
    """Return the names of what is true in the request."""
    on = frozenset(key for key, value in request.items() if value is True)
    return on | {"credentials"} if request.get("username") else on


def split_reference(ref: str) -> dict[str, str]:
    """Return registry, repository, tag and digest of a full reference.

    The target is what a registry is asked for: the digest, or else the tag.
    """
    registry, _, rest = ref.partition("/")
    rest, _, digest = rest.partition("@")
    repository, _, tag = rest.partition(":")
    parts = {"registry": registry, "repository": repository}
    parts["target"] = digest or tag or "latest"
    if tag:
        parts["tag"] = tag
    if digest:
        parts["digest"] = digest
    return parts


def make_docker_config(request: Json) -> Path:
    """Make a folder with the credentials of the request, as `docker login` leaves it.

    Clients are pointed to it with DOCKER_CONFIG or an option of their own.
    """
    user = f"{request['username']}:{request.get('password') or ''}"
    encoded = base64.b64encode(user.encode()).decode()
    registry = request["ref"].partition("/")[0]
    folder = Path(request["root"]) / "docker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = {"auths": {registry: {"auth": encoded}}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def make_hosts_dir(request: Json, folder: Path | None = None) -> Path:
    """Make a folder that tells containerd's clients how to reach the registry.

    The form is that of containerd's docs/hosts.md: a folder per host with a
    hosts.toml in it. A case with mirrors brings such a folder along.
    """
    if request.get("hosts_dir"):
        return Path(request["hosts_dir"])
    registry = request["ref"].partition("/")[0]
    folder = folder or Path(request["root"]) / "hosts"
    scheme = "http" if request.get("plain_http") else "https"
    ca = Path(request["ca"]) if request.get("ca") else None
    # No mirrors: named again the registry would be a second host to try.
    write_hosts(folder, registry, Host(url=f"{scheme}://{registry}", ca=ca), [])
    return folder


def _make_ca_dir(root: Path, ca: Path) -> Path:
    # containers-certs.d(5): a file that ends in .crt is a certificate authority.
    folder = root / "certs"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ca, folder / "ca.crt")
    return folder


def _platform(platform: str) -> dict[str, str]:
    if not platform:
        return {}
    words = platform.split("/")
    if len(words) == 1:
        key = "os" if platform in _SYSTEMS else "arch"
        return {"platform": platform, key: platform}
    values = dict(zip(("os", "arch", "variant"), words, strict=False))
    return {"platform": platform, **{k: v for k, v in values.items() if v}}
