"""conformance/report/html.py: one page, whole, harmless, and usable in a browser."""

import base64
import gzip
import json
import re
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from conformance.case import Case, Level
from conformance.report import html
from conformance.report.html import LETTERS, to_html, write_html
from conformance.report.run import ClientRun, Run
from conformance.verdict import Outcome, Raw, Verdict, judge_all, result_of

EVIL = "</script><img src=x onerror=\"document.title='broken'\">@@data@@"
CASE = Case(
    id="verify.one",
    area="verify",
    title="It says ``no``.",
    function=print,
    docstring="It says ``no``.\n\nBecause it must.",
    clause="a spec, section 1",
    level=Level.MUST,
    link="javascript:alert(1)",
)


def exchange(method, target, status=200, **options):
    return {
        "server": "registry",
        "connection": 1,
        "at": 0.001,
        "seconds": 0.001,
        "method": method,
        "target": target,
        "status": status,
        "bytes": 1234,
        "outcome": "complete",
        "request": [["Accept", EVIL]],
        "response": [],
    } | options


def trace(*exchanges):
    pull = {"ref": "x", "ok": False, "exit": 1, "error_class": "", "error": EVIL}
    pull |= {"stdout": "", "stderr": "said so", "seconds": 0.5, "reason": None}
    fault = {"server": "registry", "what": "path='/x': status=500", "fired": 1}
    return {
        "pulls": [pull],
        "faults": [fault],
        "exchanges": list(exchanges),
        "omitted": 0,
    }


HEAD = exchange("HEAD", "/v2/a/manifests/v1")
BLOB = exchange("GET", "/v2/a/blobs/sha256:" + 64 * "a")
OTHER = exchange("GET", "/v2/a/blobs/sha256:" + 64 * "b", 404)


def results(client):
    bad = Raw(outcome=Outcome.VIOLATED, reason=f"it said yes {EVIL}")
    good = Raw(outcome=Outcome.SATISFIED)
    mine = client == "mine"
    account = {"account": {"sentence": f"asked for {EVIL}, then gave up"}}
    yield replace(
        result_of(CASE, bad if mine else good, client=client),
        # The other one is of a version of the suite that made no account.
        trace=trace(HEAD, OTHER) | account if mine else trace(HEAD, BLOB),
    )
    made = replace(CASE, id="auth.two", area="auth", level=Level.SHOULD)
    yield result_of(made, bad if mine else good, client=client)
    if mine:
        made = replace(CASE, id="auth.three", area="auth", title="Only mine.")
        yield replace(result_of(made, bad, client=client), uncounted="it is new")


def a_run(*, broken=()):
    return Run(
        started=datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC),
        seconds=1.25,
        strict=False,
        broken=broken,
        clients=tuple(
            ClientRun(
                name=name,
                version="1.0",
                features=(),
                cases=judge_all(results(name)),
            )
            for name in ("mine", "refimpl")
        ),
    )


def embedded(page, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)<', page)
    assert found
    return json.loads(found[1])


def unpacked(page):
    return [
        json.loads(gzip.decompress(base64.b64decode(one)))
        for one in embedded(page, "details")
    ]


def test_page_is_whole_and_asks_for_nothing():
    page = to_html(a_run(broken=("a worker was lost",)))
    assert "default-src 'none'" in page
    ours = page.replace(EVIL.replace("<", "\\u003c"), "")
    assert not re.search(r"<(?:link|img|iframe|base)\b|@import|url\(", ours.lower())
    assert re.findall(r"\b(?:src|href)=", page.partition('id="data"')[0]) == []
    assert page.count("</script>") == 3
    assert embedded(page, "data")["broken"] == ["a worker was lost"]


def test_matrix_has_a_letter_for_each_verdict():
    assert LETTERS.keys() == set(Verdict)
    assert len(set(LETTERS.values())) == len(LETTERS)
    script = (html.HERE / "page.js").read_text()
    for verdict, letter in LETTERS.items():
        assert f'{letter}: ["{verdict}", ' in script
    data = embedded(to_html(a_run()), "data")
    assert [(one["id"], one["v"]) for one in data["cases"]] == [
        ("auth.two", "wp"),
        ("auth.three", "f."),
        ("verify.one", "fp"),
    ]
    assert data["cases"][1]["u"] == [0]
    assert data["reasons"][data["cases"][2]["r"][0]] == f"it said yes {EVIL}"


def test_cell_has_what_its_page_shows():
    details = unpacked(to_html(a_run()))[2]
    assert details["description"] == CASE.docstring
    mine = details["cells"][0]
    assert mine["trace"]["pulls"][0]["error"] == EVIL
    assert mine["trace"]["account"]["sentence"].startswith("asked for </script>")
    assert details["reference"]["origin"] == "in this report"
    assert details["reference"]["exchanges"][1] == BLOB


def test_reference_may_be_a_recording(monkeypatch):
    recorded = {"verify.one": {"faults": [], "exchanges": [BLOB]}}
    monkeypatch.setattr(html, "load_recording", lambda: recorded)
    run = a_run()
    page = to_html(replace(run, clients=run.clients[:1]))
    two, _, one = unpacked(page)
    assert one["reference"] == {"origin": "as recorded", "exchanges": [BLOB]}
    assert two["reference"] is None


