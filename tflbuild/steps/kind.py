"""What a kind of step is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Server = Literal["tensorflow", "litert"]

COMMON_MODULES = ("server", "contract", "confinement", "landlock", "progress", "seccomp", "core.work")


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """A kind of step.

    `module` and `uses` are the files of `tflbuild/workers/` (or of `core/`) whose text is part of the key; a test
    holds them against the imports. `outputs` are files by name, or folders where the name ends in
    a slash. Outputs in `unstable` differ from run to run for the same model; they are known by the
    digest of their content that the step tells in its fact `content`, or else by the step's key.
    A step with `network` may reach out; what it brought stays in the store, whatever code brought it.
    What a step that is not `shared` found holds for this host alone, and stays in this machine's store. One that is
    `timed` runs when nothing else is ready, and while it runs no other step of the same build does.
    """

    name: str
    server: Server
    module: str
    uses: tuple[str, ...] = ()
    packages: tuple[str, ...]
    outputs: tuple[str, ...]
    unstable: tuple[str, ...] = ()
    network: bool = False
    shared: bool = True
    timed: bool = False

    @property
    def modules(self) -> tuple[str, ...]:
        """Every worker module that the step's result depends on."""
        return (*COMMON_MODULES, self.module, *self.uses)


TENSORFLOW = ("tensorflow", "keras", "numpy")
LITERT = ("ai-edge-litert", "numpy")
QUANTIZER = ("litert-quantizer", "scipy", *LITERT)
