"""Which function of a vector is what here."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from refimpl.evaluate import (
    challenges,
    dispatch,
    images,
    platforms,
    pulls,
    remotes,
    schema1,
    stores,
    wire,
)
from refimpl.evaluate.values import Json, Outcome, error_json

__all__ = ["evaluate"]

# By the first words of the function's name; what follows says more to people.
_EVALUATORS: Final[dict[str, Callable[[str, Json], Awaitable[Json]]]] = {
    "containerd.Client.Pull": pulls.pulled,
    "docker.AppendDistributionSourceLabel": remotes.source_labels,
    "docker.ConvertManifest": remotes.legacy_config,
    "docker.NewResolver": wire.resolved,
    "images.Children": images.children,
    "images.Dispatch": dispatch.dispatched,
    "images.FilterPlatforms": images.filter_platforms,
    "images.Handlers": images.chain,
    "images.Is": images.media_types,
    "images.LimitManifests": images.limit_manifests,
    "images.SetChildrenMappedLabels": images.set_children_labels,
    "images.Store": stores.image_steps,
    "images.Walk": images.walk,
    "platforms.Normalize": platforms.normalized,
    "platforms.Only": platforms.match,
    "platforms.Parse": platforms.parsed,
    "reference.Parse": remotes.parsed_reference,
    "remotes.FilterManifestByPlatformHandler": images.filter_manifest_by_platform,
    "remotes.MakeRefKey": remotes.ref_key,
    # remotes/docker/auth.ParseAuthHeader
    "remotes": challenges.challenges,
    "schema1.Converter.Handle": schema1.converted,
}


async def evaluate(function: str, kind: str, value: Json) -> Json:
    """Compute the outcome of a vector.

    Args:
        function: the function that the vector's file names.
        kind: the kind of the vector.
        value: its input.

    Returns an object with ``output``, ``error`` or both, as a vector has.

    Raises:
        NotImplementedError: the function has no counterpart in this table.
    """
    name = re.match(r"[\w.]*", function)
    evaluator = _EVALUATORS.get(name[0] if name else "")
    if evaluator is None:
        raise NotImplementedError(f"no counterpart of {function}")
    try:
        result = await evaluator(kind, value)
    except Exception as err:  # noqa: BLE001 - whatever fails is the outcome
        return {"error": error_json(err)}
    if not isinstance(result, Outcome):
        return {"output": result}
    out = {"output": result.output}
    if result.error is not None:
        failed = isinstance(result.error, Exception)
        out["error"] = error_json(result.error) if failed else result.error
    return out
