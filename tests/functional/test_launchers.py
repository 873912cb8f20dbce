"""Hydra's own sweepers and launchers, on the real command line."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress

import pytest
from needs import require_module
from processes import POLL_SECONDS, at_work, started, until
from refusals import RECIPE

pytestmark = pytest.mark.heavy
AIMS = "sweep.objectives=[top1:max,bytes:min]"


def need(plugin):
    require_module(f"hydra_plugins.{plugin}", plugin.split("_")[1])


def verdicts(project) -> dict[str, str]:
    """Variant -> its result, in the newest record of a sweep."""
    records = (project.folder / "outputs" / "sweeps").glob("*/sweep.json")
    newest = max(records, key=lambda path: path.stat().st_mtime_ns)
    return {entry["name"]: entry["verdict"] for entry in json.loads(newest.read_text())["variants"]}


# sweepers


def test_optuna_searches_by_two_objectives_and_what_fails_does_not_win(warm):
    need("hydra_optuna_sweeper")
    command = (
        *("-m", RECIPE, "hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=8"),
        *("quantization=none,int8,float16", "dataset.count=choice(8,999)", AIMS),
    )
    done = warm.run(*command)
    assert done.code == 2  # of 256 samples, 999 are asked for: int8 alone reads them
    found = verdicts(warm)
    assert found.pop("dataset.count=999,quantization=int8") == "failed in calibration samples"
    assert set(found.values()) == {"ok"} and len(found) >= 3
    ran = [line[:30].strip() for line in done.err.splitlines() if " ran " in line]
    assert len([title for title in ran if title.startswith("quantize")]) <= 2  # int8 of 8 samples, float16
    table = [line for line in done.out.splitlines() if line.startswith("quantization=")]
    assert table[-1].startswith("quantization=int8 count=999") and "*" not in table[-1]
    assert "holds 256 samples, and 999 are asked for" in done.err
    again = warm.run(*command)  # looked for again, and found in the store
    assert verdicts(warm).keys() == {*found, "dataset.count=999,quantization=int8"}
    assert "ran" not in again.steps.values()


@pytest.mark.filterwarnings("ignore")  # Optuna 2.10 is of its age
def test_optuna_keeps_a_study_and_goes_on_with_it(warm):
    need("hydra_optuna_sweeper")
    command = (
        *("-m", RECIPE, "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=4"),
        *("hydra.sweeper.storage=sqlite:///study.db", "hydra.sweeper.study_name=net", "hydra.sweeper.n_trials=2"),
        *("quantization=none,float16", "sweep.objectives=[bytes:min]"),
    )
    import optuna

    for trials in (2, 4):
        done = warm.run(*command)
        assert done.code == 0, done.err
        study = optuna.load_study(study_name="net", storage=f"sqlite:///{warm.folder / 'study.db'}")
        assert len(study.trials) == trials
    sizes = {f"quantization={one.params['quantization']}": one.value for one in study.trials}
    assert sizes == {name: warm.manifest(variant=name)["artifact"]["bytes"] for name in sizes}


# launchers


def kill_jobs(project, number, times):
    """Whether the process of a job was killed so often by now: call it until the command has ended."""
    killed: set[int] = set()

    def look() -> set[int]:
        for file in (project.store / "tmp").glob(f"*/jobs/{number:05}.begun"):
            with suppress(OSError, IndexError):
                pid = int(file.read_text().split()[0])
                if pid not in killed and len(killed) < times:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
        return killed

    return look


@pytest.mark.parametrize("times", [1, 2])
def test_joblib_loses_no_other_job_with_one_that_is_killed(warm, local_recipe, times):
    need("hydra_joblib_launcher")
    recipe = local_recipe(warm)
    command = ("-m", "+recipe=local", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    kill = kill_jobs(warm, 1, times)
    with started(warm, *command, "quantization=none,int8,float16", "dataset.count=8,16") as finish:
        while finish.process.poll() is None:
            if kill() and recipe.stat().st_size:
                recipe.write_text("")  # what is launched is frozen
            with suppress(Exception):
                finish.process.wait(POLL_SECONDS)
        done = finish()
    lost = verdicts(warm).pop("dataset.count=16,quantization=none")
    assert len(kill()) == times
    if times == 1:
        assert done.code == 0, done.err
        assert lost == "ok" and "6 of 6 variants" in done.out
    else:
        assert done.code == 1
        assert lost == "lost" and "5 of 6 variants in outputs/local/, 1 failed" in done.out
        assert "was lost twice" in done.err and "SIGKILL" in done.err


def test_submitit_runs_job_by_job_over_the_same_store(warm):
    need("hydra_submitit_launcher")
    sweep = ("-m", RECIPE, "quantization=int8,float16", "dataset.count=8,999")
    done = warm.run(*sweep, "hydra/launcher=submitit_local")
    assert done.code == 2
    found = verdicts(warm)
    assert found.pop("dataset.count=999,quantization=int8") == "failed in calibration samples"
    assert list(found.values()) == ["ok"] * 3
    assert "error[recipe]: 'calibration.npz' holds 256 samples, and 999 are asked for" in done.err
    assert list((warm.store / "tmp").iterdir()) == []
    again = warm.run(*sweep)  # as one plan: the same artifacts, and nothing but what failed is done
    assert {title for title, status in again.steps.items() if status == "ran"} == set()
    assert verdicts(warm).items() >= found.items()


def test_an_interrupt_ends_the_jobs_too(warm):
    need("hydra_submitit_launcher")
    command = ("-m", RECIPE, "hydra/launcher=submitit_local", "quantization=int8,float16", "dataset.count=8,16")
    with started(warm, *command) as finish:
        until(lambda: list((warm.store / "tmp").glob("*/jobs/*.begun")), "a job")
        finish.process.send_signal(signal.SIGINT)
        assert finish().code == 130
    until(lambda: not at_work(warm.store), "the end of what the jobs started")
    assert warm.run("-m", RECIPE, "quantization=int8,float16", "dataset.count=8,16").code == 0
    assert list((warm.store / "tmp").iterdir()) == []  # what the killed left was swept


def test_a_launcher_that_starts_nothing_is_the_environments_fault(warm):
    need("hydra_joblib_launcher")
    done = warm.run("-m", RECIPE, "quantization=int8,float16", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0")
    assert done.code == 4
    assert "started no job" in done.err and "n_jobs == 0" in done.err
