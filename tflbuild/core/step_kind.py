"""Kinds of step: what each declares, and which machines may use its results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

Server = Literal["tensorflow", "litert"]


class CacheScope(Enum):
    """The machines whose builds may use the result of a step."""

    EVERYWHERE = "everywhere"
    """The result follows from parameters and inputs alone. It may go to a store that machines share."""
    THIS_HOST = "this host"
    """The result was measured on this host, or depends on drivers, devices and SDKs that no key covers."""


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """A kind of step.

    Attributes:
        name: As the plan and the manifest call it; unique.
        server: The server process that forks a child for it: the packages that it has imported.
        module: The module with `run(request)`, below `tflbuild`. Its code, and all that it imports, is part of the key
            (`resolve.implementation`).
        packages: Installed packages whose versions are part of the key.
        outputs: Files by name; a name that ends in a slash is a folder.
        unstable: Outputs that differ from run to run for the same model. They are known by the digest of their content,
            which the step reports in its fact `content`, or else by the key of the step.
        network: The step fetches. Its key does not cover code and packages: a download stays, whatever code fetched it.
        scope: The machines whose builds may use the result.
        timed: The step measures time: it starts when no other step is ready, and runs alone.
    """

    name: str
    server: Server
    module: str
    packages: tuple[str, ...]
    outputs: tuple[str, ...]
    unstable: tuple[str, ...] = ()
    network: bool = False
    scope: CacheScope = CacheScope.EVERYWHERE
    timed: bool = False


TENSORFLOW = ("tensorflow", "keras", "numpy")
LITERT = ("ai-edge-litert", "numpy")
QUANTIZER = ("litert-quantizer", "scipy", *LITERT)
