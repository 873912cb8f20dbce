"""Tools that prove a target on this machine: packages, programs on PATH and drivers. None of them is imported."""

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

# The folder of installed packages, which changes when a package is installed or removed.
PACKAGES = sysconfig.get_path("purelib")


@dataclass(frozen=True)
class TargetTool:
    """The tool that proves a target.

    Attributes:
        present: The tool is complete on this machine.
        to_prove: How to install what is missing, "" if the tool is complete.
        key: What its results depend on in addition to packages, as plain JSON.
        read: The paths on which this value depends.
        environment: The environment variables on which this value depends.
    """

    present: bool = False
    to_prove: str = ""
    key: Mapping[str, Json] = field(default_factory=dict)
    read: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()


def find_tool(target: Target) -> TargetTool:
    """Return the tool that proves a target on this machine."""
    find = {"edgetpu": find_edgetpu_compiler, "npu": find_sdk, "gpu": find_vulkan}.get(target.runtime, find_package)
    return find(target)


def find_package(target: Target) -> TargetTool:
    """Return the tool of a target that a Python package proves. LiteRT is always installed."""
    package = RUNTIMES[target.runtime].package
    if not package:
        return TargetTool(present=True)
    to_prove = f"pip install 'tflbuild[{EXTRAS[package]}]'" if is_absent(package) else ""
    return TargetTool(present=not to_prove, to_prove=to_prove, read=(PACKAGES,))


def find_sdk(target: Target) -> TargetTool:
    """Return the packages of an NPU vendor as a tool. Whether their compiler can be loaded is tried by the step."""
    vendor = npu.VENDORS[str(target.options["vendor"])]
    installed = dict(npu.installed(vendor))
    complete = any(name not in vendor.needs for name in installed) and set(vendor.needs) <= set(installed)
    return TargetTool(complete, "" if complete else vendor.to_prove(), {"sdk": installed}, read=(PACKAGES,))


@cache
def compiler_version(program: str) -> str:
    """Return the version that edgetpu_compiler reports, "" if it reports none."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return edgetpu_log.version_of(done.stdout + done.stderr)


def find_edgetpu_compiler(_: Target) -> TargetTool:
    """Return Coral's compiler on PATH as a tool."""
    program = shutil.which(edgetpu_log.COMPILER)
    version = compiler_version(program) if program else ""
    read = tuple(path for path in os.environ.get("PATH", "").split(os.pathsep) if path)
    return TargetTool(bool(version), "" if version else edgetpu_log.TO_PROVE, {"compiler": version}, read, ("PATH",))


def find_vulkan(_: Target) -> TargetTool:
    """Return the Vulkan loader and a driver, of hardware or software, as a tool."""
    return find_vulkan_drivers()


@cache
def find_vulkan_drivers() -> TargetTool:
    """Return the Vulkan drivers as a tool. The result is cached, because the drivers are hashed."""
    search = find_drivers()
    home = os.path.expanduser("~")
    folders = [*ICD_FOLDERS, *BROWSERS, *(os.path.join(home, name) for name in HOME_FOLDERS)]
    libraries = [path for pattern in LIBRARIES for path in glob.glob(f"/{pattern}")]
    candidates = [path for driver in search.candidates for path in (driver.icd, driver.library) if path]
    read = (*folders, *libraries, *candidates)
    to_prove = f"{search.lacks}: {search.install}" if search.lacks else ""
    environment = (*NAMED_BY, "LD_LIBRARY_PATH", "HOME")
    return TargetTool(not search.lacks, to_prove, {"drivers": search.digest}, read, environment)


def require_tools(recipe: Recipe) -> None:
    """Check that every target can be proven that must be proven, or that has a gate on a figure of a proof.

    Raises:
        RecipeError: A target that must be proven has only a support table.
        MachineError: The tool of such a target is missing.
    """
    for target in recipe.targets:
        if target.must_be_proven and target.runtime == "table":
            raise RecipeError(
                f"nothing can prove target={target.name}",
                where=f"target.{target.name}.require",
                why="tflbuild has only the list of its published operators",
                next_step="set require=any, or try the artifact on a device",
            )
        limit = next((name for name, _ in target.gates if name not in COUNTS), None)
        tool = find_tool(target) if target.must_be_proven or limit else None
        if tool is None or tool.present:
            continue
        raise MachineError(
            f"target={target.name} cannot be proven here",
            where=f"target.{target.name}.require" if target.must_be_proven else f"target.{target.name}.gates.{limit}",
            why="the recipe requires a proof" if target.must_be_proven else f"'{limit}' is measured by the proof",
            next_step=tool.to_prove,
        )
