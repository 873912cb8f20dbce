"""The default model through the real command line: built, built again, swept, explained, refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from commandline import ASSETS, processes_with_tensorflow, watch_imports
from needs import needs_program

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=mobilenet_int8"
CORRIDOR = [
    *("import", "convert", "compare float", "evaluation samples", "predict", "calibration samples", "calibrate"),
    *("quantize int8", "overlap", "check int8", "verify int8", "package int8"),
]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# what comes out


def test_the_artifact_is_what_the_manifest_says(built):
    manifest = built.manifest()
    model = built.output() / "model.tflite"
    assert sha256(model) == manifest["artifact"]["sha256"]
    assert model.stat().st_size == manifest["artifact"]["bytes"]
    assert manifest["artifact"]["float_bytes"] > 2.5 * manifest["artifact"]["bytes"]


def test_top1_is_within_half_a_point_of_float_on_2000_images(built):
    verify = built.manifest()["metrics"]["verify"]
    assert verify["samples"] == 2000
    accuracy = verify["classification"]
    assert accuracy["top1_source"] >= 0.91
    assert abs(accuracy["top1_drop"]) <= 0.005


def test_the_artifact_really_is_int8_and_scores_what_was_said(built):
    """Counted again here, by the plainest code there is."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(built.output() / "model.tflite"))
    runner = interpreter.get_signature_runner("serving_default")
    (takes,) = runner.get_input_details().values()
    assert takes["dtype"] == np.int8
    assert {detail["dtype"] for detail in interpreter.get_tensor_details()} <= {np.int8, np.int32}
    data = np.load(ASSETS / "evaluation.npz")
    scale, zero_point = takes["quantization"]
    images = np.clip(np.rint(data["image"] / scale) + zero_point, -128, 127).astype(np.int8)
    best = [runner(image=image[None])["probabilities"].argmax() for image in images]
    assert (np.array(best) == data["label"]).mean() == built.manifest()["metrics"]["verify"]["classification"]["top1"]


def test_the_manifest_holds_every_digest_version_and_gate(built):
    manifest = built.manifest()
    assert manifest["inputs"]["source"]["sha256"] == sha256(ASSETS / "model.keras")
    assert manifest["inputs"]["dataset"]["sha256"] == sha256(ASSETS / "calibration.npz")
    assert manifest["inputs"]["evaluation"]["sha256"] == sha256(ASSETS / "evaluation.npz")
    assert {"tensorflow", "ai-edge-litert", "litert-quantizer", "numpy", "keras"} <= manifest["toolchain"].keys()
    assert manifest["verification"] == "passed"
    (gate,) = manifest["gates"]
    assert (gate["name"], gate["limit"], gate["passed"]) == ("top1_drop", 0.005, True)
    assert manifest["synthetic_data"] == []
    assert all(len(step["key"]) == 64 for step in manifest["steps"].values())


@needs_program("git")
def test_the_manifest_names_the_projects_commit_and_whether_it_is_dirty(warm, local_recipe):
    assert warm.run(RECIPE).code == 0
    assert warm.manifest()["git"] is None
    recipe = local_recipe(warm)
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    for command in (("init", "-q"), ("add", "recipes"), (*identity, "commit", "-q", "-m", "recipe")):
        subprocess.run(["git", *command], cwd=warm.folder, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=warm.folder, check=True, capture_output=True, text=True)
    assert warm.run("+recipe=local").code == 0
    assert warm.manifest("local")["git"] == {"commit": commit.stdout.strip(), "dirty": False}
    recipe.write_text(recipe.read_text() + "# changed\n")
    assert warm.run("+recipe=local").code == 0
    assert warm.manifest("local")["git"]["dirty"] is True


