"""Other hosts that serve a registry's content, as hosts.toml names them."""

from conformance.hosts import Host, write_hosts
from fakeregistry import BasicAuth, Registry
from tests.differential.stage import CRI, FETCH, PULL, Stage, scenario


def use(stage: Stage, *mirrors: Host) -> None:
    """Write a hosts.toml with these mirrors before the registry itself."""
    server = Host(url=stage.registry.url)
    write_hosts(stage.root, stage.registry.host, server, mirrors)


def mirror(stage: Stage) -> Registry:
    """Return another registry."""
    return stage.other("mirror")


@scenario(FETCH, PULL, CRI)
def mirror_has_it(stage: Stage) -> None:
    """All comes from the mirror."""
    image, other = stage.publish(layers=2), mirror(stage)
    other.add_image(image)
    use(stage, Host(url=other.url))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH, CRI)
def mirror_does_not_have_it(stage: Stage) -> None:
    """The mirror answers 404, and the registry is asked."""
    image, other = stage.publish(layers=1), mirror(stage)
    use(stage, Host(url=other.url))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_lacks_a_layer(stage: Stage) -> None:
    """The mirror has the manifest, but not the layer."""
    image, other = stage.publish(layers=1), mirror(stage)
    other.add_image(image)
    layer = f"/{stage.repository}/blobs/{image.layers[0].digest}"
    with other.fault(path=layer, status=404):
        use(stage, Host(url=other.url))
        stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_is_broken(stage: Stage) -> None:
    """The mirror answers 500."""
    image, other = stage.publish(layers=1), mirror(stage)
    with other.fault(path=f"/v2/{stage.repository}/*", status=500):
        use(stage, Host(url=other.url))
        stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_is_gone(stage: Stage) -> None:
    """Nobody listens where the mirror ought to be."""
    image = stage.publish(layers=1)
    use(stage, Host(url="http://127.0.0.1:1"))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH, CRI)
def mirror_does_not_resolve(stage: Stage) -> None:
    """The mirror is trusted for content, and not for names."""
    image, other = stage.publish(layers=1), mirror(stage)
    other.add_image(image)
    use(stage, Host(url=other.url, capabilities=("pull",)))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_resolves_only(stage: Stage) -> None:
    """The mirror is trusted for names, and has no content."""
    image, other = stage.publish(layers=1), mirror(stage)
    other.add_image(image)
    use(stage, Host(url=other.url, capabilities=("resolve",)))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_with_a_path(stage: Stage) -> None:
    """The mirror's API is below a path of its own."""
    image, other = stage.publish(layers=1), mirror(stage)
    other.add_image(image)
    use(stage, Host(url=f"{other.url}/v2"))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_with_headers(stage: Stage) -> None:
    """The mirror gets header fields of its own."""
    image, other = stage.publish(layers=1), mirror(stage)
    other.add_image(image)
    use(stage, Host(url=other.url, headers={"X-Team": "differential"}))
    stage.pull(image, hosts_dir=stage.root)


@scenario(FETCH)
def mirror_that_asks_for_a_password(stage: Stage) -> None:
    """The mirror wants Basic; the password is the registry's."""
    image = stage.publish(layers=1)
    other = stage.other("guarded", auth=BasicAuth("name", "word"))
    other.add_image(image)
    use(stage, Host(url=other.url))
    stage.pull(image, hosts_dir=stage.root, user=("name", "word"))


@scenario(FETCH)
def hosts_file_that_is_none(stage: Stage) -> None:
    """A hosts.toml that cannot be read."""
    image = stage.publish(layers=1)
    use(stage)
    file = stage.root / stage.registry.host / "hosts.toml"
    file.write_text("server = [\n", encoding="utf-8")
    stage.pull(image, hosts_dir=stage.root)
