"""quantization=auto on the default model: what it finds is built, meets the budget, and can be pasted."""

from __future__ import annotations

import json
import re

import pytest
from commandline import ROOT

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=mobilenet_int8"
AUTO = (RECIPE, "quantization=auto", "quantization.schemes=[float32,float16,weight_only_int8,weight_only_int4,int8]")
SNR = "quantization.budget.snr_db=35"
HERE = "output_root=out"
SHIPPED = ROOT / "recipes" / "mobilenet_int8.yaml"
METRIC = """
def farthest(expected, actual, labels):
    (name,) = expected
    assert expected[name].shape == actual[name].shape and len(labels) == len(actual[name])
    return abs(expected[name] - actual[name]).max()

def broken(expected, actual, labels):
    return expected["nothing"]
"""


@pytest.fixture(scope="module")
def found(built, tmp_path_factory):
    """(a project in which a search has ended, its row, what it printed)."""
    import shutil

    from commandline import Project

    base = tmp_path_factory.mktemp("search")
    (base / "project").mkdir()
    shutil.copytree(built.store, base / "store", ignore=shutil.ignore_patterns("tmp", "locks", "plans"))
    project = Project(base / "project", base / "store")
    text = project.run(*AUTO, SNR, HERE)
    assert text.code == 0, text.err
    (row,) = json.loads(project.run(*AUTO, SNR, HERE, "--json").out)
    return project, row, text


def test_what_is_found_meets_the_budget_and_beats_every_single_scheme(found):
    _, row, _ = found
    trials = row["search"]["trials"]
    singles = [one for one in trials if "," not in one["label"] and one["figures"].get("snr_db", 0) >= 35]
    (chosen,) = (one for one in trials if one["result"] == "chosen")
    assert chosen["figures"]["snr_db"] >= 35 and row["artifact"]["bytes"] == chosen["bytes"]
    assert singles and row["artifact"]["bytes"] < min(one["bytes"] for one in singles)
    assert row["artifact"]["bytes"] == min(one["bytes"] for one in trials if one["figures"].get("snr_db", 0) >= 35)


def test_it_says_what_was_tried_what_costs_and_why(found):
    _, row, text = found
    lines = text.out.splitlines()
    assert lines[0].split() == ["tried", "bytes", "snr_db", "top1_drop", "result"]  # the gate of the recipe holds, too
    assert any(line.startswith("costs most as weight_only_int4") for line in lines)
    assert any(line.startswith(f"chosen  {row['search']['chosen']}: the smallest of") for line in lines)
    assert lines[-1].startswith("built  out/mobilenet_int8/")
    assert sum(line.endswith("  chosen") for line in lines) == 1


def test_the_recipe_that_it_gives_makes_the_same_bytes(found):
    project, row, _ = found
    defaults, *section = row["search"]["recipe"]
    chosen = defaults.removeprefix("defaults: [{").removesuffix("}]")
    text = SHIPPED.read_text().replace("override /quantization: int8", chosen)
    if "float16" in chosen or "dynamic" in chosen or "weight_only" in chosen:  # what is not calibrated takes no dataset
        text = text.replace("  - override /dataset: npz\n", "")
        text = re.sub(r"^dataset:.*?\n\n", "", text, flags=re.DOTALL | re.MULTILINE)
    project.write("recipes/pasted.yaml", "\n".join([text, *section]) + "\n")
    (again,) = json.loads(project.run("+recipe=pasted", "--json").out)
    assert again["artifact"]["sha256"] == row["artifact"]["sha256"]


def test_the_manifest_has_the_search_and_the_recipe_that_was_found(found):
    project, row, _ = found
    manifest = json.loads(next(project.folder / f for f in row["files"] if f.endswith("manifest.json")).read_text())
    assert manifest["search"]["chosen"] == row["search"]["chosen"]
    assert manifest["recipe"]["quantization"]["scheme"] != "auto"
    assert [gate["name"] for gate in manifest["gates"]] == ["top1_drop"]  # the budget decides the search
    assert [one["name"] for one in manifest["search"]["reported"]] == ["snr_db", "top1_drop"]


def test_it_selects_on_one_half_of_the_samples_and_reports_on_the_other(found):
    _, row, text = found
    assert row["search"]["part"] == {"name": "selection", "of": 2000, "samples": 1000}
    verify = row["metrics"]["verify"]
    assert verify["part"] == {"name": "report", "of": 2000} and verify["samples"] == 1000
    assert "of 1,000" in text.out.splitlines()[-1]
    told = next(line for line in text.out.splitlines() if line.startswith("selected on 1,000 samples; on the other"))
    reported = {one["name"]: one["value"] for one in row["search"]["reported"]}
    assert f"snr_db {reported['snr_db']:.4g}" in told and "the search did not see" in told
    assert reported["snr_db"] == verify["outputs"]["probabilities"]["snr_db"]
    (chosen,) = (one for one in row["search"]["trials"] if one["result"] == "chosen")
    assert chosen["figures"]["snr_db"] >= 35 and chosen["figures"]["snr_db"] != reported["snr_db"]


