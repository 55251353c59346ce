"""A small client, good or broken at will, behind the adapter contract.

In process it is an adapter object, ``NaiveAdapter(flaws={"no-digest-check"})``;
as a script it is an executable adapter, ``python naive.py [--flaw NAME]... VERB``.
It pulls single-platform images into ROOT/blobs/sha256 and shares no code with the
suite, so that it can judge the suite.

Flaws: ``no-digest-check``, ``always-fails``, ``always-succeeds``, ``hangs`` (until
it is cancelled), ``crashes``, ``no-content`` (cannot be read back), ``prints-secrets``,
``claims-nothing``.
"""

import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

FEATURES = ["plain-http", "digest-ref", "basic-auth", "content", "image-record"]


class NaiveAdapter:
    """An adapter object as the suite takes it."""

    def __init__(self, flaws=(), name="naive"):
        self.flaws = set(flaws)
        self.name = name
        self._connection = None
        self.setups = 0
        self.teardowns = 0

    def setup(self):
        self.setups += 1

    def teardown(self):
        self.teardowns += 1

    def capabilities(self):
        features = [] if "claims-nothing" in self.flaws else FEATURES
        if "no-content" in self.flaws:
            features = [f for f in features if f != "content"]
        return {"name": self.name, "version": "1.0", "features": features}

    def pull(self, request, on_cancel):
        result: dict[str, Any] = {
            "ok": True,
            "exit": 0,
            "error": None,
            "stdout": "",
            "stderr": "",
        }
        if "prints-secrets" in self.flaws:
            result["stderr"] = f"password is {request['password']}\n"
        if "hangs" in self.flaws:
            cancelled = threading.Event()
            on_cancel(cancelled.set)
            cancelled.wait()
        if "crashes" in self.flaws:
            raise RuntimeError("segmentation fault, so to speak")
        if "always-succeeds" in self.flaws:
            return result
        on_cancel(self._hang_up)
        try:
            if "always-fails" in self.flaws:
                raise ValueError("this client never succeeds")
            self._pull(request)
        except (OSError, ValueError, http.client.HTTPException) as err:
            error = {"class": type(err).__name__, "message": str(err)}
            result |= {"ok": False, "exit": 1, "error": error}
        return result

    def inspect(self, request):
        root = Path(request["root"])
        if "no-content" in self.flaws:
            return {}
        blobs = (root / "blobs" / "sha256").glob("*")
        images = root / "images.json"
        return {
            "images": json.loads(images.read_text()) if images.exists() else [],
            "content": [
                {
                    "digest": f"sha256:{blob.name}",
                    "size": blob.stat().st_size,
                    "labels": {},
                    "path": str(blob),
                }
                for blob in blobs
            ],
        }

    def evaluate(self, function, kind, value):
        if function != "test.Double":
            raise NotImplementedError(function)
        if not isinstance(value, int):
            return {"error": {"text": f"{kind}: not a number", "class": "invalid"}}
        return {"output": {"double": value * 2}}

    def _pull(self, request):
        registry, _, rest = request["ref"].partition("/")
        repository, mark, reference = rest.partition("@")
        if not mark:
            repository, _, reference = rest.rpartition(":")
        base = f"http://{registry}/v2/{repository}"
        body, media_type = self._get(request, f"{base}/manifests/{reference}")
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._keep(request, reference if mark else digest, body)
        manifest = json.loads(body)
        if "config" not in manifest:
            raise ValueError("no manifest that this client knows")
        for child in [manifest["config"], *manifest["layers"]]:
            blob, _ = self._get(request, f"{base}/blobs/{child['digest']}")
            self._keep(request, child["digest"], blob)
        target = {"mediaType": media_type, "digest": digest, "size": len(body)}
        image = {"name": request["ref"], "target": target, "labels": {}}
        Path(request["root"], "images.json").write_text(json.dumps([image]))

    def _get(self, request, url):
        host, path = url.removeprefix("http://").split("/", 1)
        headers = {"Accept": "*/*"}
        if request["username"]:
            pair = f"{request['username']}:{request['password']}"
            token = base64.b64encode(pair.encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
            self._connection = connection
            connection.request("GET", f"/{path}", headers=headers)
            response = connection.getresponse()
            body = response.read()
        if response.status != 200:
            raise ValueError(f"{url}: status {response.status}")
        return body, response.headers["Content-Type"]

    def _hang_up(self):
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _keep(self, request, digest, body):
        if not digest.startswith("sha256:"):
            raise ValueError(f"{digest}: not an algorithm that this client knows")
        if "no-digest-check" not in self.flaws:
            actual = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if actual != digest:
                raise ValueError(f"{digest}: got {actual}")
        path = Path(request["root"], "blobs", "sha256", digest.partition(":")[2])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def main(argv):
    flaws = [argv[i + 1] for i, word in enumerate(argv) if word == "--flaw"]
    adapter = NaiveAdapter(flaws)
    request = json.load(sys.stdin)
    if "crashes" in flaws and argv[-1] == "pull":
        os.kill(os.getpid(), signal.SIGKILL)
    match argv[-1]:
        case "capabilities":
            answer = adapter.capabilities()
        case "pull":
            answer = adapter.pull(request, lambda function: None)
        case "inspect":
            answer = adapter.inspect(request)
        case _:
            return 3
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
