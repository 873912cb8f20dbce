"""What can prove a target here: packages, programs on PATH, drivers. Looked up without importing any of it."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe, Target
from tflbuild.errors import MachineError, RecipeError
from tflbuild.registry.step_kinds import EXTRAS
from tflbuild.resolve.toolchain import is_absent
from tflbuild.targets.edgetpu import compiler_log as edgetpu_log
from tflbuild.targets.gpu.vulkan import BROWSERS, HOME_FOLDERS, ICD_FOLDERS, LIBRARIES, NAMED_BY, find_drivers
from tflbuild.targets.npu import profile as npu
from tflbuild.targets.target_runtimes import COUNTS, RUNTIMES

PACKAGES = sysconfig.get_path("purelib")  # what is installed or removed changes this folder


@dataclass(frozen=True)
class TargetTool:
    """What proves a target. `present` unless something lacks, which `to_prove` says how to install.

    `key` is what its results depend on besides packages, as plain JSON; `read` are paths whose change
    may change this, `environment` variables.
    """

    present: bool = False
    to_prove: str = ""
    key: Mapping[str, Json] = field(default_factory=dict)
    read: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


def find_tool(target: Target) -> TargetTool:
    """What is here to prove a target with."""
    find = {"edgetpu": find_edgetpu_compiler, "npu": find_sdk, "gpu": find_vulkan}.get(target.runtime, find_package)
    return find(target)


def find_package(target: Target) -> TargetTool:
    """A package that pip installs; LiteRT itself is always there."""
    package = RUNTIMES[target.runtime].package
    if not package:
        return TargetTool(present=True)
    to_prove = f"pip install 'tflbuild[{EXTRAS[package]}]'" if is_absent(package) else ""
    return TargetTool(present=not to_prove, to_prove=to_prove, read=(PACKAGES,))


def find_sdk(target: Target) -> TargetTool:
    """A vendor's packages. That they are there does not mean that their compiler loads: the step tries it."""
    vendor = npu.VENDORS[str(target.options["vendor"])]
    found = dict(npu.installed(vendor))
    complete = any(name not in vendor.needs for name in found) and set(vendor.needs) <= set(found)
    return TargetTool(complete, "" if complete else vendor.to_prove(), {"sdk": found}, read=(PACKAGES,))


@cache
def compiler_version(program: str) -> str:
    """What edgetpu_compiler calls itself, "" when it does not say."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return edgetpu_log.version_of(done.stdout + done.stderr)


def find_edgetpu_compiler(_: Target) -> TargetTool:
    """Coral's compiler, where it is on PATH."""
    program = shutil.which(edgetpu_log.COMPILER)
    version = compiler_version(program) if program else ""
    read = tuple(path for path in os.environ.get("PATH", "").split(os.pathsep) if path)
    return TargetTool(bool(version), "" if version else edgetpu_log.TO_PROVE, {"compiler": version}, read, ("PATH",))


def find_vulkan(_: Target) -> TargetTool:
    """A Vulkan driver, of a chip or a program, and the loader."""
    return vulkan_here()


@cache
def vulkan_here() -> TargetTool:
    """The same, looked up once: drivers are digested."""
    found = find_drivers()
    home = os.path.expanduser("~")
    folders = [*ICD_FOLDERS, *BROWSERS, *(os.path.join(home, name) for name in HOME_FOLDERS)]
    libraries = [path for pattern in LIBRARIES for path in glob.glob(f"/{pattern}")]
    candidates = [path for one in found.candidates for path in (one.icd, one.library) if path]
    read = (*folders, *libraries, *candidates)
    to_prove = f"{found.lacks}: {found.install}" if found.lacks else ""
    return TargetTool(
        not found.lacks, to_prove, {"drivers": found.digest}, read, (*NAMED_BY, "LD_LIBRARY_PATH", "HOME")
    )


def require_tools(recipe: Recipe) -> None:
    """Raises MachineError for a target that must be proven, or has a limit on what only a proof brings, and cannot."""
    for target in recipe.targets:
        if target.must_be_proven and target.runtime == "table":
            raise RecipeError(
                f"nothing can prove target={target.name}",
                where=f"target.{target.name}.require",
                why="it is known by its published operators alone",
                next_step="require=any, or try the artifact on a device",
            )
        limit = next((name for name, _ in target.gates if name not in COUNTS), None)
        tool = find_tool(target) if target.must_be_proven or limit else None
        if tool is None or tool.present:
            continue
        raise MachineError(
            f"target={target.name} cannot be proven here",
            where=f"target.{target.name}.require" if target.must_be_proven else f"target.{target.name}.gates.{limit}",
            why="the recipe asks for a proof" if target.must_be_proven else f"'{limit}' is had by proving it",
            next_step=tool.to_prove,
        )
