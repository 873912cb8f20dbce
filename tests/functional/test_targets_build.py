"""Targets on the real command line: every proof by the real thing, planted models that cannot run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import edgetpu_logs
import numpy as np
import pytest
from commandline import ASSETS, processes_with_tensorflow, watch_imports
from one_op import write_model
from one_op_cases import CASES

pytestmark = pytest.mark.heavy

RECIPE = "+recipe=mobilenet_int8"
FOUR = "target=[cpu,gpu,ethos_u55,tflm]"
AS_IT_IS = ("source=tflite", "source.path=planted.tflite", "signature=dynamic", "output_root=o")
COMPILER = """#!{python}
import pathlib, shutil, sys
if sys.argv[1:] == ["--version"]:
    print({head!r})
else:
    folder = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
    shutil.copyfile("model.tflite", folder / "model_edgetpu.tflite")
    print({log!r})
"""


def plant(project, *names):
    path = project.folder / "planted.tflite"
    path.write_bytes(write_model(*(CASES[name] for name in names)))
    return path


def verdicts(project, folder):
    found = list((project.folder / folder).glob("**/manifest.json"))
    assert len(found) == 1
    return json.loads(found[0].read_text())["targets"]


def test_the_default_model_is_proven_on_four_targets_by_one_command(warm):
    done = warm.run(
        RECIPE, FOUR, "output_root=o", "target.gates.unknown_ops=0", "target.ethos_u55.gates.fallback_ops=0"
    )
    assert done.code == 0, done.err
    found = verdicts(warm, "o")
    assert {name: one["proof"] for name, one in found.items()} == dict.fromkeys(
        ("cpu", "gpu", "ethos_u55", "tflm"), "proven"
    )
    assert all(one["runs"] and one["ops"] == 14 and one["to_prove"] == "" for one in found.values())
    assert found["gpu"]["agrees"] and found["tflm"]["agrees"] and found["cpu"]["agrees"]
    assert found["ethos_u55"]["agrees"] is None and found["ethos_u55"]["device"].startswith("estimate by Vela")
    assert "software" in found["gpu"]["device"] and "this host" in found["cpu"]["device"]
    assert found["cpu"]["figures"]["latency_p90_ms"] > 0 and found["tflm"]["figures"]["arena_bytes"] > 50_000
    assert found["ethos_u55"]["figures"]["sram_bytes"] > 0
    (folder,) = (place for place in (warm.folder / "o" / "mobilenet_int8").iterdir() if place.is_dir())
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"ethos_u55/model_vela.tflite", "tflm/model.cc", "tflm/model.h", "runners/runner.py"} <= made
    table = [line.split()[:2] for line in done.out.splitlines()[1:5]]
    assert table == [[name, "proven"] for name in ("cpu", "gpu", "ethos_u55", "tflm")]
    again = warm.run(
        RECIPE, FOUR, "output_root=o", "target.gates.unknown_ops=0", "target.ethos_u55.gates.fallback_ops=0"
    )
    assert again.steps == {} and again.out.splitlines()[-1].startswith("up to date")
    assert again.out.splitlines()[:-1] == done.out.splitlines()[:-1]


PLANTED = {
    "cpu": (("RELU_float32", "SIGN_float32", "TANH_float32"), "SIGN"),
    "gpu": (("RELU_float32", "L2_NORMALIZATION_float32"), "L2_NORMALIZATION"),
    "ethos_u55": (("RELU_int8", "SQRT_int8", "TANH_int8"), "SQRT"),
    "ethos_u85": (("RELU_int8", "SQRT_int8", "TANH_int8"), "SQRT"),
    "tflm": (("RELU_int8", "GELU_int8", "TANH_int8"), "GELU"),
    "edgetpu": (("TANH_int8", "HARD_SWISH_int8", "TANH_int8"), "HARD_SWISH"),
    "nnapi": (("RELU_float32", "COS_float32", "RELU6_float32"), "COS"),
    "hexagon": (("RELU6_int8", "ABS_int8", "TANH_int8"), "ABS"),
    "coreml": (("RELU_float32", "LEAKY_RELU_float32", "TANH_float32"), "LEAKY_RELU"),
    "npu_intel": (("RELU_float32", "ROUND_float32", "TANH_float32"), "ROUND"),
}


@pytest.mark.parametrize("target", PLANTED)
def test_an_operator_that_a_target_cannot_take_fails_the_gate_with_layer_and_reason(project, target):
    names, op = PLANTED[target]
    plant(project, *names)
    chip = ["target.npu_intel.soc=LNL"] if target == "npu_intel" else []
    done = project.run(*AS_IT_IS, f"target={target}", "target.gates.fallback_ops=0", *chip)
    assert done.code == 3, done.err + done.out
    assert f"{target}.fallback_ops is" in done.err
    layer = next(name for name in names if name.startswith(op))
    (told,) = [line for line in done.err.splitlines() if line.strip().startswith(f"{op} '{layer}/out0'")]
    assert len(told.partition(": ")[2]) > 10, "a reason"
    (folder,) = (project.folder / "o").rglob("model.rejected.tflite")
    assert not folder.with_name("model.tflite").exists()


def test_what_cannot_run_at_all_fails_without_a_gate(project):
    plant(project, "RELU_int8", "GELU_int8")
    done = project.run(*AS_IT_IS, "target=tflm")
    assert done.code == 3
    assert "tflm cannot run it" in done.err and "GELU 'GELU_int8/out0'" in done.err


BOARD = """# @package target.board
defaults: [/schema/target/tflm@_here_, _self_]
schemes: [none, int8]
per_tensor: true
max_rank: 3
"""


def test_what_a_profile_needs_is_read_in_the_artifact(project):
    """The recipe says nothing of a .tflite that is taken as it is."""
    project.write("conf/target/board.yaml", BOARD)
    plant(project, "CONV_2D_int8")
    done = project.run(*AS_IT_IS, "target=[cpu,board,tflm]")
    assert done.code == 3, done.err
    assert "where: target.board\n" in done.err, "the others are not to blame"
    told = [line.strip() for line in done.err.splitlines() if "and board takes" in line]
    assert told[0].startswith("input 'in0': it has 4 dimensions, and board takes inputs of at most 3; fold")
    assert told[1].startswith("CONV_2D 'CONV_2D_int8/out0': its input 'CONV_2D_int8/in1' has 8 scales, and board takes")
    assert told[1].endswith("quantization.granularity=per_tensor") and len(told) == 2
    found = verdicts(project, "o")
    assert [one["op"] for one in found["board"]["unmet"]] == ["input", "CONV_2D"]
    assert found["board"]["proof"] == "proven" and found["cpu"]["unmet"] == found["tflm"]["unmet"] == []
    (project.folder / "o").rename(project.folder / "before")
    project.write("conf/target/board.yaml", BOARD.replace("3", "4").replace("true", "false"))
    assert project.run(*AS_IT_IS, "target=[cpu,board,tflm]").code == 0


def test_each_target_that_forbids_floating_point_is_named(project):
    plant(project, "RELU_float32")
    done = project.run(*AS_IT_IS, "target=[cpu,edgetpu,integer_only]")
    assert done.code == 3, done.err
    assert "where: target.edgetpu, target.integer_only\n" in done.err
    for name in ("edgetpu", "integer_only"):
        assert f"input 'in0': it is float32, and {name} takes integers alone; quantization=int8" in done.err
    doctor = project.run("doctor", *AS_IT_IS, "target=[cpu,edgetpu,integer_only]")
    assert doctor.code == 1, doctor.out
    assert "was built and does not pass its gates\n" in doctor.err
    assert "where: target.edgetpu, target.integer_only\n" in doctor.err
    asked = project.run("inspect", "planted.tflite", "--target", "cpu,edgetpu,integer_only", "--json")
    assert asked.code == 0, asked.err
    found = json.loads(asked.out)["targets"]
    assert [name for name, one in found.items() if one["unmet"]] == ["edgetpu", "integer_only"]


def test_any_tflite_file_is_asked_without_tensorflow(project):
    plant(project, "RELU_float32", "COS_float32")
    done = project.run("inspect", "planted.tflite", "--target", "gpu,edgetpu,nnapi", "--json", **watch_imports(project))
    assert done.code == 0, done.err
    found = json.loads(done.out)["targets"]
    assert {name: one["proof"] for name, one in found.items()} == {
        "gpu": "proven",
        "edgetpu": "linted",
        "nnapi": "linted",
    }
    assert found["edgetpu"]["to_prove"].startswith("Coral's compiler")
    assert any("Android 15" in note for note in found["nnapi"]["notes"])
    assert processes_with_tensorflow(project) == 0
    refused = project.run("inspect", str(project.folder), "--target", "gpu")
    assert refused.code == 2 and "is not converted yet" in refused.err


def test_coral_s_compiler_is_used_when_it_is_on_path(project, monkeypatch, tmp_path):
    """A stand-in that prints a log in the compiler's form; that it compiles, nobody says."""
    plant(project, "RELU_int8", "TANH_int8")
    rows = (("RELU", 1, "Mapped to Edge TPU"), ("TANH", 1, "Mapped to Edge TPU"))
    folder = tmp_path / "bin"
    folder.mkdir()
    text = COMPILER.format(python=sys.executable, head=edgetpu_logs.HEAD, log=edgetpu_logs.log(*rows))
    (folder / "edgetpu_compiler").write_text(text)
    (folder / "edgetpu_compiler").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    listed = json.loads(project.run("targets", "--json").out)
    assert next(one for one in listed if one["target"] == "edgetpu")["verdicts"] == "proven"
    done = project.run(*AS_IT_IS, "target=edgetpu")
    assert done.code == 0, done.err
    verdict = verdicts(project, "o")["edgetpu"]
    assert verdict["proof"] == "proven" and "16.0" in verdict["how"]


