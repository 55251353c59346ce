"""Prove a limit without a sleep: a gate holds requests and counts them."""

from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen


def fetch(url):
    with urlopen(url) as response:
        return response.read()


def test_three_downloads_at_a_time(registry):
    image = registry.publish("library/hello:1", layers=8)
    base = f"{registry.url}/v2/library/hello/blobs"
    urls = [f"{base}/{layer.digest}" for layer in image.layers]

    with (
        registry.gate("/blobs/*") as gate,  # opens when the block ends
        ThreadPoolExecutor(max_workers=3) as client,  # the client under test
    ):
        results = client.map(fetch, urls)
        gate.wait_for(3)  # three have come and are held
        gate.expect_no_more(within=0.05)  # a fourth does not come
        gate.release()  # one is answered ...
        gate.wait_for(3)  # ... and the next takes its place
        gate.open()

    wanted = [image.data[layer.digest] for layer in image.layers]
    assert list(results) == wanted
    assert registry.journal.max_in_flight("/blobs/*") == 3
