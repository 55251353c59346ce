"""Clients described by TOML: what a file may say, and what then runs."""

import json
import threading
from pathlib import Path

import pytest

from conformance.adapter import BUNDLED
from conformance.command import CommandAdapter, is_template
from conformance.contract import AdapterError
from conformance.description import Description
from conformance.library import LibraryAdapter

BASE = {"name": "x", "pull": ["echo", "{ref}"]}


def toml(value):
    """Write a value as TOML, inline."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{k} = {toml(v)}' for k, v in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


@pytest.fixture
def read(tmp_path):
    """Write an adapter file and read it."""

    def read(**keys):
        lines = [f"{k} = {toml(v)}" for k, v in (BASE | keys).items()]
        file = tmp_path / "adapter.toml"
        file.write_text("\n".join(lines))
        return CommandAdapter.read(file)

    return read


@pytest.fixture
def request_of(tmp_path):
    """Make a pull's request."""

    def request_of(**more):
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        return {"ref": "127.0.0.1:1/a/b:v1", "root": str(root)} | more

    return request_of


def shell(script):
    return ["sh", "-c", script, "sh", "{ref}"]


def pull(adapter, request):
    return adapter.pull(request, lambda stop: None)


def test_smallest_file(read):
    adapter = read()
    assert adapter.info.name == "x"
    assert adapter.info.features == frozenset()
    assert adapter.capabilities() == {"name": "x", "version": "unknown", "features": []}
    assert adapter.installed() is None
    assert adapter.inspect({"root": "/"}) == {}


def test_result_of_a_pull(read, request_of):
    answer = pull(read(), request_of())
    assert answer["ok"] is True
    assert answer["exit"] == 0
    assert answer["stdout"] == "127.0.0.1:1/a/b:v1\n"


def test_failed_pull_is_told_in_its_own_words(read, request_of):
    answer = pull(
        read(pull=shell("echo a >&2; echo 'no such tag' >&2; exit 4")), request_of()
    )
    assert (answer["ok"], answer["exit"]) == (False, 4)
    assert answer["error"]["message"] == "no such tag"
    assert "died" not in answer


def test_silent_failure(read, request_of):
    answer = pull(read(pull=["false", "{ref}"]), request_of())
    assert answer["error"]["message"] == "exit status 1"


def test_line_of_a_log_becomes_its_message(read, request_of):
    line = r'time="2026-01-01" level=fatal msg="reading \"a\": gone" n=1'
    answer = pull(read(pull=shell(f"echo '{line}' >&2; exit 1")), request_of())
    assert answer["error"]["message"] == 'reading "a": gone'


def test_client_that_crashes_has_died(read, request_of):
    answer = pull(read(pull=shell("kill -SEGV $$")), request_of())
    assert "killed by SIGSEGV" in answer["died"]


def test_client_that_cannot_be_run_has_died(read, request_of):
    adapter = read(pull=["no-such-client", "{ref}"], install="apt-get install it")
    answer = pull(adapter, request_of())
    assert answer["died"] == "no-such-client: No such file or directory"
    assert adapter.installed() == (
        "no-such-client: not found; install it with: apt-get install it"
    )


def test_pull_can_be_cancelled(read, request_of):
    adapter = read(pull=shell("exec sleep 60"))
    answer = adapter.pull(
        request_of(), lambda stop: threading.Timer(0.01, stop).start()
    )
    assert answer["ok"] is False
    assert "SIGTERM" in answer["died"]


