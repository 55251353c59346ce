"""Vectors of containerd's reference and remotes packages that need no registry."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from refimpl import digest, reference
from refimpl.descriptor import Descriptor
from refimpl.digest import Digest
from refimpl.evaluate.values import Json, Outcome, error_json
from refimpl.remotes import make_ref_key, with_media_type_key_prefix
from refimpl.remotes.docker import append_distribution_source_label, convert_manifest
from refimpl.remotes.docker.handler import distribution_source
from refimpl.remotes.docker.scope import repository_scope
from refimpl.stores.content import read_blob
from refimpl.stores.memory import MemoryStore

__all__ = ["legacy_config", "parsed_reference", "ref_key", "source_labels"]

_BLOB: Final = Digest(f"sha256:{'0' * 64}")


async def parsed_reference(_kind: str, text: Json) -> Json:
    """Parse a reference, and derive all that is derived of one."""
    spec = reference.parse(text)
    tag, split_digest = reference.split_object(spec.object)
    source, repository = distribution_source(spec)
    host = spec.hostname
    return {
        "default_host": "registry-1.docker.io" if host == "docker.io" else host,
        "digest": spec.digest,
        "digest_validate_error": digest.defect(spec.digest),
        "dist_repo": repository,
        "dist_source": source,
        "hostname": host,
        "locator": spec.locator,
        "object": spec.object,
        "scope_pull": repository_scope(spec),
        "split_digest": split_digest,
        "split_tag": tag,
        "string": str(spec),
    }


async def ref_key(_kind: str, value: Json) -> Json:
    """Name the ingest of a descriptor."""
    desc = Descriptor.from_json(value["descriptor"])
    if value.get("annotations") is not None:
        desc = replace(desc, annotations=value["annotations"])
    with ExitStack() as prefixes:
        for item in (value.get("media_type_prefixes") or {}).items():
            prefixes.enter_context(with_media_type_key_prefix(*item))
        return make_ref_key(desc)


async def source_labels(_kind: str, value: Json) -> Json:
    """Note on one blob where it came from, once for every reference."""
    desc = Descriptor(digest=Digest(value.get("digest", _BLOB)))
    store = MemoryStore()
    if value.get("blob_absent"):
        return await _source_of_nothing(store, desc, value["refs"][0])
    initial = value.get("initial_labels")
    store.put(desc.digest, b"", initial)
    touched = initial is not None
    steps = []
    for ref in value["refs"]:
        step: dict[str, Json] = {"ref": ref}
        try:
            handler = append_distribution_source_label(store, ref)
        except Exception as err:  # noqa: BLE001 - it is the outcome
            step["create_error"] = error_json(err)
        else:
            touched = True
            step |= {"children": list(await handler(desc)), "handle_error": None}
        labels = dict((await store.info(desc.digest)).labels)
        # Go has no map before the first update, and shows null for it.
        step["labels"] = labels if touched else None
        steps.append(step)
    return steps


async def _source_of_nothing(store: MemoryStore, desc: Descriptor, ref: str) -> Outcome:
    handler = append_distribution_source_label(store, ref)
    try:
        await handler(desc)
    except Exception as err:  # noqa: BLE001 - it is the outcome
        return Outcome({"children": []}, err)
    return Outcome({"children": []}, None)


async def legacy_config(_kind: str, value: Json) -> Json:
    """Convert a manifest with a legacy configuration."""
    desc = Descriptor.from_json(value["descriptor"])
    store = MemoryStore()
    if not value["missing"]:
        store.put(desc.digest, value["manifest"].encode(errors="replace"))
    new = await convert_manifest(store, desc)
    out = {"converted": new.digest != desc.digest, "descriptor": new.to_json()}
    if new.digest != desc.digest:
        out["labels"] = dict((await store.info(new.digest)).labels)
        out["manifest"] = (await read_blob(store, new)).decode()
    return out
