"""Steps and plans: what is to be done, named before anything is done.

A step has two names. Its `id` is known while planning: it covers the inputs' digests and, for what
other steps make, their ids; equal ids are one step, however many variants ask for it. Its *key* is
known while executing: there the digests of what upstream really made stand in, so that a step is
not run again when its inputs came out the same (early cutoff).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json, hash_value, plain_json


@dataclass(frozen=True, kw_only=True)
class FileInput:
    """A user's file or folder, known by the digest of its bytes. `path` is where it lay.

    `files` is set for a choice of files from a folder: (relative POSIX path, where it lay) of each;
    the step sees these alone.
    """

    name: str
    digest: str
    path: str = field(compare=False)
    files: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True)
class StepInput:
    """An output of another step. `label` is what a person calls it."""

    name: str
    step_id: str
    output: str
    label: str = field(default="", compare=False)


Input = FileInput | StepInput


@dataclass(frozen=True)
class Action:
    """What a key is made from, and the key."""

    key: str
    content: Mapping[str, Json]

    @classmethod
    def of(cls, content: Mapping[str, Json]) -> Action:
        """Return the action with its key."""
        return cls(hash_action(content), content)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One unit of work: a pure function of its parameters, inputs and toolchain.

    `toolchain` maps what the step's bytes depend on (packages, the implementation, the platform)
    to versions and digests. `expect` pins outputs: (name, digest); a result with others is none.
    `title` and `section` (the part of the recipe that it comes from) are for
    people and belong to no name. `seconds` is how long it may take where the run has no limit of its own, None what any
    step may. `cpu` is the CPU that would run it, and `ties` what of its result is known to depend on that beforehand.
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
        """The planning name; see the module's text."""
        inputs = {
            port.name: port.digest if isinstance(port, FileInput) else f"{port.step_id}/{port.output}"
            for port in self.inputs
        }
        return hash_value("StepId", [self.action(inputs), self.expect])

    def action(self, inputs: Mapping[str, str]) -> Json:
        """What a key is made from, given each input's digest; kept in the store for `explain`."""
        return plain_json({"kind": self.kind, "params": self.params, "inputs": inputs, "toolchain": self.toolchain})

    def list_actions(self, inputs: Mapping[str, str]) -> tuple[Action, ...]:
        """Return the actions under which the step's result may be published, in the order in which they are looked up.

        The first holds on every CPU, the last on this one alone: a result with a tie is published under that.
        """
        action = self.action(inputs)
        tied = Action.of({**action, "cpu": self.cpu})
        return (tied,) if self.ties else (Action.of(action), tied)

    def upstream(self) -> Iterator[str]:
        """The ids of the steps whose outputs this one takes."""
        for port in self.inputs:
            if isinstance(port, StepInput):
                yield port.step_id


def artifact_role(roles: Container[str]) -> str:
    """Of a variant's steps the one whose model.tflite is shipped."""
    return next(role for role in ("annotate", "quantize", "convert") if role in roles)


def is_cpu_dependent(action: Mapping[str, Json]) -> bool:
    """Whether an action's key names a CPU."""
    return "cpu" in action


def hash_action(action: Mapping[str, Json]) -> str:
    """The key of a step whose inputs are known."""
    return hash_value("Action", action)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Steps in an order that respects their inputs, and for each variant which step plays which role.

    `goals[variant]` maps a role (import, convert, quantize, check, ...) to a step's id.
    """

    steps: Mapping[str, Step]
    goals: tuple[Mapping[str, str], ...]
