"""Break one download in the middle: does the client ask for the rest, and only that?"""

import http.client
from urllib.request import Request, urlopen


def fetch(url, attempts=3):
    """The client under test: goes on with a range where a download broke off."""
    data = b""
    for _ in range(attempts):
        request = Request(url, headers={"Range": f"bytes={len(data)}-"} if data else {})
        try:
            with urlopen(request) as response:
                if data and response.status != 206:
                    data = b""
                return data + response.read()
        except http.client.IncompleteRead as err:
            data += err.partial
    raise ConnectionError(f"{url}: broke off {attempts} times")


def test_resume(registry):
    image = registry.publish("library/hello:1")
    layer = image.layers[0]
    fault = registry.fault(path="/blobs/*", times=1, truncate=100)

    data = fetch(f"{registry.url}/v2/library/hello/blobs/{layer.digest}")

    assert fault.fired == 1
    assert data == image.data[layer.digest]
    broken, rest = registry.journal
    assert broken.outcome == "truncated"
    assert rest.request_headers.get("Range") == "bytes=100-"
    assert rest.body_sent == layer.size - 100
