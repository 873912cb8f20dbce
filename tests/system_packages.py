"""Read tests/system-packages.txt. As a program: install the packages of it that are missing.

`python3 tests/system_packages.py` installs all that are missing, `... mmdebstrap git` only these. It needs no package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("system-packages.txt")
KINDS = ("program", "library", "file")
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True)
class SystemPackage:
    """A row of the list: a package, what detects it (a kind and the names that will do), and why a test needs it."""

    name: str
    kind: str
    detected_by: tuple[str, ...]
    reason: str

    def is_present(self) -> bool:
        """Whether any of the names is on this machine."""
        return any(DETECTORS[self.kind](name) for name in self.detected_by)


def read_packages(text: str | None = None) -> list[SystemPackage]:
    """Return the rows of the list, in its order. Raises ValueError for a row that lacks a column."""
    rows = []
    for number, line in enumerate((LIST.read_text() if text is None else text).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split(None, 3)
        if len(columns) < 4 or columns[1] not in KINDS:
            raise ValueError(f"{LIST.name}:{number}: wanted are a package, {'|'.join(KINDS)}, a name and a reason")
        rows.append(SystemPackage(columns[0], columns[1], tuple(columns[2].split("|")), columns[3]))
    return rows


def has_program(name: str) -> bool:
    """Whether a program of this name is in PATH or where the system's own programs are."""
    return shutil.which(name, path=SEARCH_PATH) is not None


def has_library(soname: str) -> bool:
    """Whether the dynamic linker knows a library of this name."""
    ldconfig = shutil.which("ldconfig", path=SEARCH_PATH)
    if ldconfig is None:
        return False
    known = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False).stdout
    return any(line.split()[:1] == [soname] for line in known.splitlines())


DETECTORS = {"program": has_program, "library": has_library, "file": os.path.exists}


def install(names: Sequence[str]) -> list[str]:
    """Install packages with apt-get. Returns one line for each that could not be installed."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return [f"{name}: installing it takes root and apt-get" for name in names]
    run_apt("update")
    if not run_apt("install", "--no-install-recommends", *names):
        return []
    # One package that this system does not have must not keep the others away.
    errors = {name: run_apt("install", "--no-install-recommends", name) for name in names}
    return [f"{name}: {error}" for name, error in errors.items() if error]


def run_apt(command: str, *arguments: str) -> str:
    """Run apt-get without questions. Returns "" or the last line of its error."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    words = ["apt-get", command, "-q", "-y", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return "" if done.returncode == 0 else (lines or [f"exit code {done.returncode}"])[-1]


def main(wanted: Sequence[str]) -> int:
    """Install what is missing of the packages named, or of all. Returns 4 where some still are."""
    packages = {package.name: package for package in read_packages()}
    unknown = set(wanted) - set(packages)
    if unknown:
        print(f"{', '.join(sorted(unknown))}: not in {LIST.name}", file=sys.stderr)
        return 2
    missing = [packages[name] for name in wanted or packages if not packages[name].is_present()]
    if not missing:
        return 0
    print(f"installing {' '.join(package.name for package in missing)}", file=sys.stderr)
    for line in install([package.name for package in missing]):
        print(line, file=sys.stderr)
    return 4 if any(not package.is_present() for package in missing) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
