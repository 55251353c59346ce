"""What registries say about what they send, and where they send clients for it."""

from fakeregistry.image import OCI_INDEX
from tests.differential.stage import CRI, FETCH, Stage, scenario

# -- Headers ------------------------------------------------------------------------


@scenario(FETCH, CRI)
def no_digest_header(stage: Stage) -> None:
    """HEAD without Docker-Content-Digest: the manifest is fetched and hashed."""
    image = stage.publish()
    names = ["Docker-Content-Digest", "Etag"]
    stage.fault(method="HEAD", path="/manifests/*", remove_headers=names)
    stage.pull(image)


@scenario(FETCH)
def no_digest_header_for_schema1(stage: Stage) -> None:
    """The same of a schema1 manifest, whose digest is that of the payload."""
    image = stage.publish_schema1(layers=1)
    names = ["Docker-Content-Digest", "Etag"]
    stage.fault(path="/manifests/*", remove_headers=names)
    stage.pull(image)


@scenario(FETCH)
def no_digest_header_and_an_error(stage: Stage) -> None:
    """The GET that replaces the HEAD is answered with an error page."""
    image = stage.publish()
    names = ["Docker-Content-Digest", "Etag"]
    stage.fault(method="HEAD", path="/manifests/*", remove_headers=names)
    stage.fault(method="GET", path="/manifests/*", status=500, body=b"{}")
    stage.pull(image, fails=True)


@scenario(FETCH)
def no_length(stage: Stage) -> None:
    """HEAD without Content-Length."""
    image = stage.publish()
    stage.fault(method="HEAD", path="/manifests/*", remove_headers=["Content-Length"])
    stage.pull(image)


@scenario(FETCH)
def digest_header_of_another(stage: Stage) -> None:
    """HEAD tells the digest of another manifest."""
    old = stage.publish(seed="old", label="old")
    image = stage.publish(seed="new")
    stage.fault(
        method="HEAD",
        path="/manifests/latest",
        headers={"Docker-Content-Digest": old.digest},
    )
    stage.pull(image)


@scenario(FETCH)
def digest_header_that_is_none(stage: Stage) -> None:
    """The digest of HEAD is no digest."""
    image = stage.publish()
    stage.fault(
        method="HEAD",
        path="/manifests/*",
        headers={"Docker-Content-Digest": "sha256:1"},
    )
    stage.pull(image, fails=True)


@scenario(FETCH)
def no_content_type(stage: Stage) -> None:
    """The registry does not say what a manifest is."""
    image = stage.publish()
    stage.fault(path="/manifests/*", remove_headers=["Content-Type"])
    stage.pull(image, fails=True)


@scenario(FETCH)
def content_type_with_parameters(stage: Stage) -> None:
    """The type of the manifest has a parameter."""
    image = stage.publish()
    kind = f"{image.descriptor.media_type}; charset=utf-8"
    stage.fault(path="/manifests/*", headers={"Content-Type": kind})
    stage.pull(image)


@scenario(FETCH)
def content_type_of_an_index(stage: Stage) -> None:
    """The registry calls a manifest an index."""
    image = stage.publish()
    stage.fault(path="/manifests/*", headers={"Content-Type": OCI_INDEX})
    stage.pull(image, fails=True)


@scenario(FETCH)
def login_page(stage: Stage) -> None:
    """A web page in place of everything."""
    image = stage.publish()
    stage.fault(
        path="/v2/*",
        status=200,
        headers={"Content-Type": "text/html"},
        body=b"<html>Log in</html>",
    )
    stage.pull(image)


@scenario(FETCH)
def manifest_announced_as_huge(stage: Stage) -> None:
    """HEAD announces a manifest of five megabytes."""
    image = stage.publish()
    stage.fault(
        method="HEAD", path="/manifests/*", headers={"Content-Length": "5000000"}
    )
    stage.pull(image, fails=True)


@scenario(FETCH)
def huge_manifest_of_an_index(stage: Stage) -> None:
    """A manifest of five megabytes that is named by an index."""
    image = stage.publish(platforms=["linux/amd64"], manifest_size=5_000_000)
    stage.pull(image)


# -- Redirects ----------------------------------------------------------------------


@scenario(FETCH, CRI)
def blobs_elsewhere(stage: Stage) -> None:
    """Blobs are on another host."""
    image = stage.publish()
    stage.redirect_to_cdn()
    stage.pull(image)


@scenario(FETCH)
def blobs_elsewhere_with_basic(stage: Stage) -> None:
    """The other host gets no password."""
    registry = stage.other("mirror")
    image = stage.publish()
    registry.add_image(image)
    stage.fault(
        method="GET",
        path="/blobs/*",
        authorized=True,
        redirect=f"{registry.url}{{target}}",
    )
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    stage.fault(path="/v2/*", authorized=False, status=401, headers=challenge)
    stage.pull(image, user=("name", "word"))


@scenario(FETCH)
def manifests_moved(stage: Stage) -> None:
    """Manifests are redirected to a query of the same path."""
    image = stage.publish()
    stage.fault(
        path="/manifests/*", when=lambda e: not e.query, redirect="{path}?moved=1"
    )
    stage.pull(image)


@scenario(FETCH)
def blob_goes_in_circles(stage: Stage) -> None:
    """A redirect to itself."""
    image = stage.publish()
    stage.fault(
        method="GET",
        path=f"/blobs/{image.layers[0].digest}",
        redirect=f"{stage.registry.url}{{target}}",
    )
    stage.pull(image, fails=True, unsure=[image.config])
