"""The list of system packages, and what pytest says of a test whose program is missing."""

import os
import re
import subprocess
import sys

import pytest
from commandline import ROOT
from needs import find_package
from system_packages import LIST, SystemPackage, read_packages

TESTS = ROOT / "tests"
SUITE = """
import pytest
from needs import leave_out, needs_library, needs_module, needs_program, require

@pytest.fixture
def data():
    require("Python 1.4", False, "dig it out")

@needs_program("no-such-program")
@pytest.mark.parametrize("number", range(3))
def test_program(number): pass
@needs_library("libno.so.9")
def test_library(): pass
@needs_module("no_such_module", "ray")
def test_module(): pass
def test_fixture(data): pass
def test_optional(): leave_out("Python 1.5", "no package has it")
@needs_program("sh")
def test_that_runs(): pass
@pytest.mark.skip(reason="another platform")
def test_skipped(): pass
"""
CONFTEST = """
import needs
from needs import pytest_configure, pytest_runtest_setup, pytest_terminal_summary
from system_packages import SystemPackage
ROWS = [SystemPackage("one", "program", ("no-such-program",), ""), SystemPackage("two", "library", ("libno.so.9",), "")]
ROWS.append(SystemPackage("three", "program", ("sh",), ""))
needs.read_packages = lambda: ROWS
"""


@pytest.fixture
def run_suite(tmp_path):
    """Run SUITE with pytest. Returns its exit code and output."""

    def run(*arguments, **environment):
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "test_suite.py").write_text(SUITE)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "test_suite.py"],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(TESTS), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_summary_names_what_is_missing_and_how_many_tests_were_not_run(run_suite, processes):
    code, text = run_suite("-n", processes)
    assert code == 0 and "1 passed, 8 skipped" in text
    summary = text.partition("for want of")[2]
    assert "program no-such-program: 3 tests (system package one)" in summary
    assert "library libno.so.9: 1 test (system package two)" in summary
    assert "Python package no_such_module: 1 test (pip install '.[ray]')" in summary
    assert "Python 1.4: 1 test (dig it out)" in summary
    assert "Python 1.5: 1 test (no package has it)" in summary
    assert "another platform" not in summary


def test_on_ci_no_test_may_be_left_out(run_suite):
    code, text = run_suite(CI="true")
    assert code == 1 and "1 passed, 2 skipped, 6 errors" in text
    assert "missing: program no-such-program (system package one); CI may not leave a test out" in text


def test_nothing_is_said_where_nothing_is_missing(run_suite):
    code, text = run_suite("-k", "runs")
    assert code == 0 and "want of" not in text


def test_a_row_lacks_no_column():
    assert all(package.reason for package in read_packages())
    with pytest.raises(ValueError, match=r"system-packages.txt:2: wanted are"):
        read_packages("# a comment\nnginx program nginx\n")


def test_any_of_the_names_of_a_row_will_do():
    assert SystemPackage("shell", "program", ("no-such-shell", "sh"), "").is_present()
    assert not SystemPackage("shell", "program", ("no-such-shell",), "").is_present()
    assert SystemPackage("list", "file", (str(LIST),), "").is_present()
    assert SystemPackage("libc", "library", ("libc.so.6",), "").is_present()


def test_every_program_that_a_test_needs_is_in_the_list():
    texts = {
        path: path.read_text()
        for path in TESTS.rglob("*.py")
        if path.name not in ("needs.py", "test_system_packages.py")
    }
    found = {name for text in texts.values() for name in re.findall(r"""(?:needs|require)_program\("(.+?)"\)""", text)}
    assert {"nginx", "chromium", "qemu-x86_64", "g++"} <= found
    for name in found:
        assert find_package("program", name).name
    skips = [path.name for path, text in texts.items() if re.search(r"importorskip|pytest\.skip\(", text)]
    assert not skips, "needs.py skips for what is missing, and counts it"


def test_no_other_place_names_the_packages():
    named = [package.name for package in read_packages() if package.name not in ("git", "mount", "util-linux")]
    for path in (TESTS / "run", ROOT / ".ci" / "run"):
        assert not [name for name in named if name in path.read_text()]


def test_ci_runs_what_the_readme_says():
    readme = (ROOT / "README.md").read_text().split("## Tests")[1].split("\n## ")[0]
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("tests/")]
    assert commands == ["tests/run", "tests/clean-room"]
    assert all(f"\n{command}" in readme for command in commands)
