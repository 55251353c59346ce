"""The run: its verdicts, its exit status, and when nothing is played."""

import pytest

from tests.differential import cli
from tests.differential.explained import Explained
from tests.differential.stage import FETCH, Outcome, Scenario
from tests.differential.test_scenarios import Idle

KNOWN = {"where": ("fetch/made-up",), "what": "outcome", "reason": "D1: so"}


class Failing(Idle):
    """A client that always fails."""

    def pull(self, pull):
        super().pull(pull)
        return Outcome.failed("it broke: not found")


class FakeContainerd:
    """Hands out clients, and notes that it was closed."""

    closed = 0

    def __init__(self, make=Idle):
        self._make = make

    def client(self, way):
        return self._make()

    def close(self):
        FakeContainerd.closed += 1


def script(stage):
    """A pull."""
    stage.pull(stage.publish())


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs one scenario with two made-up clients."""

    def play(*argv, ours=Idle, theirs=Idle, explained=()):
        item = Scenario(
            name="made-up", ways=(FETCH,), script=script, registry={}, ordered=False
        )
        monkeypatch.setattr(cli, "load_scenarios", lambda: (item,))
        monkeypatch.setattr(cli, "_missing", lambda: None)
        monkeypatch.setattr(cli, "ReferenceClient", lambda *_: ours())
        monkeypatch.setattr(cli, "Containerd", lambda: FakeContainerd(theirs))
        entries = tuple(Explained(**entry) for entry in explained)
        monkeypatch.setattr(cli, "read_explained", lambda: entries)
        return cli.main(argv), capsys.readouterr().out.splitlines()

    return play


def test_equal_clients_pass(run):
    status, lines = run()
    assert status == 0
    assert lines[0] == "fetch/made-up: equal"
    assert lines[-1].startswith(
        "1 scenarios, 1 compared, 0 explained differences, 0 unexplained"
    )


def test_a_difference_fails_and_is_said(run):
    status, lines = run(ours=Failing)
    assert status == 1
    assert lines[0] == "fetch/made-up: 1 unexplained, 0 explained"
    assert lines[1].strip() == (
        "outcome: refimpl failed, ErrNotFound, containerd pulled"
    )


def test_a_difference_with_a_reason_passes(run):
    status, lines = run(ours=Failing, explained=[KNOWN])
    assert status == 0
    assert lines[0] == "fetch/made-up: equal but for 1 explained"


def test_a_reason_without_a_difference_fails(run):
    status, lines = run(explained=[KNOWN])
    assert status == 1
    assert lines[-2].startswith("explains nothing any more: fetch/made-up: outcome")


def test_a_reason_may_be_idle_where_not_all_is_played(run):
    assert run("-k", "made", explained=[KNOWN])[0] == 0


def test_two_clients_that_fail_for_another_reason_are_not_equal(run):
    status, lines = run(ours=Failing, theirs=Failing)
    assert status == 1
    assert "not as the scenario says" in lines[1]


def test_more_is_told_if_that_is_wanted(run):
    _, lines = run("-v", ours=Failing, explained=[KNOWN])
    assert any("explained: outcome" in line for line in lines)
    assert any("refimpl said: it broke: not found" in line for line in lines)


def test_the_daemon_is_ended_whatever_happens(run):
    class Broken(Idle):
        def pull(self, pull):
            raise RuntimeError("broken")

    before = FakeContainerd.closed
    with pytest.raises(RuntimeError, match="broken"):
        run(theirs=Broken)
    assert FakeContainerd.closed == before + 1


def test_scenarios_can_be_listed(run):
    assert run("--list") == (0, ["made-up (fetch): A pull."])


def test_a_name_that_is_none_is_never_green(run):
    assert run("-k", "nonesuch")[0] == 2


def test_nothing_is_played_without_root(monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["-k", "oci-manifest"]) == 0
    assert capsys.readouterr().out == "skipped: containerd needs root\n"


def test_nothing_is_played_without_containerd(monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert cli.main(["-k", "oci-manifest"]) == 0
    assert "containerd is not installed" in capsys.readouterr().out
