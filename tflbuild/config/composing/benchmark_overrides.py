"""Compose recipes for `tflbuild benchmark`, with the option `benchmark=host` if they have none."""

from __future__ import annotations

from omegaconf import OmegaConf, open_dict

from tflbuild.config.composing.compose import Composer
from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.hydra_keys import check_hydra_keys
from tflbuild.config.composing.hydra_setup import Job
from tflbuild.config.schema.schema_benchmark import HostBenchmark


def compose_timed(overrides: list[str]) -> list[Composed]:
    """Compose a build whose artifact is measured.

    A job without a benchmark gets `benchmark=host`, so that the keys of this option can be set.
    """
    composer = Composer(overrides)
    check_hydra_keys(composer.parse(composer.normal), multirun=False)
    _supply(composer, composer.normal)
    parts = composer.split(composer.normal, shared=True)
    for part in parts:
        _supply(composer, part)
    return composer.compose_all(parts)


def _supply(composer: Composer, job: Job) -> None:
    """Set `benchmark=host` in the base of a job without a benchmark, before the values of its keys are applied."""
    (base, declarations), _ = composer.base_of(job)
    if base.benchmark.kind == "none":
        with open_dict(base):
            base.benchmark = OmegaConf.structured(HostBenchmark)
        declarations.kinds["benchmark"] = HostBenchmark
