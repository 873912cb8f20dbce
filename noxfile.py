"""Sessions for one part of the work, such as `nox -s lint`. CI runs `tests/run`, which does all of them at once."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "unit"]
nox.options.reuse_existing_virtualenvs = True

CONSTRAINTS = "constraints.txt"


def install(session: nox.Session) -> None:
    """Install tflbuild from this checkout with all that its tests need, in the pinned versions."""
    session.install("-c", CONSTRAINTS, "-e", ".[dev,ray]")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the direction of imports."""
    install(session)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, of the tools as well."""
    install(session)
    session.run("mypy")
    session.run("mypy", "tools")


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that start no process. Arguments go to pytest: `nox -s unit -- -k store`."""
    install(session)
    session.run("pytest", "-n", "2", "--dist", "loadfile", "tests/unit", *session.posargs)


@nox.session
def functional(session: nox.Session) -> None:
    """Run the tests that start the real command line."""
    install(session)
    session.run("pytest", "-m", "", "-n", "2", "--dist", "loadfile", "tests/functional", *session.posargs)


@nox.session
def heavy(session: nox.Session) -> None:
    """Run the tests that convert real models, emulate machines, and try parsers with random bytes."""
    install(session)
    paths = ("tests/integration", "tests/fuzz")
    session.run("pytest", "-m", "", "-n", "2", "--dist", "loadfile", *paths, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Check that generated pages are those that the code writes, and that pages name files that exist."""
    install(session)
    session.run("python", "-m", "tflbuild.config.reference", "--check")
    session.run("pytest", "tests/unit/test_architecture_page.py", "tests/unit/test_vocabulary.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure what tflbuild costs, next to the same work by hand: about two and a half minutes."""
    install(session)
    session.run("python", "benchmarks/run.py", *session.posargs)
