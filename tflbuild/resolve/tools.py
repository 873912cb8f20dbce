"""What can prove a target here: packages, programs on PATH, drivers. Looked up without importing any of it."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Recipe, Target
from tflbuild.errors import MachineError
from tflbuild.resolve.toolchain import is_absent
from tflbuild.steps.kinds import EXTRAS
from tflbuild.targets.runtimes import COUNTS, RUNTIMES


@dataclass(frozen=True)
class Tool:
    """What proves a target. `present` unless something lacks, which `to_prove` says how to install.

    `key` is what its results depend on besides packages, as plain JSON; `read` are paths whose change may change this.
    """

    present: bool = False
    to_prove: str = ""
    key: Mapping[str, Json] = field(default_factory=dict)
    read: tuple[str, ...] = ()


def find_tool(target: Target) -> Tool:
    """What is here to prove a target with."""
    runtime = RUNTIMES[target.runtime]
    if runtime.package:
        read = (sysconfig.get_path("purelib"),)
        if is_absent(runtime.package):
            return Tool(to_prove=f"pip install 'tflbuild[{EXTRAS[runtime.package]}]'", read=read)
        return Tool(present=True, read=read)
    return Tool(present=True)


def require_tools(recipe: Recipe) -> None:
    """Raises MachineError for a target that must be proven, or has a limit on what only a proof brings, and cannot."""
    for target in recipe.targets:
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
