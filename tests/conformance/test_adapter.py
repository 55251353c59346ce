"""Where clients come from."""

from importlib.metadata import EntryPoint

import pytest

from conformance import adapter as adapter_module
from conformance.adapter import AdapterError, bundled, load_clients


class Fine:
    """The smallest adapter that there is."""

    description = "does nothing"

    def capabilities(self):
        return {"name": "fine", "version": "1", "features": []}

    def pull(self, request, on_cancel):
        return {"ok": True}

    def inspect(self, request):
        return {}


class Lacking:
    """Has no methods."""


class Raising:
    """Cannot be made."""

    def __init__(self):
        raise RuntimeError("out of\norder")


@pytest.fixture
def points(monkeypatch):
    """Have entry points, by name."""

    def points(**values):
        group = adapter_module.GROUP
        made = [EntryPoint(name, value, group) for name, value in values.items()]
        monkeypatch.setattr(adapter_module, "entry_points", lambda group: made)

    return points


def here(name):
    return f"{__name__}:{name}"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let an entry point find this file, which pytest imported by its path."""
    import sys  # noqa: PLC0415 - for this fixture only

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _module())


def _module():
    import types  # noqa: PLC0415 - for this function only

    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def test_bundled_clients_have_names():
    assert {"containerd", "skopeo"} <= {info.name for info in bundled()}


def test_bundled_client_that_is_not_there_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    missing = {info.name: info.missing for info in bundled()}
    assert missing["skopeo"] == (
        "skopeo: not found; install it with: apt-get install skopeo"
    )
    assert "containerd: not found" in str(missing["containerd"])


def test_bundled_client_that_is_not_there_has_its_features(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "content" in load_clients(["skopeo"])[0].features


def test_entry_points(points):
    points(fine=here("Fine"))
    client = load_clients(["fine"])[0]
    assert (client.name, client.version) == ("fine", "1")
    info = next(info for info in bundled() if info.name == "fine")
    assert (info.version, info.missing) == ("1", None)
    assert info.description == "does nothing"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no.such.module:X", "ModuleNotFoundError: No module named 'no'"),
        (here("Absent"), "AttributeError"),
        (here("Lacking"), "has no capabilities, pull and inspect"),
        (here("Raising"), "RuntimeError: out of order"),
    ],
)
def test_broken_entry_points_are_one_line(value, text, points):
    points(broken=value)
    with pytest.raises(AdapterError) as caught:
        load_clients(["broken"])
    assert str(caught.value).startswith("entry point broken = ")
    assert text in str(caught.value)
    info = next(info for info in bundled() if info.name == "broken")
    assert text in str(info.missing)


def test_unknown_client():
    with pytest.raises(AdapterError, match=r"unknown client 'skoppo'; known are .*sk"):
        load_clients(["skoppo"])


def write(tmp_path, name):
    file = tmp_path / f"{name}.toml"
    file.write_text(f'name = "{name}"\npull = ["echo", "{{ref}}"]\n')
    return file


def test_files_come_with_their_expected_failures(tmp_path):
    file = write(tmp_path, "mine")
    (tmp_path / "mine.xfails").write_text("a.b | why | https://example.org")
    client = load_clients(adapter_files=[file])[0]
    assert client.name == "mine"
    assert client.xfails["a.b"].reason == "why"


def test_order_is_kept_and_doubles_are_one(tmp_path):
    clients = load_clients(
        ["skopeo", "containerd", "skopeo"], [write(tmp_path, "mine")], ["echo {ref}"]
    )
    assert [c.name for c in clients] == ["skopeo", "containerd", "mine", "echo"]


def test_two_clients_of_one_name(tmp_path):
    with pytest.raises(AdapterError, match="two clients have the name 'skopeo'"):
        load_clients(["skopeo"], [write(tmp_path, "skopeo")])


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("", "--command: is empty"),
        ("a 'b", "No closing quotation"),
        ("/nowhere/client", "No such file or directory"),
        ("false", "capabilities ended with exit status 1"),
        ("true", "must print one JSON object, not nothing"),
        ("x {ref} {ca}", "{ca} may be without a value"),
    ],
)
def test_wrong_commands_are_one_line(command, text):
    with pytest.raises(AdapterError) as caught:
        load_clients(commands=[command])
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
