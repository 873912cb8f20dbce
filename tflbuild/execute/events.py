"""Events that the executor emits during a run. `report.console` prints them."""

from __future__ import annotations

from dataclasses import dataclass

from tflbuild.core.step import Step
from tflbuild.core.step_result import StepResult


@dataclass(frozen=True)
class StepStarted:
    """A step was sent to its worker server."""

    step: Step


@dataclass(frozen=True)
class StepAdvanced:
    """Progress of a step: the completed fraction of its work, from 0 to 1. Some steps never report progress."""

    step: Step
    fraction: float


@dataclass(frozen=True)
class StepWaiting:
    """The executor waits for another tflbuild process that runs the same step, and will use its result."""

    step: Step


@dataclass(frozen=True)
class StepRetried:
    """A step is started once more, because the machine and not the step caused the failure."""

    step: Step
    reason: str


@dataclass(frozen=True)
class StepFetching:
    """The result of a step was requested from the remote cache."""

    step: Step


@dataclass(frozen=True)
class StepEnded:
    """A step has ended: with a result, with a failure, or because it was skipped."""

    step: Step
    result: StepResult


@dataclass(frozen=True)
class Notice:
    """A line of text for the user that is not about a single step."""

    text: str


Event = StepStarted | StepAdvanced | StepWaiting | StepFetching | StepRetried | StepEnded | Notice
