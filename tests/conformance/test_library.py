"""Clients that are libraries: what runs them, and the programs that drive them."""

import io
import json
import os
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from conformance.adapter import BUNDLED, load_clients
from conformance.contract import AdapterError, check_capabilities
from conformance.description import Description
from conformance.library import LibraryAdapter
from conformance.stored import parse_stored
from fakeregistry import Registry

LIBRARIES = sorted(
    file.stem
    for file in BUNDLED.glob("*.toml")
    if "executable" in Description.read(file).table
)
MANIFEST = b'{"config": {}, "layers": []}'
PROGRAM = """\
import json, os, pathlib, sys

asked = json.load(sys.stdin)
if sys.argv[1] == "capabilities":
    print(json.dumps({{"name": "mine", "version": "1", "features": [], **{more}}}))
else:
    folder = pathlib.Path(asked["root"], "pulled")
    folder.mkdir()
    (folder / "layer").write_bytes(b"layer")
    variables = {{name: os.environ.get(name) for name in ("CA", "WHO")}}
    print(json.dumps({{"ok": True, "stdout": json.dumps(variables)}}))
"""


@pytest.fixture
def library(tmp_path):
    """Write an adapter file and its program, and make an adapter of them."""

    def library(*, more="{}", **keys):
        (tmp_path / "program.py").write_text(PROGRAM.format(more=more))
        told = {
            "name": "mine",
            "runtime": "python",
            "executable": "program.py",
            "install": "pip install mine",
            "result": {"kind": "files", "path": "{root}/pulled"},
            **keys,
        }
        return LibraryAdapter(Description(f"{tmp_path}/mine.toml", told, tmp_path))

    return library


def test_pull_and_read_back(library, tmp_path):
    adapter = library(env={"CA": "{ca}", "WHO": "{username}"})
    root = tmp_path / "root"
    root.mkdir()
    request = {"ref": "h:1/a:b", "root": str(root), "ca": "/ca.pem", "username": None}
    answer = adapter.pull(request, lambda _stop: None)
    assert answer["ok"]
    assert json.loads(answer["stdout"]) == {"CA": "/ca.pem", "WHO": None}
    stored = parse_stored(adapter.inspect({"root": str(root)}), where="mine")
    assert len(stored.content or ()) == 1


def test_installed(library):
    assert library().installed() is None


def test_library_that_is_missing_says_how_to_install_it(library):
    adapter = library(more='{"missing": "mine: not installed for python3"}')
    assert adapter.installed() == (
        "mine: not installed for python3; install it with: pip install mine"
    )
    assert library(more='{"missing": "gone"}', install="").installed() == "gone"


def test_python_of_the_user(library, monkeypatch):
    monkeypatch.setenv("PULL_CONFORMANCE_PYTHON", "/nonexistent/python")
    assert "/nonexistent/python: not found" in str(library().installed())


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"runtime": "perl"}, "runtime must be node or python, not 'perl'"),
        ({"executable": ""}, "executable must be a file"),
        ({"pull": ["x"]}, "unknown key pull"),
        ({"env": {"A": "{b}"}}, "env.A: unknown placeholder {b}"),
        ({"result": {"kind": "x"}}, "result.kind: 'x' is unknown"),
        ({"name": "a b"}, "is no name"),
    ],
)
def test_wrong_files_are_errors(keys, text, library):
    with pytest.raises(AdapterError) as caught:
        library(**keys)
    assert text in str(caught.value)


def test_program_of_another_name(library):
    with pytest.raises(AdapterError, match="called 'other', but its program says"):
        library(name="other").capabilities()


