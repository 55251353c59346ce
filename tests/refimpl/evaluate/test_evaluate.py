"""Vectors in their JSON form, one or two a function."""

import pytest

from refimpl.evaluate import evaluate

pytestmark = pytest.mark.anyio

D = f"sha256:{'0' * 64}"
M = "application/vnd.oci.image.manifest.v1+json"
L = "application/vnd.oci.image.layer.v1.tar"
AMD64 = {"architecture": "amd64", "os": "linux"}
S390X = {"architecture": "s390x", "os": "linux"}
TREE = {"r": {"children": ["a", "b"]}, "a": {"error": "skip"}, "b": {"error": "boom"}}


def desc(media_type="", digest=D, size=1, **more):
    found = {"mediaType": media_type, "digest": digest, "size": size, **more}
    return {key: value for key, value in found.items() if value != ""}


def error(text, kind=None):
    return {"error": {"text": text} | ({"class": kind} if kind else {})}


CHILDREN = [desc(M, platform=S390X), desc(M, platform=AMD64)]
VECTORS = [
    (
        "platforms.Normalize + Format",
        "plain",
        {"architecture": "x86_64", "os": ""},
        {
            "output": {
                "format": "unknown",
                "format_normalized": "linux/amd64",
                "normalized": AMD64,
            }
        },
    ),
    (
        "platforms.Only/OnlyStrict/Ordered/Any/All: Match, Less, stable sort",
        "only",
        {"matcher": "Only", "platforms": [AMD64], "candidates": [S390X, AMD64]},
        {
            "output": {
                "match": [False, True],
                "less": ["00", "10"],
                "sorted_indices": [1, 0],
            }
        },
    ),
    (
        "images.Children (incl. validateMediaType, CVE-2021-41190)",
        "manifest-bad",
        {"descriptor": desc(M), "document": "{}", "missing": False},
        {"output": {"children": [{"digest": "", "size": 0}], "children_nil": False}},
    ),
    (
        "images.Children (incl. validateMediaType, CVE-2021-41190)",
        "missing",
        {"descriptor": desc(M), "document": "{}", "missing": True},
        error(f"content digest {D}: not found", "not_found"),
    ),
    (
        "images.FilterPlatforms",
        "only",
        {"children": CHILDREN, "matcher": "linux/amd64"},
        {"output": CHILDREN[1:]},
    ),
    (
        "remotes.FilterManifestByPlatformHandler (AllMetadata)",
        "manifest",
        {
            "children": [desc(L)],
            "descriptor": CHILDREN[0],
            "matcher": "ordered:linux/amd64,linux/arm64",
        },
        {"output": []},
    ),
    (
        "images.LimitManifests (optionally over FilterPlatforms)",
        "n=1",
        {
            "children": CHILDREN,
            "descriptor": desc("application/vnd.oci.image.index.v1+json"),
            "matcher": "linux/amd64",
            "n": 1,
            "filter_platforms_first": True,
        },
        {"output": CHILDREN[1:]},
    ),
    (
        "images.SetChildrenMappedLabels",
        "custom-map",
        {"children": [desc(L)], "initial_labels": {}, "label_map": "const:x,x"},
        {"output": {"children": [desc(L)], "labels": {"x": D, "x1": D}}},
    ),
    (
        "images.SetChildrenMappedLabels",
        "custom-map",
        {"children": [desc(L)], "initial_labels": {"a": "b"}, "label_map": "none"},
        {"output": {"children": [desc(L)], "labels": None}},
    ),
    (
        "docker.AppendDistributionSourceLabel",
        "sequence",
        {"initial_labels": None, "refs": ["/x", "r.io/a"]},
        {
            "output": [
                {
                    "ref": "/x",
                    "create_error": {"text": "hostname required"},
                    "labels": None,
                },
                {
                    "ref": "r.io/a",
                    "children": [],
                    "handle_error": None,
                    "labels": {"containerd.io/distribution.source.r.io": "a"},
                },
            ]
        },
    ),
    (
        "docker.AppendDistributionSourceLabel",
        "absent",
        {"blob_absent": True, "digest": D, "refs": ["r.io/a"]},
        {"output": {"children": []}}
        | error(f"content digest {D}: not found", "not_found"),
    ),
    (
        "remotes.MakeRefKey",
        "prefix",
        {
            "annotations": {},
            "annotations_null": False,
            "descriptor": desc(L),
            "media_type_prefixes": {L: "custom"},
        },
        {"output": f"custom-{D}"},
    ),
    (
        "reference.Parse",
        "odd",
        "docker.io/a@x",
        {
            "output": {
                "default_host": "registry-1.docker.io",
                "digest": "x",
                "digest_validate_error": "invalid checksum digest format",
                "dist_repo": "a",
                "dist_source": "docker.io",
                "hostname": "docker.io",
                "locator": "docker.io/a",
                "object": "@x",
                "scope_pull": "repository:a:pull",
                "split_digest": "x",
                "split_tag": "@",
                "string": "docker.io/a@x",
            }
        },
    ),
    (
        "images.Is*Type, DiffCompression, ChildGCLabels*",
        "layer",
        L,
        {
            "output": {
                "child_gc_labels": ["containerd.io/gc.ref.content.l."],
                "child_gc_labels_filter_layers": None,
                "diff_compression": "",
                "is_config": False,
                "is_docker": False,
                "is_index": False,
                "is_known_config": False,
                "is_layer": True,
                "is_manifest": False,
                "is_non_distributable": False,
            }
        },
    ),
    (
        "images.Handlers",
        "stop",
        [{"children": ["a"]}, {"error": "fmt-wrapped-stop"}, {}],
        {"output": {"called": [0, 1], "children": ["a"], "children_nil": False}},
    ),
    (
        "images.Handlers",
        "error",
        [{"children": ["a"]}, {"error": "wrapped-skip"}],
        {"output": {"called": [0, 1], "children": [], "children_nil": True}}
        | error("wrapped: skip descriptor"),
    ),
    (
        "images.Walk",
        "tree",
        {"roots": ["r"], "tree": TREE},
        {"output": {"visited": ["r", "a", "b"]}} | error("boom"),
    ),
    (
        "images.Dispatch",
        "tree",
        {"roots": ["r"], "tree": TREE, "limit": 1},
        {
            "output": {
                "visited_sorted": ["a", "b", "r"],
                "limiter_fully_released": True,
            }
        }
        | error("boom"),
    ),
    (
        "images.Dispatch",
        "concurrency",
        {"roots": ["r", "s", "t"], "tree": {}, "limit": 2, "handler_sleep_ms": 9000},
        {"output": {"handled": 3, "max_concurrent": 2}},
    ),
    (
        "images.Dispatch",
        "cancel",
        {
            "context_cancelled_before": False,
            "limit": 0,
            "roots": ["a", "b", "c"],
            "nodes": {
                "a": {"sleep_ms": 3000, "error": "a"},
                "b": {"sleep_ms": 90000, "returns_on_cancel": True},
                "c": {"sleep_ms": 6000, "error": "c"},
            },
        },
        {
            "output": {
                "context_cancelled_at_start": [],
                "finished_when_dispatch_returned": ["a", "b", "c"],
                "saw_cancel": ["b"],
                "started_sorted": ["a", "b", "c"],
            }
        }
        | error("a"),
    ),
    (
        "images.Dispatch",
        "precancelled",
        {
            "context_cancelled_before": True,
            "limit": 2,
            "roots": ["a"],
            "nodes": {"a": {"sleep_ms": 5}},
        },
        {
            "output": {
                "context_cancelled_at_start": ["a"],
                "finished_when_dispatch_returned": ["a"],
                "saw_cancel": [],
                "started_sorted": ["a"],
            }
        },
    ),
    (
        "docker.ConvertManifest",
        "not-legacy",
        {"descriptor": desc(M), "manifest": "{}", "missing": False},
        {"output": {"converted": False, "descriptor": desc(M)}},
    ),
]


