"""A recipe that is to be timed, whether it says so or not."""

from __future__ import annotations

from omegaconf import OmegaConf, open_dict

from tflbuild.config.composing.compose import Composed, Composer
from tflbuild.config.composing.hydra_keys import check_hydra_keys
from tflbuild.config.composing.hydra_setup import Job
from tflbuild.config.schema.schema_benchmark import HostBenchmark


def compose_timed(overrides: list[str]) -> list[Composed]:
    """As `compose` does it for a build, once; what times nothing gets `benchmark=host`, and the keys told of that."""
    composer = Composer(overrides)
    check_hydra_keys(composer.parse(composer.normal), multirun=False)
    _supply(composer, composer.normal)
    parts = composer.split(composer.normal, shared=True)
    for part in parts:
        _supply(composer, part)
    return composer.compose_all(parts)


def _supply(composer: Composer, job: Job) -> None:
    """The option where the job has none, before the values of its keys."""
    (base, declarations), _ = composer.base_of(job)
    if base.benchmark.kind == "none":
        with open_dict(base):
            base.benchmark = OmegaConf.structured(HostBenchmark)
        declarations.kinds["benchmark"] = HostBenchmark
