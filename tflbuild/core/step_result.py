"""What came of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tflbuild.core.digest import Json

Status = Literal["hit", "ran", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a step failed: the fields of an error, to be raised or tabulated.

    `fixes` are overrides that may help, in the order to be tried; `operators` are those to blame, as the `op` and
    `match` of a rule. `transient` is what the machine did, and may not do again.
    """

    kind: str
    what: str
    why: str = ""
    where: str = ""
    next_step: str = ""
    fixes: Sequence[str] = ()
    operators: Sequence[Mapping[str, str]] = ()
    transient: bool = False


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """The end of one step. `outputs` maps names to digests; `facts` is what the worker measured.

    `elapsed` is the wall time in seconds of the run that made the outputs, this one or an earlier one;
    `log` is the digest of what that run printed, `origin` the shared store that this build fetched it from, and
    `origins` are the shared stores that the result rests on, whenever it was fetched.
    """

    step_id: str
    status: Status
    key: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)
    elapsed: float = 0.0
    log: str = ""
    origin: str = ""
    origins: tuple[str, ...] = ()
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether the outputs are there."""
        return self.status in ("hit", "ran")
