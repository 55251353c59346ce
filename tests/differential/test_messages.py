"""Messages from text: what they are on the wire, and what is refused."""

import pytest

from tests.differential.messages import CONTAINERD, CRI, message_types

TEXT = """
package one;
message Inner {
  string name = 1;
}
package two.v1;
message Outer {
  repeated one.Inner inner = 3;
  map<string, string> labels = 2;
  int64 size = 4;
}
"""


@pytest.fixture(autouse=True)
def protobuf():
    """Plain tox has no protobuf: nothing else needs it."""
    pytest.importorskip("google.protobuf.descriptor_pb2")


def test_a_message_has_its_fields_on_the_wire():
    """protobuf.dev, Encoding: tag, length, bytes."""
    outer = message_types(TEXT)["two.v1.Outer"]
    message = outer(inner=[{"name": "a"}], labels={"k": "v"}, size=7)
    assert sorted(message.SerializeToString()) == sorted(
        b"\x1a\x03\x0a\x01a" + b"\x12\x06\x0a\x01k\x12\x01v" + b"\x20\x07"
    )
    assert outer.FromString(message.SerializeToString()).inner[0].name == "a"


def test_fields_that_are_not_named_are_skipped():
    inner = message_types(TEXT)["one.Inner"]
    assert inner.FromString(b"\x0a\x01a\x20\x07").name == "a"


def test_what_is_not_understood_is_refused():
    with pytest.raises(ValueError, match="oneof"):
        message_types("package a;\nmessage B {\n  oneof c {\n}\n")


def test_the_messages_of_containerd_and_cri_can_be_made():
    assert "containerd.services.images.v1.ListImagesRequest" in message_types(
        CONTAINERD
    )
    types = message_types(CRI)
    request = types["runtime.v1.PullImageRequest"](image={"image": "a/b:c"})
    assert request.SerializeToString() == b"\x0a\x07\x0a\x05a/b:c"
