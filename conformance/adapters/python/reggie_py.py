"""opencontainers: its module reggie builds requests and answers challenges."""

from pathlib import Path
from typing import Any

from _contract import (
    MANIFESTS,
    Layout,
    Request,
    choose,
    is_index,
    parse,
    run,
    scheme,
    split,
)


def pull(request: Request, folder: Path) -> None:
    """Pull the manifest for this machine, its config and its layers."""
    from opencontainers.distribution import reggie

    registry, repository, target = split(request["ref"])
    options = [reggie.WithDefaultName(repository)]
    if request["username"]:
        user, password = request["username"], request["password"] or ""
        options.append(reggie.WithUsernamePassword(user, password))
    client = reggie.NewClient(f"{scheme(request)}://{registry}", *options)
    layout = Layout(folder)

    def get(path: str, option: object) -> bytes:
        asked = client.NewRequest("GET", f"/v2/<name>/{path}", option)
        asked.SetHeader("Accept", ", ".join(MANIFESTS))
        response = client.Do(asked)
        response.raise_for_status()
        return bytes(response.content)

    def document_of(reference: str) -> Any:  # noqa: ANN401 - the JSON edge
        option = reggie.WithReference(reference)
        data = get("manifests/<reference>", option)
        layout.write_document(reference, data)
        return parse(data)

    document = document_of(target)
    if is_index(document):
        document = document_of(choose(document))
    for descriptor in (document["config"], *document["layers"]):
        digest = descriptor["digest"]
        layout.write(digest, get("blobs/<digest>", reggie.WithDigest(digest)))


FEATURES = ("cancel", "content", "digest-ref", "plain-http", "token-auth")

if __name__ == "__main__":
    run("opencontainers-py", "opencontainers", FEATURES, pull)
