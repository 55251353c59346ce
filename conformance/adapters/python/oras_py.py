"""oras-py: `OrasClient.pull`, which writes files and unpacks layers of OCI images.

It tries everything five times and waits 131 s between them in all. Here it tries as
often, but does not wait.
"""

from pathlib import Path
from types import SimpleNamespace

from _contract import Request, run


def pull(request: Request, folder: Path) -> None:
    """Pull with the library's own pull; no file at all is no success."""
    import oras.client

    oras.decorator.time = SimpleNamespace(sleep=lambda _seconds: None)

    client = oras.client.OrasClient(
        insecure=request["plain_http"], tls_verify=request["ca"] or True
    )
    if request["username"]:
        client.auth.set_basic_auth(request["username"], request["password"] or "")
    if not client.pull(target=request["ref"], outdir=str(folder)):
        raise LookupError("pull() returned no files")


FEATURES = ("cancel", "digest-ref", "plain-http", "tls", "token-auth")

if __name__ == "__main__":
    run("oras-py", "oras", FEATURES, pull)