def test_same_run_is_the_same_page():
    assert to_html(a_run()) == to_html(a_run())


# in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromium-driver")
    folder = tmp_path_factory.mktemp("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for word in (
        *("headless", "no-sandbox", "disable-gpu", "no-first-run"),
        *("disable-background-networking", "disable-component-update"),
        *("disable-sync", f"user-data-dir={folder}", "window-size=1300,900"),
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(programs[1])
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, tmp_path):
    file = tmp_path / "report.html"
    write_html(a_run(), file)
    browser.get(file.as_uri())
    yield browser
    assert browser.get_log("browser") == []
    assert browser.title == "Pull conformance"


def shown(page):
    rows = page.find_elements("css selector", "tr[data-n] code")
    return [row.text for row in rows if row.is_displayed()]


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
    return value


def dialog(page):
    return page.find_element("id", "page")


@pytest.mark.clients
def test_filters_leave_what_fits(page):
    assert shown(page) == ["auth.two", "auth.three", "verify.one"]
    count = page.find_element("id", "count")
    page.find_element("css selector", "[data-v='f']").click()
    assert shown(page) == ["auth.three", "verify.one"]
    page.find_element("id", "text").send_keys("ONLY mine")
    assert shown(page) == ["auth.three"]
    assert count.text == "1 of 3 cases"
    page.find_element("css selector", "[type='reset']").click()
    wait_until(lambda: len(shown(page)) == 3)
    page.find_element("css selector", "#client [value='1']").click()
    page.find_element("css selector", "#level [value='MUST']").click()
    assert shown(page) == ["verify.one"]
    page.find_element("css selector", "#area [value='auth']").click()
    assert shown(page) == []
    assert page.find_element("id", "nothing").is_displayed()


@pytest.mark.clients
def test_cell_opens_what_was_seen(page):
    page.find_element("css selector", "tr[data-n='2'] td[data-c='0']").click()
    wait_until(lambda: dialog(page).is_displayed())
    text = dialog(page).text
    for part in (
        "✗ fail mine 1.0",
        f"it said yes {EVIL}",
        "Because it must.",
        "a spec, section 1",
        "path='/x': status=500, met 1 times",
        "said so",
        f"asked for {EVIL}, then gave up",
        "refimpl, in this report",
        "pull-conformance replay verify.one --client mine --run",
    ):
        assert part in text
    assert dialog(page).find_elements("tag name", "a") == []
    above = dialog(page).find_element("css selector", "p.account ~ #wire")
    assert above.is_displayed()
    first = dialog(page).find_element("css selector", "#wire tr.first").text
    assert "bbbb… 404" in first
    assert "aaaa… 200" in first
    rows = dialog(page).find_elements("css selector", "#wire tbody tr")
    assert [row.get_attribute("class") for row in rows] == ["", "note", "differs first"]
    assert page.execute_script("return location.hash") == "#verify.one/mine/1.0"


@pytest.mark.clients
def test_cell_without_an_account_opens_as_well(page):
    page.find_element("css selector", "tr[data-n='2'] td[data-c='1']").click()
    wait_until(lambda: dialog(page).is_displayed())
    assert "said so" in dialog(page).text
    assert dialog(page).find_elements("css selector", "p.account") == []


@pytest.mark.clients
def test_keyboard_is_enough(page):
    keys = pytest.importorskip("selenium.webdriver").Keys

    def press(*some):
        page.switch_to.active_element.send_keys(*some)

    def label():
        return page.switch_to.active_element.get_attribute("aria-label") or ""

    page.find_element("tag name", "body").send_keys("/")
    press("it")
    assert page.find_element("id", "text").get_attribute("value") == "it"
    for _ in range(20):
        press(keys.TAB)
        if label().startswith("mine"):
            break
    assert label() == f"mine: warn; it said yes {EVIL}"
    press(keys.ARROW_RIGHT)
    assert label() == "refimpl: pass"
    press(keys.ARROW_DOWN)
    # The reference did not run that one: its neighbour is nearest.
    assert label().startswith("mine: fail (does not count)")
    press(keys.ENTER)
    wait_until(lambda: dialog(page).is_displayed())
    press(keys.ESCAPE)
    wait_until(lambda: not dialog(page).is_displayed())
    assert label().startswith("mine: fail")
    assert page.execute_script("return location.hash") == ""


@pytest.mark.clients
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_has_colours_for_day_and_night(page, tmp_path, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    file = tmp_path / f"{scheme}.png"
    assert page.save_screenshot(str(file))
    assert file.read_bytes().startswith(b"\x89PNG")
    back = "return getComputedStyle(document.body).backgroundColor"
    wanted = {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 20, 25)"}
    assert page.execute_script(back) == wanted[scheme]


@pytest.mark.clients
def test_address_of_a_cell_can_be_passed_on(page):
    address = page.current_url
    page.get(f"{address}#auth.three/mine/1.0")
    page.refresh()
    wait_until(lambda: dialog(page).is_displayed())
    assert "It is never red: it is new." in dialog(page).text
    assert "nothing was recorded" in dialog(page).text
    page.get(f"{address}#no.such/mine/1.0")
    wait_until(lambda: not dialog(page).is_displayed())
