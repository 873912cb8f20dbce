"""Figures of targets as what a sweep is judged by, with the real tools."""

from __future__ import annotations

import csv
import json

import pytest
from needs import require_module
from refusals import RECIPE

from tflbuild.config.freezing.target_figures import ON_DELEGATE, is_reported

pytestmark = pytest.mark.heavy
IO = ("quantization.input_type=int8", "quantization.output_type=int8")
SWEEP = ("-m", RECIPE, "quantization.granularity=per_channel,per_tensor")


def newest(project):
    (folder, *_) = sorted((project.folder / "outputs" / "sweeps").glob("*/"), reverse=True)
    return folder


def test_targets_sort_the_table_and_decide_the_front(warm):
    aims = "sweep.objectives=[ethos_u55.inference_ms:min,top1:max,tflm.arena_bytes:min]"
    done = warm.run(*SWEEP, "target=[tflm,ethos_u55]", aims)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    place = next(at for at, line in enumerate(lines) if line.startswith("variant "))
    head, *rows = lines[place : place + 3]
    assert "front  ethos_u55 inference ms  tflm arena bytes" in head
    told = list(csv.DictReader((newest(warm) / "sweep.csv").open(newline="")))
    times = {line["variant"]: float(line["ethos_u55.inference_ms"]) for line in told}
    assert "per_tensor" in min(times, key=times.__getitem__) and rows[0].startswith("granularity=per_tensor")
    assert [f"{float(row.split()[3]):.4g}" for row in rows] == [f"{one:.4g}" for one in sorted(times.values())]
    assert "by least ethos_u55 inference, most top-1 and least tflm arena" in lines[place + 3]
    assert lines[place + 4].startswith("+- is half the width of the 95 % interval")
    assert lines[place + 5] == "targets, the same for all variants that were built: tflm 14/14, ethos_u55 14/14"
    assert lines[place + 6].startswith("ethos_u55: estimate by Vela for ethos-u55-128")
    assert "tflm arena, bytes" in (newest(warm) / "report.html").read_text()


def test_every_figure_of_a_verdict_may_be_an_objective(warm):
    done = warm.run(RECIPE, "target=[cpu,gpu,ethos_u55,tflm]", "target.cpu.threads_swept=[1,2]")
    assert done.code == 0, done.err
    (manifest,) = (warm.folder / "outputs").glob("mobilenet_int8/*/manifest.json")
    for name, verdict in json.loads(manifest.read_text())["targets"].items():
        unknown = [figure for figure in verdict["figures"] if not is_reported(figure)]
        assert unknown == [] and verdict["figures"] and verdict[ON_DELEGATE] is not None, name


@pytest.mark.parametrize(
    ("aim", "what"),
    [
        ("gpu.snr_db:max", "no variant of this sweep has target 'gpu'"),
        ("tflm.inference_ms:min", "target=tflm reports no 'inference_ms'"),
        ("edgetpu.on_chip_bytes:min", "no variant of this sweep measures 'edgetpu.on_chip_bytes'"),
    ],
)
def test_what_no_target_will_tell_is_refused_before_anything_runs(project, aim, what):
    done = project.run(*SWEEP, "target=[tflm,edgetpu]", *IO, f"sweep.objectives=[{aim}]")
    assert done.code == 2 and what in done.err and not done.steps and not (project.folder / "outputs").exists()


def test_optuna_optimizes_what_targets_tell(warm):
    require_module("hydra_plugins.hydra_optuna_sweeper", "optuna")
    done = warm.run(
        *("-m", RECIPE, "target=tflm", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3"),
        *("quantization.granularity=per_channel,per_tensor", "sweep.objectives=[tflm.arena_bytes:min]"),
        *("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1"),
    )
    assert done.code == 0, done.err
    told = json.loads((newest(warm) / "sweep.json").read_text())["variants"]
    assert all(one["verdict"] == "ok" and one["figures"]["tflm.arena_bytes"] > 50_000 for one in told)
    assert "* the best: least tflm arena" in done.out
