"""Messages of containerd's API and of CRI, made in process from a few lines of text.

    types = message_types(CONTAINERD)
    types["containerd.services.images.v1.ListImagesRequest"](filters=["name==x"])

The text is that of protocol buffers, version 3, as far as it is needed here: one
declaration a line, messages that are not nested, no enumerations (an int32 has the
same bytes). Fields that nobody reads are left out; decoding skips them.
"""

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["CONTAINERD", "CRI", "message_types"]

CONTAINERD: Final = """
package containerd.types;
message Descriptor {
  string media_type = 1;
  string digest = 2;
  int64 size = 3;
  map<string, string> annotations = 5;
}
message Mount {
  string type = 1;
  string source = 2;
  string target = 3;
  repeated string options = 4;
}

package containerd.services.images.v1;
message Image {
  string name = 1;
  map<string, string> labels = 2;
  containerd.types.Descriptor target = 3;
}
message ListImagesRequest {
  repeated string filters = 1;
}
message ListImagesResponse {
  repeated Image images = 1;
}
message DeleteImageRequest {
  string name = 1;
  bool sync = 2;
}
message Empty {
}

package containerd.services.content.v1;
message Info {
  string digest = 1;
  int64 size = 2;
  map<string, string> labels = 5;
}
message ListContentRequest {
  repeated string filters = 1;
}
message ListContentResponse {
  repeated Info info = 1;
}
message Status {
  string ref = 3;
  int64 offset = 4;
  int64 total = 5;
}
message ListStatusesRequest {
  repeated string filters = 1;
}
message ListStatusesResponse {
  repeated Status statuses = 1;
}
message AbortRequest {
  string ref = 1;
}
message Empty {
}

package containerd.services.snapshots.v1;
message Info {
  string name = 1;
  string parent = 2;
  int32 kind = 3;
  map<string, string> labels = 6;
}
message ListSnapshotsRequest {
  string snapshotter = 1;
  repeated string filters = 2;
}
message ListSnapshotsResponse {
  repeated Info info = 1;
}
message ViewSnapshotRequest {
  string snapshotter = 1;
  string key = 2;
  string parent = 3;
}
message ViewSnapshotResponse {
  repeated containerd.types.Mount mounts = 1;
}
message RemoveSnapshotRequest {
  string snapshotter = 1;
  string key = 2;
}
message Empty {
}

package containerd.services.leases.v1;
message Lease {
  string id = 1;
}
message CreateRequest {
  string id = 1;
}
message CreateResponse {
  Lease lease = 1;
}
message DeleteRequest {
  string id = 1;
  bool sync = 2;
}
message ListRequest {
  repeated string filters = 1;
}
message ListResponse {
  repeated Lease leases = 1;
}
message Empty {
}
"""

CRI: Final = """
package runtime.v1;
message ImageSpec {
  string image = 1;
}
message AuthConfig {
  string username = 1;
  string password = 2;
}
message PullImageRequest {
  ImageSpec image = 1;
  AuthConfig auth = 2;
}
message PullImageResponse {
  string image_ref = 1;
}
"""

_PACKAGE: Final = re.compile(r"package ([\w.]+);")
_MESSAGE: Final = re.compile(r"message (\w+) \{")
_FIELD: Final = re.compile(
    r"(?P<repeated>repeated )?(?P<type>map<string, string>|[\w.]+) "
    r"(?P<name>\w+) = (?P<number>[0-9]+);"
)
_SCALARS: Final = ("string", "bool", "int32", "int64", "uint64")


def message_types(text: str) -> Mapping[str, Any]:
    """Return the classes of all messages by full name.

    Raises:
        ValueError: A line is none of those that are understood.
    """
    descriptor_pb2: Any = importlib.import_module("google.protobuf.descriptor_pb2")
    pools: Any = importlib.import_module("google.protobuf.descriptor_pool")
    factory: Any = importlib.import_module("google.protobuf.message_factory")
    pool = pools.DescriptorPool()
    names: list[str] = []
    before: list[str] = []
    for package, messages in _packages(text):
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{package}.proto", package=package, syntax="proto3", dependency=before
        )
        for message, fields in messages:
            _add_message(file, package, message, fields)
            names.append(f"{package}.{message}")
        pool.Add(file)
        before.append(file.name)
    return {
        name: factory.GetMessageClass(pool.FindMessageTypeByName(name))
        for name in names
    }


def _packages(
    text: str,
) -> Iterator[tuple[str, list[tuple[str, list[re.Match[str]]]]]]:
    found: list[tuple[str, list[tuple[str, list[re.Match[str]]]]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if package := _PACKAGE.fullmatch(line):
            found.append((package[1], []))
        elif message := _MESSAGE.fullmatch(line):
            found[-1][1].append((message[1], []))
        elif field := _FIELD.fullmatch(line):
            found[-1][1][-1][1].append(field)
        elif line != "}":
            raise ValueError(f"not understood: {line!r}")
    yield from found


def _add_message(
    file: Any,
    package: str,
    name: str,
    fields: list[re.Match[str]],
) -> None:
    message = file.message_type.add(name=name)
    for field in fields:
        added = message.field.add(name=field["name"], number=int(field["number"]))
        added.label = added.LABEL_REPEATED if field["repeated"] else 1
        kind = field["type"]
        if kind.startswith("map<"):
            entry = "".join(part.title() for part in field["name"].split("_"))
            nested = message.nested_type.add(name=f"{entry}Entry")
            nested.options.map_entry = True
            for number, key in enumerate(("key", "value"), 1):
                nested.field.add(name=key, number=number, label=1, type=9)
            kind = f"{package}.{name}.{entry}Entry"
            added.label = added.LABEL_REPEATED
        elif kind in _SCALARS:
            added.type = getattr(added, f"TYPE_{kind.upper()}")
            continue
        elif "." not in kind:
            kind = f"{package}.{kind}"
        added.type = added.TYPE_MESSAGE
        added.type_name = f".{kind}"
