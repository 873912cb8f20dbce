"""The int8 bytes do not depend on the CPU: calibrate and quantize, from one float model, on emulated ones.

qemu runs the workers' own code with the instruction sets of another CPU. The float model itself is given.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from needs import needs_program

from tflbuild.execute.worker_process import FIXED_VARIABLES, PASSED_VARIABLES
from tflbuild.steps.datasets.sample_files import load_samples
from tflbuild.steps.datasets.sample_writer import save_samples
from tflbuild.storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = shutil.which("qemu-x86_64")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64 CPUs on an x86-64 host"),
    needs_program("qemu-x86_64"),
]

NATIVE = "native"
EMULATED = ("Nehalem", "SandyBridge", "Haswell")  # SSE4.2 alone; AVX; AVX2 and FMA
SAMPLES = 8
FEW = 1  # sample of the moments, which are computed in float64
TIMEOUT_SECONDS = 300
METHODS: dict[str, dict[str, Any]] = {
    "min_max": {},
    "moving_average": {"smoothing": 0.95},
    "percentile": {"percentile": 99.99},
    "mse": {},
}
INT8 = {"scheme": "int8", "input_type": "int8", "output_type": "int8"}
ALGORITHMS = {"octav": "", "mse": "", "hadamard": "", "decomposed_hadamard": "", "gptq": "matrix", "oscar": "diagonal"}
STEPS = """
import json, sys
from pathlib import Path
from tflbuild.steps.calibration import litert_calibrate, litert_moments
from tflbuild.steps.quantization import litert_quantize
from tflbuild.runtime.step_contract import read_request
from tflbuild.tflite.tflite_reader import read_model
from tflbuild.steps.calibration.activation_observer import Observer, find_activations, measure_calls
from tflbuild.steps.datasets.sample_files import load_feeds
folder, calibrations = Path(sys.argv[1]), sys.argv[2:]
facts = {name: litert_calibrate.run(read_request(folder / name)) for name in calibrations}
for moments in folder.glob("moments-*"):
    facts[moments.name] = litert_moments.run(read_request(moments))
for quantize in folder.glob("quantize-*"):
    litert_quantize.run(read_request(quantize))
request = read_request(folder / "min_max")
signature, model = request.read_json("signature"), request.inputs["model"]
feeds = load_feeds(request.inputs["samples"], signature["key"])[signature["key"]]
activations = find_activations(read_model(model), signature["key"])
raw = measure_calls(Observer(model, signature, feeds, "xnnpack", activations))
made = {"facts": facts, "raw": {name: pairs.tolist() for name, pairs in raw.items()}}
(folder / "made.json").write_text(json.dumps(made))
"""


@dataclass(frozen=True)
class Made:
    """The results of one CPU for the float model and the samples.

    `ranges` are ranges.json by calibration, `models` the quantized ones by algorithm, `raw` what XNNPACK computes.
    """

    ranges: dict[str, bytes]
    models: dict[str, bytes]
    facts: dict[str, Any]
    raw: dict[str, Any]


@pytest.fixture(scope="module")
def materials(built, tmp_path_factory) -> dict[str, Path]:
    """The float model, its signature and a few calibration samples."""
    store, steps = Store(built.store), built.manifest()["steps"]
    record = store.read(steps["calibration samples"]["key"])
    whole = tmp_path_factory.mktemp("materials") / "whole"
    store.link_output(record.outputs["samples/"], whole)
    inputs, _ = load_samples(whole)
    samples = whole.parent / "samples"
    save_samples(samples, {name: array[:SAMPLES] for name, array in inputs.items()})
    save_samples(whole.parent / "few", {name: array[:FEW] for name, array in inputs.items()})
    return {
        "model.tflite": store.blob(steps["convert"]["outputs"]["model.tflite"]),
        "signature.json": store.blob(steps["import"]["outputs"]["signature.json"]),
        "samples": samples,
        "few": whole.parent / "few",
    }


def lay_out(folder: Path, params: dict[str, Any], inputs: dict[str, Path]) -> None:
    """A step's folder, as the executor lays it out."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    for name, source in inputs.items():
        (folder / "inputs" / name).symlink_to(source)
    names = {Path(name).stem: name for name in inputs}
    request = {"params": params, "inputs": names, "labels": {}, "section": ""}
    (folder / "input.json").write_text(json.dumps(request))


