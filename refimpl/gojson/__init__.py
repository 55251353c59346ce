r"""Mirrors: Go's encoding/json, as far as containerd shows it.

Reading and writing JSON as containerd does, down to the error texts and to the last
byte, and without ever running out of stack: a registry decides what is read here.

    >>> kind = Struct("v1.Platform", {"os": STRING, "architecture": STRING})
    >>> decode(b'{"OS": "linux", "extra": [1, 2]}', kind)
    {'os': 'linux', 'architecture': ''}
    >>> marshal_indent({"os": "linux"}, "   ").decode()
    '{\n   "os": "linux"\n}'
"""

from refimpl.gojson.decode import (
    BOOL,
    EMPTY,
    INT,
    INT64,
    RAW,
    STRING,
    Custom,
    Kind,
    Map,
    Pointer,
    Slice,
    String,
    Struct,
    decode,
    decode_node,
)
from refimpl.gojson.encode import JSON, marshal, marshal_indent
from refimpl.gojson.scan import JSONError, Node, Number, Object, parse

__all__ = [
    "BOOL",
    "EMPTY",
    "INT",
    "INT64",
    "JSON",
    "RAW",
    "STRING",
    "Custom",
    "JSONError",
    "Kind",
    "Map",
    "Node",
    "Number",
    "Object",
    "Pointer",
    "Slice",
    "String",
    "Struct",
    "decode",
    "decode_node",
    "marshal",
    "marshal_indent",
    "parse",
]
