"""The report for CI systems: JUnit's XML, one suite a client.

pytest's own --junitxml shows outcomes as they come, before cases and their twins
have been judged together; this one shows verdicts. What is red has a failure or
an error, what was not judged or is a known failure is skipped with its reason.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from conformance.report.json import write_whole
from conformance.report.run import ClientRun, Run
from conformance.verdict import RED, Judged, Verdict

_MAY_BE_RED: Final = RED | {Verdict.WARN}
_SKIPPED: Final = frozenset({Verdict.NOT_TESTABLE, Verdict.KNOWN})
# Characters that XML 1.0 cannot hold (section 2.2), as a client may print them.
_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(run: Run, path: Path) -> None:
    """Write the report of a run."""
    root = ET.Element("testsuites", name="pull-conformance")
    named = Counter(client.name for client in run.clients)
    for client in run.clients:
        # Reports of two versions of a client may have been put together.
        several = named[client.name] > 1
        name = f"{client.name} {client.version}" if several else client.name
        root.append(_suite(run, client, name))
    if run.broken:
        root.append(_broken(run))
    ET.indent(root)
    write_whole(path, ET.tostring(root, encoding="unicode", xml_declaration=True))


def _suite(run: Run, client: ClientRun, name: str) -> ET.Element:
    cases = [_case(run, name, judged) for judged in client.cases]
    suite = ET.Element(
        "testsuite",
        name=name,
        timestamp=run.started.isoformat(timespec="seconds"),
        time=f"{sum(one.result.seconds for one in client.cases):.3f}",
        tests=str(len(cases)),
        failures=str(sum(one.find("failure") is not None for one in cases)),
        errors=str(sum(one.find("error") is not None for one in cases)),
        skipped=str(sum(one.find("skipped") is not None for one in cases)),
    )
    suite.extend(cases)
    return suite


def _broken(run: Run) -> ET.Element:
    """Return a suite of what went wrong outside any case."""
    number = str(len(run.broken))
    suite = ET.Element("testsuite", name="run", tests=number, errors=number)
    for place, line in enumerate(run.broken, 1):
        case = ET.SubElement(suite, "testcase", classname="run", name=f"broken {place}")
        ET.SubElement(case, "error", message=_ILLEGAL.sub("?", line))
    return suite


def _case(run: Run, suite: str, judged: Judged) -> ET.Element:
    result = judged.result
    made = ET.Element(
        "testcase",
        classname=f"{suite}.{result.area}",
        name=result.id,
        time=f"{result.seconds:.4f}",
    )
    reason = _ILLEGAL.sub("?", judged.reason)
    message = f"{judged.verdict} ({result.level}): {reason.partition(chr(10))[0]}"
    if result.uncounted and judged.verdict in _MAY_BE_RED:
        message = f"does not count ({result.uncounted}): {message}"
        ET.SubElement(made, "skipped", message=message)
    elif judged.verdict is Verdict.ERROR:
        ET.SubElement(made, "error", message=message).text = _ILLEGAL.sub(
            "?", result.raw.details or reason
        )
    elif judged.is_red(strict=run.strict):
        ET.SubElement(
            made, "failure", message=message
        ).text = f"{reason}\n\n{result.title}\n{result.clause}"
    elif judged.verdict in _SKIPPED:
        ET.SubElement(made, "skipped", message=message)
    elif reason:
        ET.SubElement(made, "system-out").text = message
    return made
