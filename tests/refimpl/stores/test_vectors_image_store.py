"""What v1.5.18's image store did, step by step (vectors/image_store.json)."""

import json
from pathlib import Path

import pytest

from refimpl import errdefs
from refimpl.descriptor import Descriptor, Platform
from refimpl.images.image import Image

pytestmark = pytest.mark.anyio

VECTORS = Path(__file__).parents[3] / "conformance/vectors/image_store.json"
CASES = json.loads(VECTORS.read_text("utf-8"))["cases"]
CLASSES = {
    errdefs.ErrAlreadyExists: "already_exists",
    errdefs.ErrInvalidArgument: "invalid_argument",
    errdefs.ErrNotFound: "not_found",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_image_store(db, case):
    store, results, last = db.image_store("default"), [], None
    for step in case["input"]:
        try:
            result = await run(store, step)
        except errdefs.ContainerdError as err:
            results.append({"error": failure(err)})
            continue
        if isinstance(result, Image):
            results.append(changes(result, last))
            last = result
        else:
            results.append({} if result is None else {"list": list(map(show, result))})
    final = list(map(show, await store.list()))
    want = {"results": [normal(r) for r in case["output"]["results"]]}
    assert {"results": results} == want
    assert final == (case["output"]["final"] or [])


async def run(store, step):
    if step["op"] == "list":
        return await store.list(*step.get("filters", ()))
    name = step.get("name", "")
    if step["op"] == "get":
        return await store.get(name)
    if step["op"] == "delete":
        return await store.delete(name)
    image = Image(
        name=name,
        target=to_descriptor(step.get("target", {})),
        labels=step.get("labels") or {},
    )
    if step["op"] == "create":
        return await store.create(image)
    return await store.update(image, *step.get("fieldpaths", ()))


def to_descriptor(target):
    platform = target.get("platform")
    return Descriptor(
        media_type=target.get("mediaType", ""),
        digest=target.get("digest", ""),
        size=target.get("size", 0),
        urls=tuple(target.get("urls", ())),
        annotations=target.get("annotations"),
        platform=Platform(**platform) if platform else None,
    )


def show(image):
    return {
        "labels": dict(image.labels) or None,
        "name": image.name,
        "target": image.target.to_json(),
    }


def changes(image, last):
    return {
        "created_at_changed": last is None or image.created_at != last.created_at,
        "created_equals_updated": image.created_at == image.updated_at,
        "image": show(image),
        "updated_at_changed": last is None or image.updated_at != last.updated_at,
    }


def failure(err):
    shown = {"text": errdefs.message(err)}
    if type(err) in CLASSES:
        shown["class"] = CLASSES[type(err)]
    return shown


def normal(result):
    return {**result, "list": result["list"] or []} if "list" in result else result
