"""What a step's code is given and what it gives back."""

from __future__ import annotations

import ctypes
import json
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Facts = dict[str, Any]

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Have the kernel make this process the parent of descendants whose own parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


class WorkerError(Exception):
    """A failure with a known reason. `kind` is one of tflbuild.errors: recipe | build | environment.

    `fixes` are overrides that may help, each a command line's worth, in the order to be tried; `operators` are those
    to blame, as the `op` and `match` of a rule (rules.select): `tflbuild doctor` tries both. `transient` is what the
    machine did, and may not do again.
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

# What was raised within user code, which may have swallowed it: the step fails with the first of them.
kept_errors: list[WorkerError] = []


def killed(what: str) -> WorkerError:
    """The system ended a program, as it does when memory runs out: no verdict on a model."""
    return WorkerError(f"{what} was killed", kind="environment", why="memory may have run out", transient=True)


def _rebuild(fields: dict[str, Any]) -> WorkerError:
    return WorkerError(fields["what"], **{name: text for name, text in fields.items() if name != "what"})


@dataclass(frozen=True)
class StepRequest:
    """One step's work, in a folder of its own.

    `params` are the step's; `inputs` maps a name to a file or folder to read; outputs are written
    below `outputs`, under their declared names. `labels` are what a person calls the inputs, and
    `section` is the recipe's key that the step comes from. `origins` maps an input that is a choice of files to the
    folder that they were copied from. A step with `network` is there to fetch; `confinement` is what
    who builds asks for.
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
        return self.folder / "outputs"

    def read_json(self, name: str) -> Any:
        """An input that another step wrote as JSON."""
        return json.loads(self.inputs[name].read_text())

    def write_json(self, name: str, value: Any) -> None:
        """An output, as JSON with sorted keys: equal values give equal bytes."""
        (self.outputs / name).write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_request(folder: Path) -> StepRequest:
    """The request that the executor laid in `folder`."""
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
