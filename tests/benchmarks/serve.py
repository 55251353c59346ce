"""A registry in a process of its own, with images of given sizes.

    python -m tests.benchmarks.serve [--fault] [--tls] [--storage DIR]
        NAME=LAYERSxBYTES...

`fakeregistry serve` publishes small images only; this is the same registry. The
first line is JSON: where it listens and what it holds. It ends when its standard
input does, or by a signal.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from typing import TYPE_CHECKING, Any, Final

from fakeregistry import Registry
from fakeregistry.layers import files_layer

if TYPE_CHECKING:
    from fakeregistry import Image
    from fakeregistry.layers import Layer

_PIECE: Final = 64 << 20


def _main() -> None:
    parser = argparse.ArgumentParser(prog="serve", description=__doc__)
    parser.add_argument("--fault", action="store_true", help="set one that never fires")
    parser.add_argument("--tls", action="store_true", help="speak TLS")
    parser.add_argument("--storage", metavar="DIR", help="not in memory, but there")
    parser.add_argument("images", nargs="*", metavar="NAME=LAYERSxBYTES")
    options = parser.parse_args()
    with Registry(tls=options.tls, storage=options.storage) as registry:
        if options.fault:
            registry.fault(path="/blobs/nothing", status=503)
        images = dict(_publish(registry, text) for text in options.images)
        told = {"port": registry.port, "images": images, "ca": str(registry.ca_file)}
        json.dump(told, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()
        sys.stdin.read()


def _publish(registry: Registry, text: str) -> tuple[str, dict[str, Any]]:
    name, _, shape = text.partition("=")
    count, _, size = shape.partition("x")
    layers = [_layer(f"{name}-{number}", int(size)) for number in range(int(count))]
    image = registry.publish(f"library/{name}:v1", layers=layers)
    return name, _told(image)


def _layer(seed: str, size: int) -> Layer:
    generator = random.Random(seed)  # noqa: S311 - repeatable is the point
    # One call yields less than 256 MiB.
    pieces = [
        generator.randbytes(min(_PIECE, size - start))
        for start in range(0, size, _PIECE)
    ]
    return files_layer({"data.bin": b"".join(pieces)})


def _told(image: Image) -> dict[str, Any]:
    return {
        "digest": image.digest,
        "config": image.config.digest,
        "layers": [layer.digest for layer in image.layers],
        "size": sum(len(data) for data in image.data.values()),
    }


if __name__ == "__main__":
    _main()