@pytest.mark.parametrize("name", LIBRARIES)
def test_bundled_programs_know_their_names(name):
    """They answer with nothing but the standard library, installed or not."""
    adapter = load_clients([name])[0].adapter
    assert isinstance(adapter, LibraryAdapter)
    if shutil.which(adapter.argv[0]) is None:
        pytest.skip(f"{adapter.argv[0]}: not installed")
    told = check_capabilities(adapter.capabilities(), where=name)
    assert told["name"] == name
    assert "cancel" in told["features"]


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.clients
def test_real_library_pulls(name, tmp_path):
    client = load_clients([name])[0]
    if (missing := client.installed()) is not None:
        pytest.skip(missing)
    plain = "plain-http" in client.features
    with Registry(tls=not plain) as registry:
        image = registry.publish("library/test:v1", layers=2)
        request: dict[str, object] = {
            "ref": registry.ref(image),
            "registry": registry.host,
            "root": str(tmp_path),
            "platform": None,
            "all_platforms": False,
            "all_metadata": False,
            "max_concurrent_downloads": None,
            "plain_http": plain,
            "ca": None if plain else str(registry.ca_file),
            "username": None,
            "password": None,
            "labels": {},
        }
        result = client.pull(request, 30)
        asked = {exchange.path for exchange in registry.journal}
    assert result.ok, result
    for layer in image.layers:
        assert any(path.endswith(layer.digest) for path in asked)
    assert client.inspect(tmp_path).corrupt() == ()


