"""Vectors of containerd's image store: steps on a fresh one."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refimpl.descriptor import Descriptor
from refimpl.errdefs import ContainerdError
from refimpl.evaluate.values import Json, error_json
from refimpl.images import Image
from refimpl.stores import images
from refimpl.stores.metadata import DB

__all__ = ["image_steps", "shown"]


async def image_steps(_kind: str, steps: Json) -> Json:
    """Run steps one after another, and list what is there in the end."""
    results: list[Json] = []
    last: Image | None = None
    with tempfile.TemporaryDirectory(prefix="refimpl-") as root:
        async with await DB.open(Path(root)) as db:
            store = db.image_store("default")
            for step in steps:
                try:
                    found = await _run(store, step)
                except ContainerdError as err:
                    results.append({"error": error_json(err)})
                    continue
                results.append(_result(found, last))
                last = found if isinstance(found, Image) else last
            final = [shown(image) for image in await store.list()]
    return {"results": results, "final": final}


async def _run(
    store: images.Store, step: Mapping[str, Any]
) -> Image | tuple[Image, ...] | None:
    name = step.get("name", "")
    match step["op"]:
        case "list":
            return tuple(await store.list(*step.get("filters", ())))
        case "get":
            return await store.get(name)
        case "delete":
            await store.delete(name)
            return None
    image = Image(
        name=name,
        target=Descriptor.from_json(step.get("target", {})),
        labels=step.get("labels") or {},
    )
    if step["op"] == "create":
        return await store.create(image)
    return await store.update(image, *step.get("fieldpaths", ()))


def _result(found: Image | tuple[Image, ...] | None, last: Image | None) -> Json:
    if found is None:
        return {}
    if isinstance(found, tuple):
        return {"list": [shown(image) for image in found]}
    return {
        "created_at_changed": last is None or found.created_at != last.created_at,
        "created_equals_updated": found.created_at == found.updated_at,
        "image": shown(found),
        "updated_at_changed": last is None or found.updated_at != last.updated_at,
    }


def shown(image: Image) -> Json:
    """Return a record as vectors show it."""
    return {
        "labels": dict(image.labels) or None,
        "name": image.name,
        "target": image.target.to_json(),
    }
