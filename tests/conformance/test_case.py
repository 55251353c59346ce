"""conformance/case.py: what makes a function a case, and what does not."""

import importlib
import sys

import pytest

from conformance.case import (
    CaseError,
    Feature,
    Level,
    NotTestable,
    case,
    case_of,
    check_twins,
    load_suite,
    not_testable,
)

pytestmark = pytest.mark.usefixtures("no_cases")


def made_of(function):
    made = case_of(function)
    assert made is not None
    return made


def declared(name="test_a_thing_holds", *, doc="It holds.", **options):
    def function(bench):
        raise NotImplementedError

    function.__name__ = name
    function.__doc__ = doc
    function.__module__ = "somewhere.test_legacy_config"
    return case(clause="a spec", level=Level.MUST, **options)(function)


def test_id_is_area_and_name_with_dashes():
    made = made_of(declared())
    assert made.id == "legacy-config.a-thing-holds"
    assert made.area == "legacy-config"


def test_title_is_the_first_paragraph_in_one_line():
    made = made_of(declared(doc="It holds,\n    and well.\n\n    Because."))
    assert made.title == "It holds, and well."
    assert made.docstring == "It holds,\nand well.\n\nBecause."


def test_title_can_be_given():
    assert made_of(declared(title="Short")).title == "Short"


def test_options_are_kept():
    made = made_of(
        declared(
            needs={Feature.TLS},
            twin="x.y",
            critical=True,
            link="https://example.com",
            catalogue=("one",),
        )
    )
    assert made.needs == {Feature.TLS}
    assert (made.twin, made.critical) == ("x.y", True)
    assert (made.link, made.catalogue) == ("https://example.com", ("one",))


def test_docstring_is_needed():
    with pytest.raises(CaseError, match="needs a docstring"):
        declared(doc=" ")


def test_bench_is_needed():
    def test_nothing():
        """It has nothing in its hands."""

    with pytest.raises(CaseError, match="takes the fixture bench"):
        case(clause="a spec", level=Level.MUST)(test_nothing)  # type: ignore[arg-type]


def test_catalogue_must_not_be_a_text():
    with pytest.raises(CaseError, match="tuple of ids"):
        declared(catalogue="one")


def test_id_is_taken_once():
    declared()

    def other(bench):
        """It is another function."""

    other.__name__ = "test_a_thing_holds"
    other.__module__ = "elsewhere.legacy_config"
    with pytest.raises(CaseError, match=r"legacy-config\.a-thing-holds is taken by"):
        case(clause="a spec", level=Level.MUST)(other)


def test_module_loaded_twice_is_no_duplicate():
    first, second = declared(), declared()
    assert made_of(first).id == made_of(second).id


def test_twin_of_itself_is_an_error():
    with pytest.raises(CaseError, match="its own twin"):
        declared(twin="legacy-config.a-thing-holds")


def test_function_that_is_no_case():
    assert case_of(test_function_that_is_no_case) is None
    assert case_of([]) is None


def test_not_testable_says_why():
    with pytest.raises(NotTestable, match="no reason"):
        not_testable("no reason")


def suite_of(**twins):
    made = {}
    for number, (name, twin) in enumerate(twins.items()):
        function = declared(
            f"test_{number}_{name}",
            twin=twin and f"legacy-config.{list(twins).index(twin)}-{twin}",
        )
        made[made_of(function).id] = made_of(function)
    return made


def test_chain_of_twins_is_fine():
    check_twins(suite_of(a=None, b="a", c="b"))


def test_circle_of_twins_is_an_error():
    with pytest.raises(CaseError, match=r"circle: legacy-config\.0-a -> "):
        check_twins(suite_of(a="b", b="c", c="b"))


def test_unknown_twin_is_an_error():
    suite = suite_of(a=None, b="a")
    del suite["legacy-config.0-a"]
    with pytest.raises(CaseError, match=r"its twin legacy-config\.0-a is not a case"):
        check_twins(suite)


def test_suite_is_every_module_of_cases(tmp_path, monkeypatch):
    folder = tmp_path / "sample_suite"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for area in ("later", "earlier"):
        (folder / f"{area}.py").write_text(
            "from conformance.case import case, Level\n"
            "@case(clause='c', level=Level.MAY)\n"
            "def test_it(bench):\n    'It may.'\n"
        )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("conformance.case.CASES_PACKAGE", "sample_suite")
    importlib.invalidate_caches()
    try:
        assert list(load_suite()) == ["earlier.it", "later.it"]
    finally:
        for name in [n for n in sys.modules if n.startswith("sample_suite")]:
            del sys.modules[name]
