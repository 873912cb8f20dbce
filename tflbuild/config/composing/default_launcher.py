"""Implement the Hydra launcher `tflbuild`, the default: all jobs of a batch become one plan."""

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
    """The schema of `hydra/launcher=tflbuild`."""

    _target_: str = f"{__name__}.SinglePlanLauncher"


class MissingObjectiveError(Exception):
    """A variant has no value of an objective: it failed, was refused, missed a gate, or did not measure the figure."""


class StopSweep(Exception):
    """Makes the sweeper stop: no further job is to be built."""


class _Failed(JobReturn):
    """The result of a failed job. Hydra's own class prints to the screen when its value is read."""

    @property  # type: ignore[misc]  # nobody sets it
    def return_value(self) -> Any:
        raise cast(MissingObjectiveError, self._return_value)


class SinglePlanLauncher(Launcher):
    """Passes a batch of jobs to a function that builds them, and returns the values to the sweeper."""

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
