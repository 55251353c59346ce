"""converter.go: the manifest of schema1, its history, and the configuration."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import digest
from refimpl.errdefs import ContainerdError, message
from refimpl.gojson import JSONError
from refimpl.images.image import parse_config
from refimpl.remotes.docker.blobstate import BlobState
from refimpl.remotes.docker.schema1_document import (
    Schema1Manifest,
    is_empty_layer,
    known_states,
    make_config,
    parse_manifest,
)

A, B, C = (digest.from_bytes(text) for text in (b"a", b"b", b"c"))
ZERO = "0001-01-01T00:00:00Z"


def payload(*entries, **more):
    document = {
        "fsLayers": [{"blobSum": blob_sum} for blob_sum, _ in entries],
        "history": [{"v1Compatibility": json.dumps(v1)} for _, v1 in entries],
    }
    return json.dumps(document | more).encode()


def manifest(*entries):
    return parse_manifest(payload(*entries))


def solid(text):
    return BlobState(diff_id=digest.from_bytes(text), empty=False)


def test_entries_stay_in_their_order():
    found = manifest((A, {"id": "top"}), (B, {}))
    assert found == Schema1Manifest(blob_sums=(A, B), history=('{"id": "top"}', "{}"))


@pytest.mark.parametrize("text", ["{}", "null", '{"fsLayers": null, "history": []}'])
def test_a_manifest_may_have_no_layers(text):
    assert parse_manifest(text.encode()) == Schema1Manifest(blob_sums=(), history=())


@pytest.mark.parametrize("key", ["layers", "manifests", "LAYERS"])
@pytest.mark.parametrize("value", [None, [], {}, 1])
def test_a_document_of_two_kinds_is_refused(key, value):
    with pytest.raises(ContainerdError, match="found extra keys"):
        parse_manifest(payload((A, {}), **{key: value}))


@pytest.mark.parametrize("text", ["", "[]", '{"fsLayers": {}}', '{"history": [1]}'])
def test_a_document_that_is_no_manifest_is_refused(text):
    with pytest.raises(JSONError):
        parse_manifest(text.encode())


@pytest.mark.parametrize(
    ("v1", "empty"),
    [
        ({}, False),
        ({"throwaway": True}, True),
        ({"throwaway": False, "Size": 0}, False),
        ({"throwaway": True, "Size": 5}, True),
        ({"throwaway": None, "Size": 0}, True),
        ({"Size": 0}, True),
        ({"size": 0}, True),
        ({"Size": 1}, False),
        ({"Size": None}, False),
    ],
)
def test_throwaway_counts_more_than_size(v1, empty):
    assert is_empty_layer(json.dumps(v1)) is empty


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"Size": "0"}', '"x"'])
def test_an_entry_that_is_no_image_is_refused(text):
    with pytest.raises(JSONError):
        is_empty_layer(text)


def test_of_a_blob_that_comes_twice_the_top_entry_counts():
    found = known_states(
        manifest((A, {"throwaway": True}), (B, {}), (A, {}), (B, {"throwaway": True}))
    )
    assert found == {A: BlobState(empty=True), B: BlobState(empty=False)}
    assert list(found) == [A, B]


@pytest.mark.parametrize(
    ("blob_sums", "history"), [((A,), ()), ((), ("{}",)), ((A,), ("{}", "{}"))]
)
def test_as_many_layers_as_entries(blob_sums, history):
    with pytest.raises(ContainerdError, match="history and layer mismatch"):
        known_states(Schema1Manifest(blob_sums=blob_sums, history=history))


def test_the_base_comes_first_and_empty_layers_are_left_out():
    found = manifest((C, {}), (B, {"throwaway": True}), (A, {}))
    states = {A: solid(b"1"), B: BlobState(empty=True), C: solid(b"3")}
    data, diff_ids = make_config(found, states)
    assert diff_ids == (digest.from_bytes(b"1"), digest.from_bytes(b"3"))
    assert parse_config(data).diff_ids == diff_ids
    history = json.loads(data)["history"]
    assert [entry.get("empty_layer") for entry in history] == [None, True, None]


def test_the_topmost_image_is_the_configuration():
    top = {
        "architecture": "arm",
        "os": "linux",
        "author": "<me>",
        "created": "2016-10-07T21:03:58.500Z",
        "comment": "c",
        "id": "dropped",
        "config": {"Env": ["B=1", "A=2"], "Labels": {"b": "1", "a": "2"}, "Cmd": []},
        "container_config": {"Cmd": ["/bin/sh", "-c", "x & y"]},
        "history": [{"comment": "replaced"}],
        "rootfs": {"type": "replaced"},
    }
    data, _ = make_config(manifest((A, top)), {A: solid(b"1")})
    assert data.decode() == (
        "{\n"
        '   "created": "2016-10-07T21:03:58.5Z",\n'
        '   "author": "\\u003cme\\u003e",\n'
        '   "architecture": "arm",\n'
        '   "os": "linux",\n'
        '   "config": {\n'
        '      "Env": [\n         "B=1",\n         "A=2"\n      ],\n'
        '      "Labels": {\n         "a": "2",\n         "b": "1"\n      }\n'
        "   },\n"
        '   "rootfs": {\n'
        '      "type": "layers",\n'
        f'      "diff_ids": [\n         "{digest.from_bytes(b"1")}"\n      ]\n'
        "   },\n"
        '   "history": [\n      {\n'
        '         "created": "2016-10-07T21:03:58.5Z",\n'
        '         "created_by": "/bin/sh -c x \\u0026 y",\n'
        '         "author": "\\u003cme\\u003e",\n'
        '         "comment": "c"\n'
        "      }\n   ]\n}"
    )


def test_what_nobody_said_is_left_out_but_for_a_few():
    """An image without a date has none, its entry has Go's first moment."""
    data, _ = make_config(manifest((A, {})), {A: BlobState(empty=True)})
    assert json.loads(data) == {
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created": ZERO, "empty_layer": True}],
    }


