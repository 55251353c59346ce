"""The exit status, and ``refpull`` as processes that are started and killed."""

import json
import os
import signal
import subprocess
import sys

import anyio
import pytest

from refimpl import commands
from refimpl.__main__ import main
from refimpl.client import Client

DEADLINE = 60.0


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


# -- in this process ------------------------------------------------------------------


def test_done_is_0_failed_is_1_misuse_is_2(root, capsys):
    assert main(["--root", str(root), "images", "ls"]) == 0
    assert main(["--root", str(root), "images", "rm", "nobody"]) == 1
    with pytest.raises(SystemExit) as caught:
        main(["--nope"])
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError(28, "No space left on device"), "{root}: No space left on device"),
        (OSError("odd"), "{root}: odd"),
    ],
)
def test_an_error_of_the_system_is_one_line(root, capsys, monkeypatch, error, said):
    async def fail(_args):
        raise error

    monkeypatch.setattr(commands, "list_images", fail)
    assert main(["--root", str(root), "images", "ls"]) == 1
    text = said.format(root=root)
    assert capsys.readouterr() == ("", f"refpull: {text}\n")
    assert main(["--root", str(root), "images", "ls", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["message"] == text


# -- processes ------------------------------------------------------------------------


class Refpull:
    """Starts ``refpull`` processes on one store; none is left at the end."""

    def __init__(self, root):
        self.root = root
        self.processes = []

    def start(self, *words, **options):
        command = [sys.executable, "-m", "refimpl", "--root", str(self.root)]
        defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(
            [*command, *map(str, words)],
            stdin=subprocess.DEVNULL,
            **(defaults | options),
        )
        self.processes.append(process)
        return process

    def run(self, *words, **options):
        """Return status, output and what was said."""
        return self.wait(self.start(*words, **options))

    def wait(self, process):
        out, err = process.communicate(timeout=DEADLINE)
        return process.returncode, out, err

    def close(self):
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def refpull(root):
    starter = Refpull(root)
    yield starter
    starter.close()


def read_store(root):
    """Return names of images, digests with bytes, and ids of leases."""

    async def read():
        async with Client(root) as client:
            images = await client.image_service().list()
            content = await client.content_store().walk()
            return (
                [image.name for image in images],
                {i.digest: client.db.blob_path(i.digest).read_bytes() for i in content},
                [lease.id for lease in await client.leases_service().list()],
            )

    return anyio.run(read)


def wait_for_ingest(root, digest, size):
    """Return when the ingest of a blob has grown to a size."""

    async def look():
        with anyio.fail_after(DEADLINE):
            async with Client(root) as client:
                while not await grown(client):
                    await anyio.lowlevel.checkpoint()

    async def grown(client):
        statuses = await client.content_store().list_statuses()
        return any(digest in s.ref and s.offset == size for s in statuses)

    anyio.run(look)


@pytest.mark.slow
def test_a_pull_in_a_process_of_its_own(registry, refpull, root):
    image = registry.publish("library/hello:1", layers=2)
    ref = registry.ref(image)
    assert refpull.run("pull", ref) == (0, f"{ref}\t{image.digest}\n", "")
    assert read_store(root) == ([ref], dict(image.data), [])


@pytest.mark.slow
def test_a_registry_that_is_not_there_is_one_line(refpull):
    status, out, err = refpull.run("pull", "127.0.0.1:1/a:1")
    assert (status, out) == (1, "")
    assert err.startswith("refpull: failed to resolve reference")
    assert err.endswith("connection refused\n")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_pull_that_is_killed_goes_on_where_it_stopped(registry, refpull, root):
    """SIGKILL lets nobody tidy up: half a layer and a lease are left."""
    image = registry.publish("library/hello:1", layers=2, layer_size=1 << 20)
    layer = image.layers[1]
    half = layer.size // 2
    fault = registry.fault(method="GET", digest=layer.digest, stall=half)
    process = refpull.start("pull", registry.ref(image))
    wait_for_ingest(root, layer.digest, half)
    process.kill()
    assert refpull.wait(process)[0] == -signal.SIGKILL
    fault.remove()
    names, _, leases = read_store(root)
    assert (names, len(leases)) == ([], 1)

    status, _, err = refpull.run("pull", registry.ref(image))
    assert (status, err) == (0, "")
    names, content, left = read_store(root)
    assert (names, content, left) == ([registry.ref(image)], dict(image.data), leases)
    _, rest = registry.journal.requests(method="GET", digest=layer.digest)
    assert (rest.range, rest.status) == (f"bytes={half}-", 206)


@pytest.mark.slow
def test_a_kill_before_the_first_byte_does_no_harm(registry, refpull, root):
    image = registry.publish("library/hello:1", layers=1)
    with registry.gate(method="GET", digest=image.layers[0].digest) as gate:
        process = refpull.start("pull", registry.ref(image))
        gate.wait_for(timeout=DEADLINE)
        process.kill()
        refpull.wait(process)
    assert refpull.run("pull", registry.ref(image))[0] == 0
    assert read_store(root)[1] == dict(image.data)


@pytest.mark.slow
def test_two_processes_pull_into_one_store_at_once(registry, refpull, root):
    """Both succeed, and what one has got the other does not ask for."""
    image = registry.publish("library/hello:1", layers=3, layer_size=1 << 20)
    ref = registry.ref(image)
    with registry.gate(method="HEAD") as gate:
        both = [refpull.start("pull", ref) for _ in range(2)]
        gate.wait_for(2, timeout=DEADLINE)
        gate.open()
        for process in both:
            assert refpull.wait(process) == (0, f"{ref}\t{image.digest}\n", "")
    assert read_store(root) == ([ref], dict(image.data), [])
    gets = [e.reference for e in registry.journal.requests(method="GET")]
    assert sorted(gets) == sorted(image.data)


@pytest.fixture
def interruptible():
    """Give children their SIGINT back, which the shell's background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_pull_in_one_line(registry, refpull, root):
    image = registry.publish("library/hello:1", layers=1, layer_size=1 << 20)
    layer = image.layers[0]
    half = layer.size // 2
    registry.fault(method="GET", digest=layer.digest, stall=half)
    process = refpull.start("pull", registry.ref(image))
    wait_for_ingest(root, layer.digest, half)
    process.send_signal(signal.SIGINT)
    said = "refpull: interrupted; run it again to go on\n"
    assert refpull.wait(process) == (130, "", said)
    names, content, leases = read_store(root)
    assert (names, leases) == ([], [])
    assert layer.digest not in content


INTERRUPT_A_THREAD = """
import signal, sys, threading
from refimpl.__main__ import main

def interrupt():
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_another_thread_wakes_the_loop(registry, root):
    image = registry.publish("library/hello:1", layers=1, layer_size=1 << 20)
    layer = image.layers[0]
    half = layer.size // 2
    registry.fault(method="GET", digest=layer.digest, stall=half)
    command = [sys.executable, "-c", INTERRUPT_A_THREAD, "--root", str(root)]
    with subprocess.Popen(
        [*command, "pull", registry.ref(image)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_for_ingest(root, layer.digest, half)
            _, said = process.communicate("\n", timeout=DEADLINE)
        finally:
            process.kill()
    assert (process.returncode, said) == (
        130,
        "refpull: interrupted; run it again to go on\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_goes_away_is_told_nothing(registry, refpull, buffered):
    image = registry.publish("library/hello:1", layers=1, layer_size=1 << 20)
    refpull.run("pull", registry.ref(image))
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    for words in (["images", "ls"], ["content", "get", image.layers[0].digest]):
        reader, writer = os.pipe()
        os.close(reader)
        process = refpull.start(*words, stdout=writer, env=environment)
        os.close(writer)
        assert refpull.wait(process) == (1, None, "")


@pytest.mark.slow
@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_cannot_be_written_is_a_failure(refpull, buffered):
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    refpull.run("leases", "ls")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        listed = refpull.run("leases", "ls", "--json", stdout=full, env=environment)
    said = "refpull: standard output: No space left on device\n"
    assert listed == (1, None, said)


@pytest.mark.slow
def test_bytes_that_are_no_unicode_are_misuse(refpull, root):
    status, out, err = refpull.run(
        "images", "rm", b"\xff".decode(errors="surrogateescape")
    )
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert not root.exists()
