"""crpy: `crpy login` and `crpy pull`, as functions, into a docker archive."""

import asyncio
from pathlib import Path

from _contract import Request, run, scheme


def pull(request: Request, folder: Path) -> None:
    """Pull into image.tar."""
    from crpy.registry import RegistryInfo
    from crpy.storage import save_credentials

    info = RegistryInfo.from_url(f"{scheme(request)}://{request['ref']}")
    if request["username"]:
        user, password = request["username"], request["password"] or ""
        save_credentials(info.registry, user, password)
    asyncio.run(info.pull(folder / "image.tar", request["platform"], use_cache=False))


FEATURES = ("cancel", "content", "platform", "plain-http", "tls", "token-auth")

if __name__ == "__main__":
    run("crpy", "crpy", FEATURES, pull)
