"""The step `check`: it reads the artifact itself and compares it with the recipe.

If no step runs the artifact later, `check` also runs it once: an artifact that no runtime can run is not valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.checking import constant_size_check, weight_statistics
from tflbuild.steps.checking.constant_value_checks import check_finite
from tflbuild.steps.checking.declaration_checks import check_declarations
from tflbuild.steps.checking.findings import Finding
from tflbuild.steps.checking.float_model_comparison import check_agreement, check_ranges
from tflbuild.steps.checking.metadata_check import check_metadata
from tflbuild.steps.checking.scale_and_order_checks import (
    check_converter_options,
    check_granularity,
    check_order,
    check_zero_points,
)
from tflbuild.steps.datasets.sample_files import Arrays, load_samples
from tflbuild.steps.quantization.attention_masks import list_masked
from tflbuild.steps.verification.repeatability import list_random_operators, require_finite, require_same
from tflbuild.tflite.contents_json import describe_model
from tflbuild.tflite.interpreters import open_signature, zeros
from tflbuild.tflite.rules import make_rule_selectors
from tflbuild.tflite.tflite_metadata import read_metadata
from tflbuild.tflite.tflite_model import Model
from tflbuild.tflite.tflite_reader import read_buffers, read_metadata_buffers, read_model

SHOWN_FINDINGS = 5
# The prefix of step inputs that are files of `metadata`.
FILE_PORT = "file:"

# Scheme -> overrides that may repair the build, the smallest change first. Overrides already in effect are ignored.
FIXES = {
    "int8": (
        "quantization.engine=converter",
        "quantization.engine=litert",
        "quantization=int16x8",
        "quantization=dynamic_int8",
        "quantization=float16",
    ),
    "int16x8": (
        "quantization.engine=converter",
        "quantization.engine=litert",
        "quantization=dynamic_int8",
        "quantization=float16",
    ),
    "dynamic_int8": ("quantization.engine=converter", "quantization=float16"),
}


def run(request: StepRequest) -> Facts:
    """Check the artifact, and write check.json.

    Args:
        request: Inputs `model` (the artifact), `float` (the float model) and `signature`, and optionally `ranges`,
            `trained`, `samples`, `optimized` and files of `metadata`. With the parameter `run`, the artifact is run
            once.

    Returns:
        The content of check.json: the contents of the artifact, its size when compressed, its constants, and for a
        model with training before conversion how well its weights compress.

    Raises:
        WorkerError: The artifact is not what the recipe declares. The error lists the findings.
    """
    model, source = read_model(request.inputs["model"]), read_model(request.inputs["float"])
    signature = request.read_json("signature")
    findings = [
        *check_declarations(model, request.params, signature, read_input_ranges(request)),
        *examine_layout(model, source, request, signature),
    ]
    path = request.inputs["model"]
    report = describe_model(model, read_metadata(path)) | {"gzip_bytes": weight_statistics.measure_gzip_bytes(path)}
    constant_findings, constants = examine_constants(request, model, source)
    findings += constant_findings
    report |= constants | {"random_operators": list_random_operators(model)}
    if "optimized" in request.inputs:
        weights, optimized = weight_statistics.measure(request.inputs["model"], model), request.read_json("optimized")
        findings += weight_statistics.find_lost_weights(weights, optimized)
        requested = {name: bool(optimized[name]) for name in ("pruned", "clustered")}
        report["weights"] = weight_statistics.describe(weights) | requested
    request.write_json("check.json", report)
    if findings:
        shown = [f"{finding.rule}: {finding.text}" for finding in findings[:SHOWN_FINDINGS]]
        if len(findings) > SHOWN_FINDINGS:
            shown.append(f"and {len(findings) - SHOWN_FINDINGS} more, in the step's log")
        for finding in findings:
            print(f"{finding.rule}: {finding.text}")
        raise WorkerError(
            f"the artifact is not what the recipe declares (quantization={request.params['scheme']})",
            kind="build",
            why="\n".join(shown),
            next_step="try another quantization.engine, a rule that keeps operators in float, or another scheme\n"
            "`tflbuild doctor` with the same arguments tries them and says what works",
            fixes=FIXES.get(request.params["scheme"], ()),
            operators=make_rule_selectors(model, [operator for finding in findings for operator in finding.operators]),
        )
    if "run" in request.params:
        run_once(request, model, signature)
    return report


def examine_constants(request: StepRequest, model: Model, source: Model) -> tuple[list[Finding], Facts]:
    """Check the constants of the artifact.

    Args:
        request: The request of the step.
        model: The artifact.
        source: The float model.

    Returns:
        The findings, and for a quantized artifact the fact `constants`, with those stored in more bits than the scheme
        says.
    """
    params, buffers = request.params, read_buffers(request.inputs["model"])
    if params["scheme"] == "none":
        return list(check_finite(model, buffers, None, ())), {}
    source_buffers = read_buffers(request.inputs["float"])
    findings = list(check_finite(model, buffers, source, source_buffers))
    findings += check_agreement(model, buffers, source, source_buffers, params)
    if "ranges" in request.inputs:
        masked = list_masked(request.inputs["float"].read_bytes()) if source.op_counts().get("SOFTMAX") else set()
        findings += check_ranges(model, request.read_json("ranges"), masked)
    unused_bytes, source_unused_bytes = (
        constant_size_check.count_unused(contents, data, read_metadata_buffers(request.inputs[name]))
        for name, contents, data in (("model", model, buffers), ("float", source, source_buffers))
    )
    findings += constant_size_check.check_unused(unused_bytes, source_unused_bytes)
    constants = constant_size_check.list_constants(model)
    exemptions = constant_size_check.find_exemptions(constants, params)
    float_bytes = sum(constant.bytes for constant in constant_size_check.list_constants(source))
    findings += constant_size_check.check_budget(exemptions, float_bytes)
    copies = constant_size_check.find_copies(constants, buffers)
    return findings, {"constants": constant_size_check.describe_constants(constants, exemptions, copies)}


def examine_layout(
    model: Model, source: Model, request: StepRequest, signature: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield the findings about scales, zero points, metadata, and the order of inputs and outputs."""
    params = request.params
    if "granularity" in params:
        yield from check_granularity(model, params["granularity"])
    if "converter" in params:
        yield from check_converter_options(model, params["converter"])
    if params.get("symmetric"):
        yield from check_zero_points(model)
    if "metadata" in params:
        files = {
            name.removeprefix(FILE_PORT): path.read_bytes()
            for name, path in request.inputs.items()
            if name.startswith(FILE_PORT)
        }
        yield from check_metadata(model, request.inputs["model"], params["metadata"], signature["key"], files)
    yield from check_order(model, source, signature, not params["own_order"])


