"""The Hydra launcher `tflbuild`, the default one: all jobs of a batch become one plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

NAME = "tflbuild"

Value = float | tuple[float, ...] | None
Build = Callable[[list[list[str]]], Sequence["Value | MissingObjectiveError"]]


@dataclass
class SinglePlanLauncherConfig:
    """What the group hydra/launcher has for it."""

    _target_: str = f"{__name__}.OnePlan"


class MissingObjectiveError(Exception):
    """A variant without a value: it failed, was refused, missed a gate, or was not measured."""


class StopSweep(Exception):
    """No further job is to be built: raised to the sweeper."""


class _Failed(JobReturn):
    """Hydra's own writes to the screen when its value is asked for."""

    @property  # type: ignore[misc]  # nobody sets it
    def return_value(self) -> Any:
        raise cast(MissingObjectiveError, self._return_value)


class SinglePlanLauncher(Launcher):
    """Hands a batch of jobs to a function that builds them, and the values to the sweeper."""

    def __init__(self, build: Build) -> None:
        self.build = build

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        return

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = [list(job) for job in job_overrides]
        return [_job_return(job, value) for job, value in zip(jobs, self.build(jobs), strict=True)]


def _job_return(job: list[str], value: Value | MissingObjectiveError) -> JobReturn:
    if isinstance(value, MissingObjectiveError):
        return _Failed(overrides=job, status=JobStatus.FAILED, _return_value=value)
    return JobReturn(overrides=job, status=JobStatus.COMPLETED, _return_value=value)
