"""Pulls of vectors/pull.json, looked at closer than `evaluate` does.

That they leave what containerd left is tested in evaluate/test_vectors.py.
"""

import base64
import json
from pathlib import Path

import pytest

from refimpl.client import Client
from refimpl.errdefs import ContainerdError, message
from refimpl.evaluate.pulls import Play
from refimpl.platforms import only, parse

pytestmark = pytest.mark.anyio

VECTORS = Path(__file__).parents[2] / "conformance/vectors/pull.json"
CASES = json.loads(VECTORS.read_text("utf-8"))["cases"]
# D50: containerd fails on these and leaves a record without layers.
MENDED = [case for case in CASES if case["kind"] == "legacy-unpack"]
FAILING = [case for case in CASES if "error" in case and case not in MENDED]


@pytest.fixture
def anyio_backend():
    """One loop will do: nothing here is about the order of tasks."""
    return "asyncio"


@pytest.fixture
async def client(tmp_path, anyio_backend):
    """A client for linux/amd64, as in the vectors."""
    amd64 = only(parse("linux/amd64"))
    async with Client(tmp_path / "root", platform=amd64) as client:
        yield client


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case["name"])
async def test_a_failed_pull_leaves_no_more_than_containerd_left(case, client):
    """With the usual handlers: a sibling that starts after an error fetches nothing."""
    play = Play(case["input"], client)
    await play.prepare()
    with pytest.raises(ContainerdError) as caught:
        await play.run(handler_wrapper=None)
    if not case["error"].get("go_stdlib_text"):
        assert message(caught.value) == case["error"]["text"]
    out = await play.outcome()
    want = dict(case["output"])
    for key in ("content", "fetch_counts"):
        assert all(item in want[key] for item in out.pop(key))
        del want[key]
    assert out == want


@pytest.mark.parametrize("case", MENDED, ids=lambda case: case["name"])
async def test_a_legacy_image_is_unpacked(case, client):
    """Where containerd records it and fails (D50), all of it is fetched and here."""
    play = Play(case["input"], client)
    await play.run()
    out = await play.outcome()
    root = case["input"]["root"]["digest"]
    manifest = json.loads(base64.b64decode(case["input"]["blobs"][root]))
    layers = [layer["digest"] for layer in manifest["layers"]]
    assert set(layers) <= set(out["content_after_gc"])
    snapshots = await client.snapshot_service().walk()
    assert [str(info.kind) for info in snapshots] == ["Committed"] * len(layers)
    assert play.image is not None
    assert await play.image.is_unpacked()
    assert out["returned"] == case["output"]["images"][0]