@pytest.mark.parametrize(("function", "kind", "value", "expected"), VECTORS)
async def test_a_vector(function, kind, value, expected):
    assert await evaluate(function, kind, value) == expected


async def test_a_specifier_is_parsed_and_a_bad_one_is_an_error():
    parsed = await evaluate("platforms.Parse", "os-arch-variant", "linux/arm64/v8")
    assert parsed["output"]["format"] == "linux/arm64/v8"
    assert parsed["output"]["format_normalized"] == "linux/arm64"
    assert await evaluate("platforms.Parse", "odd", "x/*") == error(
        '"x/*": wildcards not yet supported: invalid argument', "invalid_argument"
    )


@pytest.mark.parametrize(
    ("matcher", "less"),
    [
        ("OnlyStrict", ["00", "10"]),
        ("Ordered", ["00", "10"]),
        ("Any", ["00", "10"]),
        ("All", ["00", "00"]),
    ],
)
async def test_every_matcher_can_be_named(matcher, less):
    value = {"matcher": matcher, "platforms": [AMD64], "candidates": [S390X, AMD64]}
    outcome = await evaluate("platforms.Only/...: Match", "kind", value)
    assert outcome["output"]["less"] == less


@pytest.mark.parametrize(
    ("matcher", "kept"),
    [("all", 2), ("nil", 2), ("any:linux/s390x,linux/amd64", 2), ("linux/386", 0)],
)
async def test_every_spelling_of_a_matcher_is_known(matcher, kept):
    value = {"children": CHILDREN, "matcher": matcher}
    outcome = await evaluate("images.FilterPlatforms", "kind", value)
    assert len(outcome["output"]) == kept


async def test_a_legacy_configuration_is_converted():
    manifest = '{"config":{"mediaType":"application/octet-stream","size":1}}'
    value = {"descriptor": desc(M), "manifest": manifest, "missing": False}
    outcome = await evaluate("docker.ConvertManifest", "legacy", value)
    output = outcome["output"]
    assert output["converted"]
    assert output["labels"] == {}
    assert output["manifest"].endswith('"layers": null\n}')
    assert output["descriptor"]["size"] == len(output["manifest"])


async def test_words_of_go_s_own_library_are_marked():
    value = {"descriptor": desc(M), "document": "x", "missing": False}
    outcome = await evaluate("images.Children", "manifest-bad", value)
    assert outcome["error"]["go_stdlib_text"] is True


async def test_an_unknown_function_is_not_implemented():
    with pytest.raises(NotImplementedError, match="no counterpart of images"):
        await evaluate("images.Unheard of", "kind", None)
