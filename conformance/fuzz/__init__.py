"""Scenarios that nobody thought of: drawn, judged and made small.

    strategies.py   what a registry may hold and do, as hypothesis draws it
    scenarios.py    a scenario as a file of `fakeregistry serve --scenario`
    findings.py     what may never happen
    judge.py        one scenario and one client
    needs.py        what an image is made of
    wire.py         which bytes the registry really sent
    search.py       many scenarios; the first finding, shrunk
    report.py       what the user is told of it
    run.py          what the command does

The cases of conformance/cases say what a client must do where somebody knows what
may go wrong. Here only invariants are held, which hold whatever the registry does.
"""