def test_environment(read, request_of, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/preset")
    env = {"SSL_CERT_FILE": "{ca}", "WHERE": "{root}/x", "U": "{username}"}
    adapter = read(pull=shell("env"), env=env)
    request = request_of(ca="/ca.pem")
    told = dict(
        line.split("=", 1) for line in pull(adapter, request)["stdout"].splitlines()
    )
    root = request["root"]
    assert told["SSL_CERT_FILE"] == "/ca.pem"
    assert told["WHERE"] == f"{root}/x"
    assert told["HOME"] == f"{root}/home"
    assert "U" not in told
    told = pull(adapter, request_of())["stdout"]
    assert "SSL_CERT_FILE" not in [line.split("=")[0] for line in told.splitlines()]


def test_folders_exist_before_the_command(read, request_of):
    adapter = read(
        pull=["ls", "{root}/out/{repository}"], folders=["{root}/out/{repository}"]
    )
    assert pull(adapter, request_of())["ok"] is True


def test_folder_of_certificates(read, request_of, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("PEM")
    command = ["cat", "{root}/certs/ca.crt", ["--", "{ca_dir}/ca.crt"]]
    answer = pull(read(pull=command), request_of(ca=str(ca)))
    assert answer["stdout"] == "PEMPEM"


def test_program_beside_the_file(read, tmp_path, request_of):
    program = tmp_path / "client.sh"
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    adapter = read(
        pull=["./client.sh", "{ref}"],
        version={"command": ["./client.sh"], "pattern": "ran"},
    )
    assert adapter.installed() is None
    assert adapter.capabilities()["version"] == "ran"
    assert pull(adapter, request_of())["stdout"] == "ran\n"


@pytest.mark.parametrize(
    ("said", "pattern", "version"),
    [
        ("client version 1.2.3-rc1", None, "1.2.3-rc1"),
        ("v7", r"v\d", "v7"),
        ("a b", r"a (\w)", "b"),
    ],
)
def test_version(said, pattern, version, read):
    table = {"command": ["echo", said]} | ({"pattern": pattern} if pattern else {})
    assert read(version=table).capabilities()["version"] == version


@pytest.mark.parametrize(
    ("command", "text"),
    [(["echo", "hello"], "said 'hello'"), (["no-such-client"], "No such file")],
)
def test_version_that_cannot_be_told(command, text, read):
    with pytest.raises(AdapterError, match=f"x: no version: .*{text}"):
        read(version={"command": command}).capabilities()


def test_result_is_read(read, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/layer").write_text("x")
    adapter = read(result={"kind": "files", "path": "{root}"}, features=["content"])
    assert len(adapter.inspect({"root": str(tmp_path / "root")})["content"]) == 1


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"pul": 1}, "unknown key pul; known are description, env"),
        ({"name": ""}, "name: '' is no name"),
        ({"name": 3}, "name: 3 is no name"),
        ({"homepage": 3}, "homepage must be a text, not 3"),
        ({"pull": "echo"}, "pull must be a list that starts with a program"),
        ({"pull": ["x", "{rot}"]}, "pull: unknown placeholder {rot}"),
        ({"pull": ["x", "{tag}"]}, "pull: {tag} may be without a value"),
        ({"features": "tls"}, "features must be a list of names"),
        ({"features": ["tsl"]}, "unknown feature 'tsl'; known are"),
        ({"features": [["tls"]]}, "unknown feature \"['tls']\""),
        ({"features": ["tls"]}, "tls is claimed, but neither pull nor env uses ca"),
        ({"features": ["leases"]}, "leases is claimed, but result.kind none"),
        ({"features": ["content"]}, "content is claimed, but result.kind none"),
        ({"version": "1"}, "version must be a table, not '1'"),
        ({"version": {"pattern": "x"}}, "version must have a command"),
        ({"version": {"command": "x"}}, "version.command must be a list of texts"),
        ({"version": {"comand": ["x"]}}, "unknown key version.comand"),
        ({"version": {"command": ["x"], "pattern": "("}}, "version.pattern: "),
        ({"version": {"command": ["x"], "pattern": 1}}, "version.pattern: "),
        ({"env": ["A=b"]}, "env must be a table"),
        ({"env": {"A": 1}}, "env.A must be a text, not 1"),
        ({"env": {"A": "{b}"}}, "env.A: unknown placeholder {b}"),
        ({"folders": "{root}"}, "folders must be a list"),
        ({"folders": ["/etc"]}, "'/etc' must start with {root}"),
        ({"folders": ["{root}/{tag}"]}, "have placeholders only that always"),
        ({"result": "dir"}, "result must be a table"),
        ({"result": {"kind": "dri"}}, "result.kind: 'dri' is unknown; known are"),
        ({"result": {"kind": 1}}, "result.kind: 1 is unknown"),
        ({"result": {"kind": "dir"}}, "result must have a path"),
        ({"result": {"kind": "dir", "path": "{ref}"}}, "path may hold {root} only"),
        (
            {
                "result": {"kind": "containers-storage", "path": "{root}"},
                "features": ["content"],
            },
            "content is claimed, but result.kind containers-storage cannot show it",
        ),
    ],
)
def test_wrong_files_are_one_clear_line(keys, text, read, tmp_path):
    with pytest.raises(AdapterError) as caught:
        read(**keys)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/adapter.toml")
    assert text in said
    assert "\n" not in said


def test_name_and_pull_must_be_there(tmp_path):
    file = tmp_path / "adapter.toml"
    file.write_text('pull = ["x", "{ref}"]')
    with pytest.raises(AdapterError, match="None is no name"):
        CommandAdapter.read(file)
    file.write_text('name = "x"')
    with pytest.raises(AdapterError, match="pull must be a list"):
        CommandAdapter.read(file)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"name = ", "is not TOML: "), (b"\xff", "cannot be read: ")],
)
def test_broken_file(data, text, tmp_path):
    file = tmp_path / "adapter.toml"
    file.write_bytes(data)
    with pytest.raises(AdapterError) as caught:
        CommandAdapter.read(file)
    assert str(caught.value).startswith(f"{file}: {text}")


def test_absent_file(tmp_path):
    with pytest.raises(AdapterError, match=r"none\.toml: cannot be read: No such"):
        CommandAdapter.read(tmp_path / "none.toml")


@pytest.mark.parametrize("file", sorted(BUNDLED.glob("*.toml")), ids=lambda f: f.stem)
def test_bundled_files_are_right(file):
    told = Description.read(file)
    make = LibraryAdapter if "executable" in told.table else CommandAdapter.described
    adapter = make(told)
    assert adapter.info.name == file.stem
    assert adapter.info.install
    assert adapter.info.homepage.startswith("https://")


def test_command_line_with_holes():
    assert is_template(["x", "{ref}"])
    assert not is_template(["x", "ref", "{}"])
    adapter = CommandAdapter.from_words(["/bin/echo", "{ref}"])
    assert adapter.info.name == "echo"
    assert "content" not in adapter.info.features
    with pytest.raises(AdapterError, match=r"--command: \{platform\} may be"):
        CommandAdapter.from_words(["x", "{ref}", "{platform}"])


def test_it_runs_in_its_root(read, request_of):
    request = request_of()
    answer = pull(read(pull=["pwd"]), request)
    assert answer["stdout"].strip() == str(Path(request["root"]).resolve())
