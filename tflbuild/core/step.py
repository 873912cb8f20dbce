"""Steps and plans.

A step has two identifiers. Its `id` is known when the plan is made. It is computed from the parameters, from the
digests of input files, and from the ids of the steps whose outputs it uses. Steps with equal ids are a single step,
even if several variants need it. Its cache key is known when the steps before it have run. It is computed from the
digests of their outputs instead of their ids, so a step does not run again if its inputs are the same as before (early
cutoff).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json, hash_value, plain_json


@dataclass(frozen=True, kw_only=True)
class FileInput:
    """A file or folder of the user as an input of a step.

    Attributes:
        name: The name of the input.
        digest: The digest of the file or folder.
        path: Its path.
        files: (relative POSIX path, path) of each file that the step may see. Empty for all.
    """

    name: str
    digest: str
    path: str = field(compare=False)
    files: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class StepInput:
    """An output of another step as an input of a step. `label` is its name in messages."""

    name: str
    step_id: str
    output: str
    label: str = field(default="", compare=False)


Input = FileInput | StepInput


@dataclass(frozen=True)
class Action:
    """An action: the content from which a cache key is computed, and the cache key."""

    key: str
    content: Mapping[str, Json]

    @classmethod
    def of(cls, content: Mapping[str, Json]) -> Action:
        """Return the action with its key."""
        return cls(hash_action(content), content)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A unit of work, whose result depends only on its parameters, inputs and toolchain.

    Attributes:
        kind: The step kind.
        params: The parameters.
        inputs: The inputs.
        toolchain: The versions or digests of everything else that the result depends on: packages, the implementation
            and the platform.
        expect: (output, digest) of each output that the recipe pins. A result with another digest is not used.
        title: The title for messages. It does not enter the id or the cache key.
        section: The part of the recipe that the step belongs to, for messages.
        seconds: The time limit if the run has none. None for the general limit.
        cpu: The CPU that would run the step.
        ties: The CPU dependences that are known before the step runs.
    """

    kind: str
    params: Mapping[str, Json]
    inputs: tuple[Input, ...]
    toolchain: Mapping[str, str]
    expect: tuple[tuple[str, str], ...] = ()
    title: str = field(default="", compare=False)
    section: str = field(default="", compare=False)
    seconds: float | None = field(default=None, compare=False)
    cpu: str = field(default="", compare=False)
    ties: tuple[CpuDependence, ...] = field(default=(), compare=False)

    @cached_property
    def id(self) -> str:
        """Return the id of the step within plans, which is described in the docstring of the module."""
        inputs = {
            port.name: port.digest if isinstance(port, FileInput) else f"{port.step_id}/{port.output}"
            for port in self.inputs
        }
        return hash_value("StepId", [self.action(inputs), self.expect])

    def action(self, inputs: Mapping[str, str]) -> Json:
        """Return the content from which the cache key is computed.

        Args:
            inputs: The digest of each input, by name.
        """
        return plain_json({"kind": self.kind, "params": self.params, "inputs": inputs, "toolchain": self.toolchain})

    def list_actions(self, inputs: Mapping[str, str]) -> tuple[Action, ...]:
        """Return the actions under which the step's result may be published, in the order of their lookup.

        The first action is for results that are the same on every CPU. The last one is for CPU-dependent results. If
        the result is known to be CPU-dependent, there is only the last one.

        Args:
            inputs: The digest of each input, by name.
        """
        action = self.action(inputs)
        cpu_action = Action.of({**action, "cpu": self.cpu})
        return (cpu_action,) if self.ties else (Action.of(action), cpu_action)

    def upstream(self) -> Iterator[str]:
        """Yield the ids of the steps whose outputs this step uses."""
        for port in self.inputs:
            if isinstance(port, StepInput):
                yield port.step_id


def artifact_role(roles: Container[str]) -> str:
    """Return the role, among those of a variant, whose output model.tflite is the artifact."""
    return next(role for role in ("annotate", "quantize", "convert") if role in roles)


def is_cpu_dependent(action: Mapping[str, Json]) -> bool:
    """Return whether the cache key of an action contains the CPU."""
    return "cpu" in action


def hash_action(action: Mapping[str, Json]) -> str:
    """Return the cache key of an action."""
    return hash_value("Action", action)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A graph of steps for one or several variants.

    Attributes:
        steps: The steps by id, each after the steps whose outputs it uses.
        goals: For each variant, the ids of its steps by role (`import`, `convert`, `quantize`, `check`, ...).
    """

    steps: Mapping[str, Step]
    goals: tuple[Mapping[str, str], ...]