def test_each_target_gets_what_it_wants(warm):
    done = warm.run(RECIPE, "quantization=by_target", "target=[gpu,ethos_u55,tflm]", "output_root=o")
    assert done.code == 0, done.err
    folders = sorted(path.name for path in (warm.folder / "o" / "mobilenet_int8").iterdir() if path.is_dir())
    assert folders == [
        "quantization.input_type=int8,quantization.output_type=int8,quantization=int8,target=ethos_u55+tflm",
        "quantization=float16,target=gpu",
    ]
    assert "ethos_u55" in done.out and "2 of 2 variants" in done.out


def test_labels_go_into_the_artifact_and_a_program_feeds_it(warm):
    labels = "tflbuild://fashion_mobilenet/labels.txt"
    told = (f"metadata.outputs.probabilities.labels={labels}", "metadata.author=a team", "output_root=o")
    done = warm.run(RECIPE, *told)
    assert done.code == 0, done.err
    (model,) = (warm.folder / "o").rglob("model.tflite")
    with zipfile.ZipFile(model) as packed:
        assert packed.read("labels.txt").decode().split()[0] == "t_shirt"
    inspected = warm.run("inspect", str(model))
    assert "by a team" in inspected.out and "labels x10" in inspected.out
    images = np.load(ASSETS / "evaluation.npz")
    np.savez(warm.folder / "inputs.npz", image=images["image"][:1].astype(np.float32))
    runner = [sys.executable, "-I", str(model.parent / "runners" / "runner.py"), str(model)]
    ran = subprocess.run(
        [*runner, "inputs.npz", "outputs.npz"], cwd=warm.folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    scores = np.load(warm.folder / "outputs.npz")["probabilities"]
    assert scores.argmax() == images["label"][0] and scores.sum() == pytest.approx(1, abs=0.02)
    again = warm.run(RECIPE, *told, "metadata.outputs.probabilites.threshold=0.5")
    assert again.code == 2 and "probabilities" in again.err


def test_a_benchmark_is_taken_anew_each_time(project):
    plant(project, "CONV_2D_float32", "RELU_float32")
    told = ("benchmark", "planted.tflite", "benchmark.most_seconds=1", "--json")
    first, second = (project.run(*told) for _ in range(2))
    assert (first.code, second.code) == (0, 0), first.err
    assert "ran" in second.steps.values()
    low, high = json.loads(first.out)["interval_ms"]
    assert 0 < low <= json.loads(first.out)["p50_ms"] <= high
    text = project.run("benchmark", "planted.tflite", "benchmark.most_seconds=1").out
    assert "median" in text and "95% confidence" in text
    assert np.isfinite(json.loads(second.out)["p90_ms"])