def test_too_few_samples_are_not_split_and_that_is_said(found):
    project, _, _ = found
    few = ("verify.dataset.count=8", "verify.gates.top1_drop=null", "quantization.schemes=[float32,int8]")
    done = project.run(RECIPE, "quantization=auto", "quantization.budget.snr_db=20", *few)
    assert done.code == 0
    assert "selected and reported on the same 8 samples: there are 8 different samples, and 10 are needed" in done.out
    assert "warning: quantization=auto selected and reported on the same samples" in done.err


def test_a_second_search_runs_nothing(found):
    project, _, _ = found
    project.run(*AUTO, SNR, HERE)
    again = project.run(*AUTO, SNR, HERE)
    assert again.code == 0 and again.steps == {}
    assert all(line.startswith("warning: ") for line in again.err.splitlines())
    assert again.out.splitlines()[-1].startswith("up to date  out/")


def test_a_budget_that_nothing_meets_is_a_gate_with_the_table(found):
    project, _, _ = found
    done = project.run(*AUTO, "quantization.budget.snr_db=190", "quantization.trials=6")
    assert done.code == 3
    assert done.out.splitlines()[0].startswith("tried")
    assert "nothing that quantization=auto tried" in done.err and "190 is allowed" in done.err
    again = project.run(*AUTO, "quantization.budget.snr_db=190", "quantization.trials=6", "--json")
    assert again.code == 3 and json.loads(again.out)[0]["search"]["trials"]


def test_a_budget_on_an_output_that_there_is_not_is_refused(found):
    project, _, _ = found
    done = project.run(*AUTO, "quantization.budget.outputs.probabilitys.snr_db=20")
    assert done.code == 2 and "did you mean: probabilities" in done.err
    assert "command line: quantization.budget.outputs.probabilitys.snr_db=20" in done.err


def test_a_search_in_which_nothing_may_be_tried_runs_nothing(found):
    project, _, _ = found
    done = project.run(*AUTO, SNR, "target=integer_only")
    assert done.code == 2 and "has no scheme that it may try" in done.err and not done.steps


def test_a_metric_of_ones_own_is_a_budget(found):
    project, _, _ = found
    project.write("metric.py", METRIC)
    metric = ("verify.metrics.far=metric.py:farthest", "quantization.budget.at_most.far=0.3", "quantization.trials=12")
    (row,) = json.loads(project.run(*AUTO, *metric, "--json").out)
    assert 0 < row["metrics"]["verify"]["metrics"]["far"] <= 0.3
    always = project.run(*AUTO, "verify.metrics.far=metric.py:broken", "quantization.budget.at_most.far=0.3")
    assert always.code == 2 and "KeyError: 'nothing'" in always.err  # not a budget that is missed
    broken = project.run(RECIPE, "verify.metrics.far=metric.py:broken")
    assert broken.code == 2 and "metric.py" in broken.err and "KeyError: 'nothing'" in broken.err


def test_where_there_are_no_floats_the_worst_operators_are_int16(found):
    project, _, _ = found
    options = ("target=integer_only", "quantization.input_type=int8", "quantization.output_type=int8")
    (row,) = json.loads(
        project.run(RECIPE, "quantization=auto", "quantization.budget.snr_db=37", *options, "--json").out
    )
    assert row["error"] is None
    assert "int16x8" in row["search"]["chosen"] and row["search"]["chosen"].startswith("int8")
    (chosen,) = (one for one in row["search"]["trials"] if one["result"] == "chosen")
    assert chosen["figures"]["snr_db"] >= 37


def test_one_output_has_a_budget_of_its_own_and_a_wrong_name_is_refused(found):
    project, _, _ = found
    done = project.run(RECIPE, "verify.gates.outputs.probabilitys.snr_db=20")
    assert done.code == 2 and "did you mean: probabilities" in done.err
    missed = project.run(RECIPE, "verify.gates.outputs.probabilities.snr_db=90")
    assert missed.code == 3 and "outputs.probabilities.snr_db is" in missed.err


def test_a_sweep_may_have_searches_among_its_variants(found):
    project, _, _ = found
    done = project.run("-m", RECIPE, "quantization=int8,auto", "+quantization.budget.snr_db=35", "--json")
    assert done.code == 2  # int8 has no budget: the key is refused, and said


def test_plan_says_that_a_search_follows(found):
    project, _, _ = found
    done = project.run("plan", *AUTO, SNR)
    assert done.out.splitlines()[-1] == "then a search: at most 40 artifacts, built one after another and measured"