def run_once(request: StepRequest, model: Model, signature: Mapping[str, Any]) -> None:
    """Run an artifact that no other step will run, because a kernel may refuse what the converter made.

    First it runs on zeros, or on ones if zeros are refused, since not every function is defined at zero. Then it runs
    twice on seeded random numbers: outputs must be finite, and equal in a new interpreter. Models with strings, dynamic
    dimensions within a sample, or operators that no Python package has, cannot be run like this. The log says so.

    Raises:
        WorkerError: The artifact runs neither on zeros nor on ones, or outputs are not finite or not repeatable.
    """
    shapes = [tuple(spec["shape"] or (None, None)) for spec in signature["inputs"]]
    has_strings = any(spec["dtype"] == "string" for spec in signature["inputs"])
    has_dynamic_sizes = any(None in shape[1:] for shape in shapes)
    if has_strings or has_dynamic_sizes or model.flex_ops() or model.custom_ops():
        print("not run: it has string inputs, dynamic dimensions, or operators that no Python package has")
        return
    run = request.params["run"]

    def call(feed: Arrays | None) -> tuple[Arrays, dict[str, Any]]:
        runner = open_signature(request.inputs["model"], signature["key"], run["delegate"], run["threads"])
        return ({} if feed is None else runner(feed)), runner.runner.get_input_details()

    _, details = call(None)
    blank = {name: zeros(detail) for name, detail in details.items()}
    try:
        call(blank)
    except WorkerError:
        print("the runtime refused zeros; running on ones")
        call({name: np.ones_like(values) for name, values in blank.items()})
        return
    if signature.get("stateful") or list_random_operators(model):
        return
    feed = {name: draw_random(detail) for name, detail in details.items()}
    try:
        outputs, _ = call(feed)
    except WorkerError:
        print("the runtime refused random numbers; it has run on zeros")
        return
    require_finite(outputs, "random samples (verify on real ones where the function is not defined for all numbers)")
    require_same(outputs, call(feed)[0])


def draw_random(detail: Mapping[str, Any]) -> np.ndarray:
    """Return seeded random numbers for an input.

    Real numbers are between 0 and 1. Quantized integers cover their whole type, other integers are 0 or 1.

    Args:
        detail: The input as the interpreter describes it: `dtype`, `shape`, `quantization_parameters`.
    """
    random, dtype = np.random.default_rng(0), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        values = random.random(detail["shape"])
    elif dtype.kind in "iu" and len(detail["quantization_parameters"]["scales"]):
        limits = np.iinfo(dtype)
        values = random.integers(limits.min, limits.max, detail["shape"], endpoint=True)
    else:
        values = random.integers(0, 2, detail["shape"])
    return np.asarray(values, dtype)


def read_input_ranges(request: StepRequest) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest calibration value of inputs.

    The keys are tensor names if the step `calibrate` measured them, and input names if TFLiteConverter did. Trained
    ranges take precedence.
    """
    trained = request.read_json("trained").get("inputs") if "trained" in request.inputs else None
    if trained:
        return {name: (range_["min"], range_["max"]) for name, range_ in trained.items()}
    if "ranges" in request.inputs:
        return {name: (range_["min"], range_["max"]) for name, range_ in request.read_json("ranges").items()}
    if "samples" in request.inputs:
        inputs, _ = load_samples(request.inputs["samples"])
        return {name: (float(array.min()), float(array.max())) for name, array in inputs.items()}
    return {}