@pytest.fixture
def contract():
    """Load the module that the programs in Python share."""
    file = BUNDLED / "python/_contract.py"
    spec = spec_from_file_location("_contract", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def speak(contract, monkeypatch, capsys):
    """Ask a program a question and return what it answers."""

    def speak(verb, pull=lambda _request, _folder: None, **request):
        monkeypatch.setattr(sys, "argv", ["program", verb])
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
        contract.run("mine", "pytest", ("cancel",), pull)
        return json.loads(capsys.readouterr().out)

    return speak


def test_capabilities_tell_the_version_of_the_library(speak):
    told = speak("capabilities")
    assert told == {
        "name": "mine",
        "version": pytest.__version__,
        "features": ["cancel"],
    }


def test_capabilities_without_the_library(contract, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["program", "capabilities"])
    contract.run("mine", "no-such-distribution", (), lambda _request, _folder: None)
    told = json.loads(capsys.readouterr().out)
    assert told["missing"].startswith("no-such-distribution: not installed for ")


def test_pull_that_prints(speak, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    seen = []

    def pull(request, folder):
        print("progress")  # noqa: T201 - what a library does
        seen.append((request["ref"], folder.is_dir(), os.environ["SSL_CERT_FILE"]))

    answer = speak("pull", pull, ref="r", root=str(tmp_path), ca="/ca.pem")
    assert answer == {"ok": True, "exit": 0}
    assert seen == [("r", True, "/ca.pem")]


def refusing(_request, _folder):
    raise ValueError("no such algorithm")


def converting(_request, _folder):
    int("2x")


def decoding(_request, _folder):
    json.loads("7" * 5000)


def missing(_request, _folder):
    raise KeyError("mediaType")


@pytest.mark.parametrize(
    ("pull", "kind", "message"),
    [
        (missing, "KeyError", "KeyError: 'mediaType'"),
        (converting, "ValueError", "ValueError: invalid literal for int()"),
        (decoding, "ValueError", "ValueError: Exceeds the limit"),
        (refusing, "Error", "ValueError: no such algorithm"),
    ],
    ids=["key", "conversion", "numeral", "refusal"],
)
def test_pull_that_fails(pull, kind, message, speak, tmp_path):
    """A ValueError that was raised on purpose is not told from the class alone."""
    answer = speak("pull", pull, ref="r", root=str(tmp_path), ca=None)
    assert answer["error"]["class"] == kind
    assert answer["error"]["message"].startswith(message)
    assert (answer["ok"], answer["exit"]) == (False, 1)


def test_mistake_of_a_program_is_not_the_librarys(contract, speak, tmp_path):
    def pull(_request, _folder):
        contract.choose({"manifests": [None]})

    answer = speak("pull", pull, ref="r", root=str(tmp_path), ca=None)
    assert answer["error"]["class"] == "Error"
    assert answer["error"]["message"].startswith("AttributeError: ")


def test_other_questions_are_not_implemented(speak):
    with pytest.raises(SystemExit) as ended:
        speak("collect")
    assert ended.value.code == 3


def test_parts_of_a_request(contract):
    assert contract.split("h:1/a/b:v1") == ("h:1", "a/b", "v1")
    assert contract.split("h:1/a:v1@sha256:f") == ("h:1", "a", "sha256:f")
    assert contract.split("h:1/a")[2] == "latest"
    assert contract.scheme({"plain_http": True}) == "http"
    assert contract.scheme({"plain_http": False}) == "https"
    assert contract.credentials({"username": "u", "password": None}) == "dTo="


@pytest.mark.parametrize(
    "data",
    [b"[]", b'"text"', b"{}", b'{"layers": []}', b"{", b"[" * 100_000],
    ids=["list", "text", "empty", "config", "cut", "deep"],
)
def test_document_that_is_no_manifest(data, contract):
    with pytest.raises(ValueError, match=r"document|manifest|property name|delimiter"):
        contract.parse(data)


def test_documents(contract):
    assert not contract.is_index(contract.parse(MANIFEST))
    assert contract.is_index(contract.parse(b'{"manifests": []}'))


def test_manifest_for_this_machine(contract, monkeypatch):
    monkeypatch.setattr(contract.platform, "machine", lambda: "armv7l")
    arm = {"os": "linux", "architecture": "arm"}
    entries = [
        {"digest": "a"},
        {"digest": "b", "platform": arm},
        {"digest": "c", "platform": {**arm, "variant": "v7"}},
    ]
    assert contract.choose({"manifests": entries}) == "c"
    with pytest.raises(LookupError, match="no manifest for linux/arm/v7"):
        contract.choose({"manifests": entries[:2]})


def test_layout(contract, tmp_path):
    layout = contract.Layout(tmp_path)
    layout.write("sha256:abc", [b"la", b"yer"])
    layout.write_document("sha512:def", MANIFEST)
    layout.write_document("v1", MANIFEST)
    assert (tmp_path / "blobs/sha256/abc").read_bytes() == b"layer"
    assert (tmp_path / "blobs/sha512/def").read_bytes() == MANIFEST
    assert len(list((tmp_path / "blobs/sha256").iterdir())) == 2


def test_blob_that_breaks_off_is_not_kept(contract, tmp_path):
    layout = contract.Layout(tmp_path)

    def chunks():
        yield b"la"
        raise OSError("connection reset")

    with pytest.raises(OSError, match="reset"):
        layout.write("sha256:abc", chunks())
    assert not (tmp_path / "blobs/sha256/abc").exists()


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha256:", "abc", "../x:abc"])
def test_digest_that_is_no_name_of_a_file(digest, contract, tmp_path):
    with pytest.raises(ValueError, match="is no digest"):
        contract.Layout(tmp_path).path(digest)


NEVER = """\
const { run } = require(process.argv[3]);
run('mine', 'mine', [], () => new Promise(() => {}));
"""


def answer_of_node(program, tmp_path):
    """Run a program for Node with what such programs share, and return its answer."""
    (tmp_path / "program.js").write_text(program)
    told = {"name": "mine", "runtime": "node", "executable": "program.js"}
    adapter = LibraryAdapter(Description("mine.toml", told, tmp_path))
    shared = str(BUNDLED / "node/_contract.js")
    adapter.argv = (*adapter.argv, "pull", shared)
    request = {"ref": "h:1/a:b", "root": str(tmp_path)}
    return adapter.pull(request, lambda _stop: None)


@pytest.mark.skipif(shutil.which("node") is None, reason="node: not installed")
def test_promise_that_never_settles_is_a_failure(tmp_path):
    """Node would end with status 0 when nothing is left to wait for."""
    answer = answer_of_node(NEVER, tmp_path)
    assert not answer["ok"]
    assert "never settled" in answer["error"]["message"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node: not installed")
@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("null.digest", "TypeError"),
        ("new URL('no URL')", "Error"),
        ("await fetch('http://127.0.0.1:1/')", "Error"),
        ("shared.check(new Proxy({}, { get: () => null.x }))", "TypeError"),
        ("shared.split(null)", "Error"),
    ],
)
def test_type_error_that_is_none(statement, kind, tmp_path):
    """Node reports with a TypeError what it cannot reach or read."""
    program = f"""\
const shared = require(process.argv[3]);
shared.run('mine', 'mine', [], async () => {{ {statement}; }});
"""
    answer = answer_of_node(program, tmp_path)
    assert answer["error"]["class"] == kind
    assert answer["error"]["message"].startswith("TypeError: ")
