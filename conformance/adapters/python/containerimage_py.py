"""containerimage-py: `ContainerImage.download`, all platforms and no configs."""

from pathlib import Path

from _contract import Request, credentials, run, split


def pull(request: Request, folder: Path) -> None:
    """Download an image as files named by their digests."""
    from image.containerimage import ContainerImage

    auths = {}
    if request["username"]:
        auths[split(request["ref"])[0]] = {"auth": credentials(request)}
    image = ContainerImage(request["ref"])
    image.download(str(folder), {"auths": auths}, http=request["plain_http"])


FEATURES = (
    *("basic-auth", "cancel", "content", "digest-ref", "plain-http", "tls"),
    "token-auth",
)

if __name__ == "__main__":
    run("containerimage-py", "containerimage-py", FEATURES, pull)
