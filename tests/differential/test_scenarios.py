"""Every scenario can be played: by a client that does nothing, and by refimpl."""

import re
from pathlib import Path

import pytest

from refimpl.platforms import default_string
from tests.differential.cli import load_scenarios
from tests.differential.clients.reference import ReferenceClient
from tests.differential.stage import (
    CRI,
    FETCH,
    PULL,
    SCENARIOS,
    WAYS,
    Outcome,
    Registries,
    play,
)

ALL = load_scenarios()


class Idle:
    """A client that pulls nothing, and says that it did."""

    def __init__(self):
        self.pulls = []

    def pull(self, pull):
        self.pulls.append(pull)
        return Outcome()

    def inspect(self):
        kinds = ("images", "content", "ingests", "leases", "snapshots")
        return {kind: [] for kind in kinds}

    def collect(self):
        pass

    def close(self):
        pass


@pytest.fixture(scope="module")
def registries():
    """Registries that all scenarios share, as in a run."""
    registries = Registries()
    yield registries
    registries.close()


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_a_scenario_publishes_and_pulls(item, registries, tmp_path):
    client = Idle()
    played = play(item, item.ways[0], client, registries, tmp_path)
    assert len(played) == len(client.pulls) > 0
    registry = registries.get("registry", item.registry)
    for pull in client.pulls:
        assert pull.ref.startswith(f"{registry.host}/differential/{item.name}")
    assert not registry.faults, "a fault stays behind"


@pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)
def test_a_scenario_says_what_it_is_about(item):
    assert item.what.endswith((".", "?"))
    assert item.ways
    assert set(item.ways) <= set(WAYS)


def test_there_are_enough_of_them():
    assert len(ALL) >= 40
    assert {way for item in ALL for way in item.ways} == {FETCH, PULL, CRI}


@pytest.mark.parametrize("way", WAYS)
def test_refimpl_pulls_by_every_way(way, registries, tmp_path):
    client = ReferenceClient(tmp_path / "store", way, default_string())
    played = play(SCENARIOS["oci-manifest"], way, client, registries, tmp_path)
    facts = played[0].facts
    name = "images/registry/differential/oci-manifest:latest/target"
    assert facts["outcome"] == "pulled"
    assert facts[name].startswith("application/vnd.oci.image.manifest.v1+json <root>")
    assert facts["kept/<layer 1>"] == "yes"
    assert facts["leases"] == "0 left"
    unpacked = facts.get("snapshots/<chain 1>")
    assert unpacked == (None if way == FETCH else "Committed, parent <diff 0>")
    records = [path for path in facts if re.fullmatch("images/.*/target", path)]
    assert len(records) == (3 if way == CRI else 1)


@pytest.mark.parametrize("way", WAYS)
def test_refimpl_says_what_failed(way, registries, tmp_path):
    client = ReferenceClient(tmp_path / "store", way, default_string())
    played = play(SCENARIOS["layer-is-missing"], way, client, registries, tmp_path)
    assert played[0].facts["outcome"] == "failed, ErrNotFound"
    assert "<layer 0>" in str(played[0].said)
    assert not [path for path in played[0].facts if path.startswith("images/")]


def test_a_wrong_reference_has_no_class(registries, tmp_path):
    client = ReferenceClient(tmp_path / "store", FETCH, default_string())
    item = SCENARIOS["digest-that-is-none"]
    played = play(item, FETCH, client, registries, Path(tmp_path))
    assert played[0].facts["outcome"] == "failed, no class"
