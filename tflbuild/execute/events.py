"""What the executor says while it works. It never prints; `report.console` does."""

from __future__ import annotations

from dataclasses import dataclass

from tflbuild.core.step import Step
from tflbuild.core.step_result import StepResult


@dataclass(frozen=True)
class StepStarted:
    """A step was handed to its server."""

    step: Step


@dataclass(frozen=True)
class StepAdvanced:
    """How much of a step's work is done, from 0 to 1; steps that cannot tell are silent."""

    step: Step
    share: float


@dataclass(frozen=True)
class StepWaiting:
    """Another tflbuild process is running the same step; its result will be taken."""

    step: Step


@dataclass(frozen=True)
class StepRetried:
    """The machine, not the step, was at fault; it is begun once more."""

    step: Step
    why: str


@dataclass(frozen=True)
class StepFetching:
    """The shared store was asked for a step's result."""

    step: Step


@dataclass(frozen=True)
class StepEnded:
    """A step is over, whichever way."""

    step: Step
    result: StepResult


@dataclass(frozen=True)
class Notice:
    """A line that a person should see, about no step alone."""

    text: str


Event = StepStarted | StepAdvanced | StepWaiting | StepFetching | StepRetried | StepEnded | Notice
