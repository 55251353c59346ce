"""oras-py: `OrasClient.pull`, which writes files and unpacks layers of OCI images."""

from pathlib import Path

from _contract import Request, run


def pull(request: Request, folder: Path) -> None:
    """Pull with the library's own pull; no file at all is no success."""
    from oras.client import OrasClient

    client = OrasClient(
        insecure=request["plain_http"], tls_verify=request["ca"] or True
    )
    if request["username"]:
        client.auth.set_basic_auth(request["username"], request["password"] or "")
    if not client.pull(target=request["ref"], outdir=str(folder)):
        raise LookupError("pull() returned no files")


FEATURES = ("cancel", "digest-ref", "plain-http", "tls", "token-auth")

if __name__ == "__main__":
    run("oras-py", "oras", FEATURES, pull)
