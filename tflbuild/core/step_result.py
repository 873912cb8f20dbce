"""Results and failures of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tflbuild.core.digest import Json

Status = Literal["hit", "ran", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The failure of a step, with the fields of an error message.

    Attributes:
        kind: The kind of the error, as in `tflbuild.errors`.
        what: What happened.
        why: Why it happened.
        where: Where it happened: a file, a recipe key or a folder.
        next_step: What the user can do.
        fixes: Overrides that may repair the failure, in the order in which to try them.
        operators: The operators that cause it, each as the `op` and `match` of a quantization rule.
        transient: The machine caused the failure, so it may not occur again.
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
    """The result of a step.

    Attributes:
        step_id: The id of the step.
        status: `hit`, `ran`, `failed` or `skipped`.
        key: The cache key of the record, "" without one.
        outputs: The digests of the outputs by name.
        facts: What the step measured or read.
        elapsed: The wall time of the run that made the outputs, now or earlier, in seconds.
        log: The digest of the log of that run.
        origin: The host of the remote cache from which this build downloaded the result, "" if it did not.
        origins: The remote caches on which the result depends, whenever it was downloaded.
        failure: The failure of a failed step.
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
        """Return whether the step has outputs."""
        return self.status in ("hit", "ran")
