"""docker-registry-client-async: its calls for a manifest and for a blob to disk."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

from _contract import (
    Layout,
    Request,
    choose,
    credentials,
    is_index,
    parse,
    run,
    scheme,
    split,
)


async def pull_image(request: Request, folder: Path) -> None:
    """Pull the manifest for this machine, its config and its layers."""
    from docker_registry_client_async import (
        DockerRegistryClientAsync,
        FormattedSHA256,
        ImageName,
    )

    protocol, layout = scheme(request), Layout(folder)
    registry, repository, _ = split(request["ref"])
    context = ssl.create_default_context(cafile=request["ca"])
    async with DockerRegistryClientAsync(ssl=context) as client:
        if request["username"]:
            await client.add_credentials(
                credentials=credentials(request), endpoint=registry
            )
        document = await document_of(client, request["ref"], protocol, layout)
        if is_index(document):
            child = f"{registry}/{repository}@{choose(document)}"
            document = await document_of(client, child, protocol, layout)
        name = ImageName.parse(request["ref"])
        for descriptor in (document["config"], *document["layers"]):
            digest = FormattedSHA256.parse(descriptor["digest"])
            with layout.partial.open("wb") as file:
                await client.get_blob_to_disk(
                    name, digest, file, file_is_async=False, protocol=protocol
                )
            layout.partial.replace(layout.path(descriptor["digest"]))


async def document_of(client: Any, ref: str, protocol: str, layout: Layout) -> Any:  # noqa: ANN401 - the library's
    """Return a manifest or an index, kept as it came."""
    from docker_registry_client_async import ImageName

    answer = await client.get_manifest(ImageName.parse(ref), protocol=protocol)
    data = answer.manifest.get_bytes()
    layout.write_document(split(ref)[2], data)
    return parse(data)


def pull(request: Request, folder: Path) -> None:
    """Pull an image."""
    asyncio.run(pull_image(request, folder))


FEATURES = (
    *("basic-auth", "cancel", "content", "digest-ref", "plain-http", "tls"),
    "token-auth",
)

if __name__ == "__main__":
    name = "docker-registry-client-async"
    run(name, name, FEATURES, pull)