def test_the_card_runs_as_written(built, tmp_path):
    card = (built.output() / "card.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    shutil.copy(built.output() / "model.tflite", tmp_path / "model.tflite")
    names = {}
    os.chdir(tmp_path)
    exec(code, names)
    assert names["results"]["probabilities"].shape == (1, 10)
    assert names["results"]["probabilities"].sum() == pytest.approx(1.0, abs=0.05)


def test_tensorflows_noise_is_in_the_logs_and_not_on_the_screen(project):
    done = project.run(RECIPE, "quantization=none", "verify=none")
    lines = done.err.splitlines()
    notes = [line for line in lines if line.startswith("note: ")]
    assert [note.split("'")[1] for note in notes] == ["dataset", "verify.dataset", "verify.gates.top1_drop"]
    compared = ["compare import", "compare float"]
    steps = [line.split("  ")[0] for line in lines if line not in notes]
    assert sorted(steps) == sorted(["import", "convert", *compared, "check none", "package none"])
    in_order = [step for step in steps if step not in compared]  # comparisons end beside the other steps
    assert in_order == ["import", "convert", "check none", "package none"]
    assert len(done.out.splitlines()) == 1
    assert done.out.startswith("built  outputs/mobilenet_int8/")
    assert "unverified" in done.out
    assert project.manifest(variant="quantization=none,verify=none")["verification"] == "unverified"


# hits and misses


def test_what_was_fused_is_listed(built):
    fused = {"activations": {"RELU6": 11}, "batch_norms": 11, "biases": 1, "stayed": []}
    assert built.manifest()["artifact"]["contents"]["fused"] == fused
    assert "- fused into them: RELU6 x11, batch norm x11, bias x1" in (built.output() / "card.md").read_text()


def test_the_second_build_does_nothing_and_says_so(warm):
    assert warm.run(RECIPE).steps == dict.fromkeys(CORRIDOR, "hit")
    again = warm.run(RECIPE)
    assert again.err == ""
    assert again.out.startswith("up to date  outputs/mobilenet_int8/default/model.tflite")


def test_a_no_op_imports_nothing_heavy(warm):
    warm.run(RECIPE)
    spy = "import atexit,sys\natexit.register(lambda: print(*sys.modules, file=open('loaded','w')))\n"
    warm.write("spy/sitecustomize.py", spy)
    path = f"{warm.folder / 'spy'}{os.pathsep}{warm.environment()['PYTHONPATH']}"
    assert warm.run(RECIPE, PYTHONPATH=path).err == ""
    loaded = set((warm.folder / "loaded").read_text().split())
    assert "tflbuild.cli" in loaded
    heavy = {"hydra", "omegaconf", "yaml", "tensorflow", "numpy", "ai_edge_litert", "rich", "filelock"}
    assert loaded.isdisjoint(heavy)


@pytest.mark.parametrize("lost", ["model.tflite", "manifest.json", "card.md"])
def test_a_lost_output_is_brought_back_from_the_store(warm, lost):
    warm.run(RECIPE)
    digest = sha256(warm.output() / "model.tflite")
    (warm.output() / lost).unlink()
    done = warm.run(RECIPE)
    assert set(done.steps.values()) == {"hit"}
    assert (warm.output() / lost).exists()
    assert sha256(warm.output() / "model.tflite") == digest


def test_an_edited_output_is_mended_and_the_store_is_not_hurt(warm):
    warm.run(RECIPE)
    model = warm.output() / "model.tflite"
    digest = sha256(model)
    model.write_bytes(b"not a model")
    assert set(warm.run(RECIPE).steps.values()) == {"hit"}
    assert sha256(model) == digest


def test_input_bytes_decide_and_neither_times_nor_places(warm, local_recipe):
    local_recipe(warm)
    assert set(warm.run("+recipe=local").steps.values()) == {"hit", "ran"}  # the card bears the recipe's name
    assert warm.run("+recipe=local").err == ""
    os.utime(warm.folder / "data" / "model.keras")
    done = warm.run("+recipe=local")
    assert set(done.steps.values()) == {"hit"}


def test_an_input_edited_in_place_with_size_and_mtime_restored_is_noticed(warm, local_recipe):
    local_recipe(warm)
    images = np.load(ASSETS / "calibration.npz")
    path = warm.folder / "data" / "calibration.npz"
    np.savez(path, image=images["image"])
    warm.run("+recipe=local")
    assert warm.run("+recipe=local").err == ""
    before = path.stat()
    raw = bytearray(path.read_bytes())
    np.savez(path.with_suffix(".new.npz"), image=images["image"][::-1] // 2)
    changed = path.with_suffix(".new.npz").read_bytes()
    assert len(changed) == len(raw)
    with path.open("r+b") as file:
        file.write(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = warm.run("+recipe=local")
    assert done.steps["calibration samples"] == done.steps["calibrate"] == "ran"
    assert done.steps["import"] == done.steps["convert"] == "hit"


def test_an_equal_result_upstream_stops_the_rebuild(warm, local_recipe):
    """Early cutoff: other bytes, same samples (the archive is stored instead of deflated)."""
    local_recipe(warm)
    data = np.load(ASSETS / "calibration.npz")
    np.savez(warm.folder / "data" / "calibration.npz", image=data["image"], label=data["label"])
    done = warm.run("+recipe=local")
    assert done.steps["calibration samples"] == "ran"
    assert done.steps["calibrate"] == done.steps["quantize int8"] == "hit"


@pytest.mark.parametrize("role", ["convert", "calibrate", "quantize"])
def test_a_damaged_blob_is_rebuilt_to_the_same_bytes(warm, role):
    warm.run(RECIPE)
    expected = warm.manifest()["artifact"]["sha256"]
    (digest,) = warm.manifest()["steps"][role]["outputs"].keys() - {"log.txt", "trained.json"}
    blob = warm.store / "cas" / (name := warm.manifest()["steps"][role]["outputs"][digest])[:2] / name
    raw = bytearray(blob.read_bytes())
    raw[len(raw) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(raw)
    (warm.output() / "model.tflite").unlink()
    done = warm.run(RECIPE)
    assert done.steps[{"quantize": "quantize int8"}.get(role, role)] == "ran"
    assert warm.manifest()["artifact"]["sha256"] == expected == sha256(warm.output() / "model.tflite")


# another scheme, a sweep


def test_a_second_scheme_of_a_cached_float_model_needs_no_tensorflow(warm):
    warm.run(RECIPE)
    done = warm.run(RECIPE, "quantization=float16", **watch_imports(warm))
    assert done.code == 0
    assert done.steps["quantize float16"] == "ran"
    assert processes_with_tensorflow(warm) == 0


def test_a_sweep_of_four_schemes_is_one_plan(project):
    schemes = ("none", "float16", "dynamic_int8", "int8")
    done = project.run("-m", RECIPE, f"quantization={','.join(schemes)}", **watch_imports(project))
    assert done.code == 0, done.err
    assert processes_with_tensorflow(project) == 1
    ran = [line[:30].strip() for line in done.err.splitlines()]
    assert ran.count("import") == ran.count("convert") == ran.count("predict") == 1
    artifacts = [sha256(project.output(variant=f"quantization={scheme}") / "model.tflite") for scheme in schemes]
    assert len(set(artifacts)) == 4
    table = done.out.splitlines()
    assert {line.split()[0] for line in table[1:5]} == {f"quantization={scheme}" for scheme in schemes}
    assert table[-2] == "built  4 of 4 variants in outputs/mobilenet_int8/"
    kept = set((project.folder / "outputs" / "sweeps").rglob("*"))
    assert project.folder / table[-1].removeprefix("report  ") in kept and len(kept) == 4
    again = project.run("-m", RECIPE, f"quantization={','.join(schemes)}")
    note = "note: 'dataset' is not used by quantization=none, quantization=float16, quantization=dynamic_int8"
    assert again.err == f"{note}\n" and note in done.err.splitlines()
    assert again.out.splitlines() == [*table[:-2], table[-2].replace("built", "up to date"), table[-1]]
    assert set((project.folder / "outputs" / "sweeps").rglob("*")) == kept  # nothing was written
    (project.folder / table[-1].removeprefix("report  ")).unlink()
    done = project.run("-m", RECIPE, f"quantization={','.join(schemes)}")
    assert set(done.steps.values()) == {"hit"} and done.out.splitlines()[-1] != table[-1]


def test_both_engines_build_every_scheme_as_declared(warm):
    done = warm.run("-m", RECIPE, "quantization=float16,dynamic_int8,int8", "quantization.engine=litert,converter")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-2].startswith("built  6 of 6")


def test_every_pair_of_io_types_is_had_from_both_engines(warm):
    types = "int8,uint8,float32"
    done = warm.run(
        *("-m", RECIPE, f"quantization.input_type={types}", f"quantization.output_type={types}"),
        "quantization.engine=litert,converter",
    )
    assert done.code == 0, done.err
    for manifest in (warm.folder / "outputs").rglob("manifest.json"):
        found = json.loads(manifest.read_text())
        (signature,) = found["artifact"]["contents"]["signatures"]
        asked = found["recipe"]["quantization"]
        assert signature["inputs"][0]["dtype"] == asked["input_type"]
        assert signature["outputs"][0]["dtype"] == asked["output_type"]
        assert found["metrics"]["verify"]["classification"]["top1_drop"] <= 0.005


def test_every_calibration_method_meets_the_gate_of_the_recipe(warm):
    done = warm.run("-m", RECIPE, "quantization.calibration.method=min_max,moving_average,percentile,mse")
    assert done.code == 0, done.err
    assert len({line.split()[-1] for line in done.out.splitlines()[1:5]}) == 4


def test_a_failed_and_a_refused_variant_leave_the_others_and_their_reasons(warm):
    done = warm.run("-m", RECIPE, "dataset.count=8,999,0")
    assert done.code == 2
    assert "holds 256 samples, and 999 are asked for" in done.err
    assert "command line: dataset.count=0" in done.err
    assert [line.split()[1:3] for line in done.out.splitlines()[2:4]] == [["failed", "in"], ["refused"]]
    assert done.out.splitlines()[-2] == "built  1 of 3 variants in outputs/mobilenet_int8/, 2 failed"


# gates, data, targets


def test_a_missed_gate_exits_3_says_by_how_much_and_marks_the_artifact(warm):
    done = warm.run(RECIPE, "verify.gates.snr_db=60")
    assert done.code == 3
    assert "snr_db is" in done.err
    assert "too low" in done.err
    folder = warm.output(variant="verify.gates.snr_db=60")
    assert (folder / "model.rejected.tflite").exists()
    assert not (folder / "model.tflite").exists()
    assert json.loads((folder / "manifest.json").read_text())["verification"] == "failed"
    assert warm.run(RECIPE, "verify.gates.snr_db=60").code == 3


def test_an_artifact_that_comes_to_fail_its_gate_does_not_stay_under_its_name(warm, local_recipe):
    recipe = local_recipe(warm)
    assert warm.run("+recipe=local").code == 0
    recipe.write_text(recipe.read_text().replace("top1_drop: 0.005", "top1_drop: -0.5"))
    assert warm.run("+recipe=local").code == 3
    assert not (warm.output("local") / "model.tflite").exists()


def test_synthetic_data_is_stamped(warm):
    done = warm.run(RECIPE, "dataset=synthetic", "dataset.high=255", "verify.gates.top1_drop=null")
    assert done.code == 0, done.err
    (manifest,) = (warm.folder / "outputs").rglob("manifest.json")
    assert json.loads(manifest.read_text())["synthetic_data"] == ["calibration samples"]


def test_a_benchmark_is_labelled_with_its_host(warm):
    done = warm.run(RECIPE, "benchmark=host", "benchmark.runs=10")
    assert done.code == 0, done.err
    latency, made = done.out.splitlines()
    assert re.match(r"latency  median \S+ [mµ]?s \(.*\), [\d,]+ runs; this host: ", latency)
    assert made.startswith("built  ")
    figures = warm.manifest(variant="benchmark.runs=10,benchmark=host")["metrics"]["benchmark"]
    assert 0 < figures["p50_ms"] <= figures["p90_ms"]
    assert figures["host"] and figures["device"].startswith("this host: ")
    assert figures["interval_ms"][0] <= figures["p50_ms"] <= figures["interval_ms"][1]
    assert 1 << 20 < figures["model_peak_bytes"] < 32 << 20, "the model's, not the step's"
    named = [one["op"] for one in figures["profile"]["operators"]]
    assert named.count("CONV_2D") == 6 and named.count("DEPTHWISE_CONV_2D") == 5, figures["profile"]["why"]


def test_an_integer_only_target_is_held_to_it(warm):
    assert warm.run(RECIPE, "target=integer_only").code == 0
    refused = warm.run(RECIPE, "target=integer_only", "quantization.output_type=float32")
    assert refused.code == 2
    assert "takes integer models alone" in refused.err


def test_a_free_batch_stays_free(warm):
    warm.write(
        "recipes/free.yaml",
        "defaults:\n  - override /signature: dynamic\n  - override /verify: parity\n"
        "source: {path: tflbuild://fashion_mobilenet/model.keras}\n"
        "verify: {dataset: {path: tflbuild://fashion_mobilenet/evaluation.npz, scale: 1.0, count: 20}}\n",
    )
    done = warm.run("+recipe=free")
    assert done.code == 0, done.err
    (signature,) = warm.manifest("free")["artifact"]["contents"]["signatures"]
    assert signature["inputs"][0]["shape"] == [-1, 28, 28, 1]


# plan and explain


def test_plan_says_what_would_run_and_why_and_runs_nothing(warm):
    fresh = warm.run("plan", RECIPE, "quantization=float16")
    assert fresh.code == 0
    lines = fresh.out.splitlines()
    assert lines[0].split() == ["import", "hit"]
    assert lines[-1] == "9 steps: 5 hits, 4 to run"
    assert fresh.err == "note: 'dataset' is not used by quantization=float16\n"
    assert not (warm.folder / "outputs").exists()


@pytest.mark.parametrize(
    ("override", "step", "leaf"),
    [
        ("quantization.calibration.method=mse", "calibrate", "parameter method: min_max -> mse"),
        ("quantization.input_type=uint8", "quantize int8", "parameter input_type: int8 -> uint8"),
        ("dataset.count=7", "calibration samples", "parameter count: (none) -> 7"),
        ("dataset.path=tflbuild://fashion_mobilenet/evaluation.npz", "calibration samples", "input dataset: "),
    ],
)
def test_explain_names_the_leaf_that_changed(warm, override, step, leaf):
    lines = warm.run("explain", RECIPE, override).out.splitlines()
    assert lines[0] == step
    assert lines[1].strip().startswith(leaf)


def test_explain_names_the_package_that_was_upgraded(warm):
    """Another version in the metadata of LiteRT, seen by a process that loads a changed copy of it."""
    warm.write(
        "fake/ai_edge_litert-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ai-edge-litert\nVersion: 99.0\n"
    )
    path = f"{warm.folder / 'fake'}{os.pathsep}{warm.environment()['PYTHONPATH']}"
    done = warm.run("explain", RECIPE, PYTHONPATH=path)
    assert "package ai-edge-litert: " in done.out
    assert "-> 99.0" in done.out
    assert "convert" not in done.out.splitlines()


def test_plan_as_json_is_complete(warm):
    steps = json.loads(warm.run("plan", RECIPE, "--json").out)
    assert [step["step"] for step in steps] == CORRIDOR
    assert {step["verdict"] for step in steps} == {"hit"}
    assert all(len(step["key"]) == 64 for step in steps)


def test_the_store_says_what_it_holds_and_can_be_emptied(warm):
    held = json.loads(warm.run("cache", "--json").out)
    assert held["results"] == len(CORRIDOR)
    assert json.loads(warm.run("cache", "--clear", "--json").out)["cleared"] is True
    assert json.loads(warm.run("cache", "--json").out)["results"] == 0
