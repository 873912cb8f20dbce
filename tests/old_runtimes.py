"""Old TensorFlow Lite runtimes, each in an environment of its own beside the project's.

An old runtime has wheels for old Pythons alone, which are looked for on PATH and among pyenv's. Python 3.11, which
Debian 12 has, runs 2.14; Python 3.9 runs all of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("old_runtimes.txt")
FOLDER = Path(sys.prefix) / "runtimes"
OLDEST_PYTHON = (3, 9)
ALWAYS = "2.14"  # which the Python of Debian 12 runs


@dataclass(frozen=True)
class OldRuntime:
    """A runtime, the package that has it, and the newest Python that the package has a wheel for."""

    name: str
    package: str
    newest_python: tuple[int, int]

    @property
    def pythons(self) -> list[str]:
        """The Pythons that run it, newest first."""
        return [f"3.{minor}" for minor in range(self.newest_python[1], OLDEST_PYTHON[1] - 1, -1)]


def read_list() -> list[OldRuntime]:
    """Return the runtimes of tests/old_runtimes.txt."""
    rows = [line.split() for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    return [OldRuntime(name, package, tuple(map(int, python.split(".")))) for name, package, python in rows]


def find_python(runtime: OldRuntime) -> Path | None:
    """Return a Python on this machine that runs it."""
    return next((path for version in runtime.pythons for path in _find_pythons(version)), None)


def _find_pythons(version: str) -> Iterator[Path]:
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        yield Path(sys.executable)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    # one of pyenv's shims is on PATH whether or not its Python may be used
    if (found := shutil.which(f"python{version}")) and "shims" not in found:
        yield Path(found)


def install_runtime(runtime: OldRuntime) -> Path | None:
    """Return the Python of the runtime's environment, made where it is missing; None where it cannot be."""
    made = FOLDER / runtime.name / "bin" / "python"
    if (FOLDER / runtime.name / "ready").exists():
        return made
    python = find_python(runtime)
    if python is None:
        return None
    quiet = ["--quiet", "--disable-pip-version-check"]
    steps = (
        [python, "-m", "venv", "--clear", FOLDER / runtime.name],
        [made, "-m", "pip", "install", *quiet, "numpy<2", runtime.package],
    )
    if any(subprocess.run(step, capture_output=True, check=False).returncode for step in steps):
        return None
    (FOLDER / runtime.name / "ready").touch()
    return made
