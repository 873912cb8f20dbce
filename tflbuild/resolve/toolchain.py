"""Toolchains: the versions that the results of steps depend on, read without importing any package."""

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

# The toolchain of each step kind: versions or digests by name.
Toolchains = dict[str, dict[str, str]]


@cache
def package_version(name: str) -> str:
    """Return the installed version of a package.

    Raises:
        MachineError: The package is not installed.
    """
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        extra = f"pip install 'tflbuild[{EXTRAS[name]}]'" if name in EXTRAS else ""
        raise MachineError(
            f"the package '{name}' is not installed",
            next_step=extra or f"pip install {name}, or install tflbuild again",
        ) from None


def is_absent(name: str) -> bool:
    """Return whether a package is optional and not installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return name in EXTRAS
    return False


def package_record(name: str) -> Path | None:
    """Return the folder that is replaced when the package is upgraded, so that an unchanged package is recognized.

    It is a private attribute. The public way is to parse the list of all installed files, which takes 0.1 s for
    TensorFlow.
    """
    path = getattr(metadata.distribution(name), "_path", None)
    return None if path is None else Path(str(path))


def module_of(kind: StepKind) -> str:
    """Return the dotted name of the module that implements a step kind."""
    return f"tflbuild.{kind.module}"


@cache
def toolchain(kind: str) -> Mapping[str, str]:
    """Return the versions or digests, by name, of everything that a step kind depends on except parameters and inputs.

    Raises:
        MachineError: A package is not installed.
    """
    step = KINDS[kind]
    # A download is the same whatever code makes it.
    if step.network:
        return {"format": FETCH_FORMAT}
    implementation = find_implementation(module_of(step), PACKAGE)
    return {
        "python": ".".join(map(str, sys.version_info[:2])),
        "platform": f"{platform.system()}-{platform.machine()}".lower(),
        "implementation": hash_value("Implementation", implementation),
        **{name: package_version(name) for name in step.packages},
    }


def toolchains() -> Toolchains:
    """Return the toolchain of every step kind on this machine. Kinds without an installed package are left out."""
    chains: Toolchains = {}
    for kind in KINDS:
        with suppress(MachineError):
            chains[kind] = dict(toolchain(kind))
    return chains


def differences(local: Toolchains, remote: Toolchains) -> list[str]:
    """Return the differences between the toolchains of this machine and of another one as text, each once.

    Step kinds that need an optional package are left out, because their steps always run on this machine.
    """
    # A dict, and not a set, so that the order of the differences is that of the step kinds.
    texts: dict[str, None] = {}
    changed_kinds = []
    for kind, local_chain in local.items():
        remote_chain = remote.get(kind)
        if kind in KINDS and any(package in EXTRAS for package in KINDS[kind].packages):
            continue
        if remote_chain is None:
            texts[f"a package that the step '{kind}' needs is not installed there"] = None
            continue
        for name in sorted({*local_chain, *remote_chain}):
            local_version, remote_version = local_chain.get(name, "missing"), remote_chain.get(name, "missing")
            if local_version == remote_version:
                continue
            if name == "implementation":
                changed_kinds.append(kind)
            else:
                texts[f"{name} is {remote_version} there and {local_version} here"] = None
    return [*texts, *([f"tflbuild's own code of {', '.join(changed_kinds)} is not the same"] if changed_kinds else [])]
