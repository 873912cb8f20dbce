"""Versions of what the steps' bytes depend on, read without importing any of it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from tflbuild.core.digest import hash_value
from tflbuild.core.step_kind import StepKind
from tflbuild.errors import MachineError
from tflbuild.locations import PACKAGE
from tflbuild.registry.step_kinds import EXTRAS, KINDS
from tflbuild.resolve.implementation import find_implementation

FETCH_FORMAT = "1"

Toolchains = dict[str, dict[str, str]]  # kind of step -> what its results depend on, by name


@cache
def package_version(name: str) -> str:
    """The installed version. Raises MachineError when the package is missing."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        extra = f"pip install 'tflbuild[{EXTRAS[name]}]'" if name in EXTRAS else ""
        raise MachineError(
            f"the package '{name}' is not installed",
            next_step=extra or f"pip install {name}, or install tflbuild again",
        ) from None


def is_absent(name: str) -> bool:
    """Whether a package that not every installation has is not there."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return name in EXTRAS
    return False


def package_record(name: str) -> Path | None:
    """The folder that is replaced when the package is upgraded, for noticing that it was not.

    The public way to it is to parse the list of all installed files, 0.1 s for TensorFlow alone.
    """
    place = getattr(metadata.distribution(name), "_path", None)
    return None if place is None else Path(str(place))


def module_of(kind: StepKind) -> str:
    """Return the dotted name of the module that does the work of a kind of step."""
    return f"tflbuild.{kind.module}"


@cache
def toolchain(kind: str) -> Mapping[str, str]:
    """Everything beside parameters and inputs that a step of this kind depends on, by name."""
    step = KINDS[kind]
    if step.network:  # what a handle names does not depend on who fetched it, nor with what
        return {"format": FETCH_FORMAT}
    implementation = find_implementation(module_of(step), PACKAGE)
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "platform": f"{platform.system()}-{platform.machine()}".lower(),
        "implementation": hash_value("Implementation", implementation),
        **{name: package_version(name) for name in step.packages},
    }


def toolchains() -> Toolchains:
    """What the results of each kind of step depend on here, by kind; nothing where a package lacks for it."""
    found: Toolchains = {}
    for kind in KINDS:
        with suppress(MachineError):
            found[kind] = dict(toolchain(kind))
    return found


def differences(here: Toolchains, there: Toolchains) -> list[str]:
    """What differs on another machine, of all that results depend on; each thing once.

    Kinds whose packages not every installation has are left out: their steps run where they are planned.
    """
    told: dict[str, None] = {}
    code = []
    for kind, mine in here.items():
        theirs = there.get(kind)
        if kind in KINDS and any(package in EXTRAS for package in KINDS[kind].packages):
            continue
        if theirs is None:
            told[f"a package that the step '{kind}' needs is not installed there"] = None
            continue
        for name in sorted({*mine, *theirs}):
            if mine.get(name) == theirs.get(name):
                continue
            if name == "implementation":
                code.append(kind)
            else:
                told[f"{name} is {theirs.get(name, 'missing')} there and {mine.get(name, 'missing')} here"] = None
    return [*told, *([f"tflbuild's own code of {', '.join(code)} is not the same"] if code else [])]
