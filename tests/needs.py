"""Requirements of tests beyond the packages of `dev`: programs, libraries, Python packages, abilities of the machine.

    pytestmark = needs_program("nginx")             the whole module, or a test
    require("Python 3.9", path.is_file(), "...")    inside a fixture or a test, for what no list names

Where it is missing, the tests are skipped and the summary of pytest says so, by what is missing. With CI in the
environment they fail instead: a check that CI does not run is one that nobody runs.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from system_packages import LIST, SystemPackage, read_packages

PREFIX = "missing: "
PATTERN = re.compile(rf"{PREFIX}(?P<what>.*?) \((?P<cure>.*)\)$")


def needs_program(name: str) -> pytest.MarkDecorator:
    """Mark tests that run a program of tests/system-packages.txt."""
    return pytest.mark.needs("program", name)


def needs_library(soname: str) -> pytest.MarkDecorator:
    """Mark tests that load a library of tests/system-packages.txt."""
    return pytest.mark.needs("library", soname)


def needs_module(name: str, extra: str) -> pytest.MarkDecorator:
    """Mark tests that import a Python package, which an extra of this project brings."""
    return pytest.mark.needs("module", name, extra)


def require(what: str, present: bool, cure: str) -> None:
    """Skip the running test where something is not present, or fail it on CI. `cure` says how to get it."""
    if present:
        return
    reason = f"{PREFIX}{what} ({cure})"
    if is_ci():
        pytest.fail(f"{reason}; CI may not leave a test out", pytrace=False)
    pytest.skip(reason)


def leave_out(what: str, cure: str) -> None:
    """Skip the running test, on CI too, for want of what no package of the system brings. The summary says so."""
    pytest.skip(f"{PREFIX}{what} ({cure})")


def require_program(name: str) -> None:
    """Skip the running test where a program of tests/system-packages.txt is missing, or fail it on CI."""
    require_system("program", name)


def require_module(name: str, extra: str) -> None:
    """Skip the running test where a Python package is not installed, which an extra of this project brings."""
    require(f"Python package {name}", has_module(name), f"pip install '.[{extra}]'")


def require_system(kind: str, name: str) -> None:
    """Skip the running test where a program, library or file of the list is missing, or fail it on CI."""
    package = find_package(kind, name)
    require(f"{kind} {name}", package.is_present(), f"system package {package.name}")


def find_package(kind: str, name: str) -> SystemPackage:
    """Return the row that a program, library or file is detected by. Raises LookupError where none names it."""
    for package in read_packages():
        if package.kind == kind and name in package.detected_by:
            return package
    raise LookupError(f"{LIST.name} has no {kind} {name}: add a row")


def is_ci() -> bool:
    """Whether this runs on CI."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def has_module(name: str) -> bool:
    """Whether a Python package is installed here."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


# hooks, which conftest.py imports


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of `needs_program` and its siblings."""
    config.addinivalue_line("markers", "needs(kind, name, extra): set by the functions of tests/needs.py")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test, before any fixture, for what its marks name and this machine lacks."""
    for mark in item.iter_markers("needs"):
        kind, name, *extra = mark.args
        if kind == "module":
            require_module(name, extra[0])
        else:
            require_system(kind, name)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was missing, and how many tests were not run for it."""
    counts: dict[tuple[str, str], int] = {}
    for match in find_missing(terminalreporter.stats.get("skipped", [])):
        what = match["what"], match["cure"]
        counts[what] = counts.get(what, 0) + 1
    if counts:
        terminalreporter.section("tests that were not run, for want of")
    for (what, cure), count in sorted(counts.items()):
        terminalreporter.write_line(f"{what}: {count} test{'s' if count > 1 else ''} ({cure})")


def find_missing(reports: list[Any]) -> Iterator[re.Match[str]]:
    """Yield, for each report of a test that `require` skipped, what was missing."""
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        if match := PATTERN.search(reason):
            yield match
