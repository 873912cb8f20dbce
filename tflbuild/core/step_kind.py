"""What a kind of step is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Server = Literal["tensorflow", "litert"]


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """A kind of step.

    `module` has the work; its code and all that it imports is part of the key (`resolve.implementation`).
    `outputs` are files by name, or folders where the name ends in
    a slash. Outputs in `unstable` differ from run to run for the same model; they are known by the
    digest of their content that the step tells in its fact `content`, or else by the step's key.
    A step with `network` may reach out; what it brought stays in the store, whatever code brought it.
    What a step that is not `shared` found holds for this host alone, and stays in this machine's store. One that is
    `timed` runs when nothing else is ready, and while it runs no other step of the same build does.
    """

    name: str
    server: Server
    module: str
    packages: tuple[str, ...]
    outputs: tuple[str, ...]
    unstable: tuple[str, ...] = ()
    network: bool = False
    shared: bool = True
    timed: bool = False


TENSORFLOW = ("tensorflow", "keras", "numpy")
LITERT = ("ai-edge-litert", "numpy")
QUANTIZER = ("litert-quantizer", "scipy", *LITERT)
