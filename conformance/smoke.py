"""Check an adapter before a run: does what it says of its client hold?

Each step is one line; what a failing step printed says what to mend in the
adapter, before hundreds of cases fail for the same reason.
"""

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conformance.adapter import AdapterError, Client
from conformance.bench import Bench
from conformance.case import ClientDied, DeadlineMissed, Feature, NotTestable

#: What a client may take to be ended by the harness.
SHORT_DEADLINE: Final = 2.0

Step = Callable[[Bench], str]


def smoke(client: Client, *, timeout: float, say: Callable[[str], None]) -> bool:
    """Run every step, say how each went, and return whether all are well."""
    well = True
    with tempfile.TemporaryDirectory(prefix="pull-conformance-") as folder:
        for number, (name, step) in enumerate(_STEPS.items()):
            bench = Bench(client, Path(folder) / str(number), timeout=timeout)
            try:
                text = f"ok       {name}: {step(bench)}"
            except NotTestable as err:
                text = f"skipped  {name}: {err}"
            except (AssertionError, AdapterError) as err:
                well = False
                text = f"FAILED   {name}: {err}"
            finally:
                bench.close()
            say(bench.redact("\n         ".join(text.splitlines())))
    return well


def _version(bench: Bench) -> str:
    return f"{bench.client.name} {bench.client.version}"


def _pull(bench: Bench) -> str:
    """Pull a small image, and see that the registry was really asked."""
    image = bench.publish(layers=2)
    pull = bench.must_pull(image)
    asked = {exchange.path for exchange in bench.registry.journal.requests()}
    for layer in image.layers:
        if not any(path.endswith(layer.digest) for path in asked):
            raise AssertionError(
                f"the client reports success, but never asked for {layer.digest}"
            )
    return f"two layers in {1000 * pull.seconds:.0f} ms"


def _read_back(bench: Bench) -> str:
    """Find what was pulled in the client's store, byte for byte."""
    if not bench.claims(Feature.CONTENT):
        raise NotTestable(f"the adapter does not offer: {Feature.CONTENT}")
    image = bench.publish(layers=2)
    bench.must_pull(image)
    stored = bench.stored()
    if stored.corrupt():
        raise AssertionError(
            f"the bytes of {stored.corrupt()[0].digest} do not match it"
        )
    missing = [layer.digest for layer in image.layers if not stored.has(layer.digest)]
    if missing:
        raise AssertionError(f"pulled, but not to be found: {', '.join(missing)}")
    return f"{len(stored.content or {})} blobs, all as their digests say"


def _unreachable(bench: Bench) -> str:
    """Pull from a port where nobody listens: an error, not a success."""
    bench.publish()
    with _closed_port() as port:
        pull = bench.pull(f"127.0.0.1:{port}/library/test:v1")
    if pull.ok:
        raise AssertionError("the client reports success, but there was no registry")
    return f"an error, as it must be ({_one_line(str(pull))})"


def _deadline(bench: Bench) -> str:
    """Pull from a registry that stops answering: the harness ends the client."""
    image = bench.publish()
    bench.registry.fault(method="GET", path="/blobs/*", stall=0)
    try:
        pull = bench.pull(image, deadline=SHORT_DEADLINE)
    except DeadlineMissed:
        return f"ended by the harness after {SHORT_DEADLINE:g} s"
    except ClientDied as err:
        raise AssertionError(_one_line(str(err))) from err
    if pull.ok:
        raise AssertionError("the client reports success without its layer")
    return "the client gave up by itself"


_STEPS: Final[dict[str, Step]] = {
    "version": _version,
    "pull": _pull,
    "read back": _read_back,
    "unreachable registry": _unreachable,
    "deadline": _deadline,
}


@contextmanager
def _closed_port() -> Iterator[int]:
    """Yield a port that is taken, but on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
