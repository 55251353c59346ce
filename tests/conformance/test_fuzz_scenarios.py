"""conformance/fuzz/scenarios.py and strategies.py: what is drawn can be served."""

import tomllib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import Feature
from conformance.fuzz.scenarios import key_of, short_hash, summary, to_toml
from conformance.fuzz.strategies import plain, scenarios
from fakeregistry.scenario import read_scenario

EVERYTHING = frozenset(Feature)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("scenarios") / "scenario.toml"


@given(document=scenarios(EVERYTHING))
@settings(max_examples=50, deadline=timedelta(seconds=5))
def test_what_is_drawn_is_a_scenario_of_the_registry(file, document):
    file.write_text(to_toml(document, ["by nobody"]), encoding="utf-8")
    read = read_scenario(file)
    assert tomllib.loads(file.read_text(encoding="utf-8")) == document
    assert len(read.images) == 1
    assert len(read.faults) == len(document.get("fault", ()))
    assert not read.gates


@given(document=scenarios(frozenset({Feature.TLS})))
@settings(max_examples=50)
def test_nothing_is_drawn_that_a_client_cannot_do(document):
    assert document["registry"]["tls"] is True
    assert "auth" not in document
    (image,) = document["image"]
    assert image["ref"] == "library/fuzz:1"
    assert image.get("format") != "schema1"


def test_the_plain_scenario_suits_the_client():
    assert plain({Feature.PLAIN_HTTP}) == {
        "image": [{"ref": "library/fuzz:1", "layers": 2}]
    }
    assert plain({Feature.TLS})["registry"] == {"tls": True}


values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-9, 9),
        st.floats(0, 1),
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"),
            max_size=5,
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b-c", "d e", "é"]), inner, max_size=3),
    ),
    max_leaves=5,
)


@given(table=st.dictionaries(st.sampled_from(["x", "y z", "w-1"]), values))
def test_toml_says_what_the_document_says(table):
    document = {"registry": table, "fault": [table, table]}
    assert tomllib.loads(to_toml(document)) == document


def test_what_toml_has_no_word_for_is_refused():
    with pytest.raises(TypeError, match="None"):
        to_toml({"registry": {"profile": None}})


def test_documents_are_told_apart():
    one, other = plain({Feature.TLS}), plain({Feature.PLAIN_HTTP})
    assert key_of(one) != key_of(other)
    assert short_hash(one) != short_hash(other)
    assert len(short_hash(one)) == 8


def test_a_scenario_in_a_few_words():
    document = {
        "registry": {"profile": "no-head"},
        "auth": {"kind": "basic", "username": "user", "password": "open-sesame"},
        "image": [{"ref": "library/fuzz:1", "layers": 0}],
        "fault": [{"path": "/blobs/*", "flip": 0}],
    }
    assert summary(document) == (
        'an image (layers=0); a registry with profile="no-head"; basic authentication; '
        'fault 1: path="/blobs/*", flip=0'
    )
    assert summary({"image": [{"ref": "a:1"}]}) == (
        "an image (as it is by default); no fault"
    )
