"""python-dxf: the manifest for a platform, then each blob that it names.

The library refuses to send credentials over plain http, and takes every token
server for one on https: so it is judged over TLS.
"""

from pathlib import Path

from _contract import Layout, Request, run, split


def pull(request: Request, folder: Path) -> None:
    """Pull as `dxf pull-blob` does, with the config."""
    from dxf import DXF

    registry, repository, target = split(request["ref"])

    def authenticate(dxf: DXF, response: object) -> None:
        user, password = request["username"], request["password"]
        dxf.authenticate(user, password, response=response)

    dxf = DXF(registry, repository, authenticate, tlsverify=request["ca"] or True)
    manifest = dxf.get_manifest(target, request["platform"] or "linux/amd64")
    layout = Layout(folder)
    layout.write_document("", manifest.encode())
    config = dxf.get_digest(manifest=manifest)
    for digest in (config, *dxf.get_alias(manifest=manifest)):
        layout.write(digest, dxf.pull_blob(digest))


FEATURES = ("cancel", "content", "digest-ref", "platform", "tls", "token-auth")

if __name__ == "__main__":
    run("python-dxf", "python-dxf", FEATURES, pull)