def test_a_history_is_needed():
    with pytest.raises(ContainerdError) as caught:
        make_config(manifest(), {})
    assert message(caught.value) == "schema 1 conversion failed: no history"


def test_an_entry_below_a_known_blob_is_read_at_the_end():
    """converter.go:93 reads the first entry of a blob only, :443 all of them."""
    found = Schema1Manifest(blob_sums=(A, A), history=("{}", "broken"))
    states = known_states(found)
    with pytest.raises(JSONError) as caught:
        make_config(found, states)
    assert message(caught.value).startswith(
        "schema 1 conversion failed: failed to unmarshal history: "
    )


def test_a_configuration_of_another_type_is_an_error():
    with pytest.raises(JSONError) as caught:
        make_config(manifest((A, {"config": 1})), {A: solid(b"1")})
    assert message(caught.value).startswith(
        "failed to unmarshal image from schema 1 history: "
    )


ENTRIES = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.sampled_from([{}, {"throwaway": True}])),
    min_size=1,
    max_size=6,
)


@given(ENTRIES)
def test_history_and_layers_fit_together(entries):
    """image-spec config.md: as many diff_ids as entries that are not empty."""
    found = manifest(*entries)
    states = {
        blob_sum: state if state.empty else solid(blob_sum.encode())
        for blob_sum, state in known_states(found).items()
    }
    data, diff_ids = make_config(found, states)
    history = json.loads(data)["history"]
    assert len(history) == len(entries)
    assert len([e for e in history if "empty_layer" not in e]) == len(diff_ids)
    wanted = [blob_sum for blob_sum, _ in reversed(entries)]
    assert diff_ids == tuple(
        states[blob_sum].diff_id for blob_sum in wanted if not states[blob_sum].empty
    )
    assert make_config(found, states)[0] == data