def make_on(cpu: str, folder: Path, materials: dict[str, Path]) -> Made:
    """The steps' outputs from that CPU."""
    calibrations = {method: {"method": method, "kernels": "fast", **more} for method, more in METHODS.items()}
    calibrations["reference"] = {"method": "min_max", "kernels": "reference"}
    for calibration, params in calibrations.items():
        lay_out(folder / calibration, params, {name: path for name, path in materials.items() if name != "few"})
    ranges = {calibration: folder / calibration / "outputs" / "ranges.json" for calibration in calibrations}
    model = {"model.tflite": materials["model.tflite"]}
    few = {**materials, "samples": materials["few"]}
    del few["few"]
    lay_out(folder / "quantize-min_max", INT8, {**model, "ranges.json": ranges["min_max"]})
    for algorithm, moments in ALGORITHMS.items():
        measured = {}
        if moments:
            lay_out(folder / f"moments-{moments}", {"moments": moments}, few)
            measured = {"moments.npz": folder / f"moments-{moments}" / "outputs" / "moments.npz"}
        params = {"scheme": "dynamic_int4", "algorithm": algorithm}
        lay_out(folder / f"quantize-{algorithm}", params, {**model, **measured})
    run_steps(cpu, folder, list(calibrations))
    models = {name: folder / f"quantize-{name}" / "outputs" / "model.tflite" for name in ("min_max", *ALGORITHMS)}
    made = json.loads((folder / "made.json").read_text())
    contents = [{name: path.read_bytes() for name, path in paths.items()} for paths in (ranges, models)]
    return Made(*contents, **made)


def run_steps(cpu: str, folder: Path, calibrations: list[str]) -> None:
    """The workers' code on that CPU, in a worker's environment."""
    emulator = [] if cpu == NATIVE else [str(EMULATOR), "-cpu", cpu]
    passed_on = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
    done = subprocess.run(
        [*emulator, sys.executable, "-c", STEPS, str(folder), *calibrations],
        env={**passed_on, **FIXED_VARIABLES, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(materials, tmp_path_factory) -> dict[str, Made]:
    """CPU -> what it made."""
    base = tmp_path_factory.mktemp("made")
    return {cpu: make_on(cpu, base / cpu, materials) for cpu in (NATIVE, *EMULATED)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cpu", EMULATED)
def test_every_cpu_finds_the_same_ranges(made: dict[str, Made], cpu: str, method: str):
    assert made[cpu].ranges[method] == made[NATIVE].ranges[method]


def test_every_kind_of_kernels_finds_the_same_ranges(made: dict[str, Made]):
    assert len({ranges for one in made.values() for ranges in (one.ranges["min_max"], one.ranges["reference"])}) == 1


@pytest.mark.parametrize("algorithm", ["min_max", *ALGORITHMS])
@pytest.mark.parametrize("cpu", EMULATED)
def test_every_cpu_makes_the_same_quantized_model(made: dict[str, Made], cpu: str, algorithm: str):
    assert made[cpu].models[algorithm] == made[NATIVE].models[algorithm]


def test_no_range_is_tied_to_a_cpu(made: dict[str, Made]):
    assert not any("tied" in facts for one in made.values() for facts in one.facts.values())


def test_the_kernels_themselves_compute_what_the_instruction_set_gives(made: dict[str, Made]):
    """Without the grid, ranges and bytes would differ: that is what the tests above show."""
    assert len({json.dumps(made[cpu].raw) for cpu in EMULATED}) > 1
