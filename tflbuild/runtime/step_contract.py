"""The contract of worker code: the request that a step receives, and the error that it may raise."""

from __future__ import annotations

import ctypes
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Facts = dict[str, Any]

# linux/prctl.h
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def end_with_parent() -> None:
    """Let the kernel kill this process when the process that forked it ends, for whatever reason."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Let the kernel make this process the parent of its descendants whose own parents end."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


class WorkerError(Exception):
    """A failure with a known reason.

    Args:
        what: The first line of the message.
        kind: The kind of error in `tflbuild.errors`: `recipe`, `build` or `environment`.
        why: The reason.
        where: The recipe key, or the place in a file.
        next_step: What the user can do.
        fixes: Overrides that may help, each of them one or more arguments of the command line, in the order in which
            `tflbuild doctor` tries them.
        operators: The operators that cause the failure, as `op` and `match` of a quantization rule. `tflbuild doctor`
            tries to keep them in float.
        transient: Whether the cause is a state of the machine that may have passed when the step runs again.
    """

    def __init__(
        self,
        what: str,
        *,
        kind: str = "recipe",
        why: str = "",
        where: str = "",
        next_step: str = "",
        fixes: Sequence[str] = (),
        operators: Sequence[Mapping[str, str]] = (),
        transient: bool = False,
    ) -> None:
        super().__init__(what)
        self.fields: dict[str, Any] = {"kind": kind, "what": what, "why": why, "where": where, "next_step": next_step}
        if fixes:
            self.fields["fixes"] = list(fixes)
        if operators:
            self.fields["operators"] = [dict(operator) for operator in operators]
        if transient:
            self.fields["transient"] = True

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.fields,)


# The folder of the step that this process was forked for, empty in any other process.
own_folder: list[Path] = []

# The errors that were raised within user code. Even if the code caught them, the step fails with the first one.
kept_errors: list[WorkerError] = []


def killed(program: str) -> WorkerError:
    """Return the error for a program that the system killed, as it does when memory runs out.

    It is an error of the environment, since it proves nothing about a model.
    """
    return WorkerError(f"{program} was killed", kind="environment", why="memory may have run out", transient=True)


def _rebuild(fields: dict[str, Any]) -> WorkerError:
    return WorkerError(fields["what"], **{name: text for name, text in fields.items() if name != "what"})


@dataclass(frozen=True)
class StepRequest:
    """The request to run one step, in a folder that only this step uses.

    Attributes:
        folder: The folder of the step.
        params: The parameters of the step.
        inputs: The name of each input, and its file or folder.
        labels: The name of each input, and how messages call it.
        section: The recipe key from which the step was made.
        origins: The name of each input that consists of selected files, and the folder that they were copied from.
        network: Whether the step may use the network, because it fetches something.
        confinement: The mode of confinement that the build chose.
    """

    folder: Path
    params: Mapping[str, Any]
    inputs: Mapping[str, Path]
    labels: Mapping[str, str]
    section: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    confinement: str = ""

    @property
    def outputs(self) -> Path:
        """The folder to which outputs are written, under their declared names."""
        return self.folder / "outputs"

    def read_json(self, name: str) -> Any:
        """Return an input that another step wrote as JSON."""
        return json.loads(self.inputs[name].read_text())

    def write_json(self, name: str, value: Any) -> None:
        """Write an output as JSON. Keys are sorted, so equal values result in equal bytes."""
        (self.outputs / name).write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_request(folder: Path) -> StepRequest:
    """Read the request that the executor wrote to the folder of a step."""
    raw = json.loads((folder / "input.json").read_text())
    inputs = {name: folder / "inputs" / file for name, file in raw["inputs"].items()}
    return StepRequest(
        folder=folder,
        params=raw["params"],
        inputs=inputs,
        labels=raw["labels"],
        section=raw["section"],
        origins=raw.get("origins", {}),
        network=raw.get("network", False),
        confinement=raw.get("confinement", ""),
    )
