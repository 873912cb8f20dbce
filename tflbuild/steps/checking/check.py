"""The step `check`: the artifact itself is read, and must be what the recipe declared.

Where no verification follows, it is run once too: an artifact that no runtime can run is none.
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
FILE_PORT = "file:"  # what the inputs that are files of `metadata` begin with

# What may be declared instead, the nearest first; an override that is already there changes nothing.
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
    """Outputs check.json: contents, size when packed, I/O contract, and of an optimized model how its weights pack.

    Raises WorkerError with every finding.
    """
    model, source = read_model(request.inputs["model"]), read_model(request.inputs["float"])
    signature = request.read_json("signature")
    findings = [
        *check_declarations(model, request.params, signature, measured_ranges(request)),
        *examine_layout(model, source, request, signature),
    ]
    path = request.inputs["model"]
    report = describe_model(model, read_metadata(path)) | {"gzip_bytes": weight_statistics.gzip_bytes(path)}
    more, constants = examine_constants(request, model, source)
    findings += more
    report |= constants | {"random_operators": list_random_operators(model)}
    if "optimized" in request.inputs:
        weights, optimized = weight_statistics.measure(request.inputs["model"], model), request.read_json("optimized")
        findings += weight_statistics.find_lost_weights(weights, optimized)
        asked = {name: bool(optimized[name]) for name in ("pruned", "clustered")}
        report["weights"] = weight_statistics.describe(weights) | asked
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
            next_step="another engine (quantization.engine), a rule that leaves operators in float, or another scheme\n"
            "`tflbuild doctor` with the same arguments tries them and says what works",
            fixes=FIXES.get(request.params["scheme"], ()),
            operators=make_rule_selectors(model, [operator for finding in findings for operator in finding.operators]),
        )
    if "run" in request.params:
        run_once(request, model, signature)
    return report


def examine_constants(request: StepRequest, model: Model, source: Model) -> tuple[list[Finding], Facts]:
    """Findings about what is stored, and of a quantized artifact what stays wider than the scheme says, as JSON."""
    params, buffers = request.params, read_buffers(request.inputs["model"])
    if params["scheme"] == "none":
        return list(check_finite(model, buffers, None, ())), {}
    source_buffers = read_buffers(request.inputs["float"])
    findings = list(check_finite(model, buffers, source, source_buffers))
    findings += check_agreement(model, buffers, source, source_buffers, params)
    if "ranges" in request.inputs:
        masked = list_masked(request.inputs["float"].read_bytes()) if source.op_counts().get("SOFTMAX") else set()
        findings += check_ranges(model, request.read_json("ranges"), masked)
    unread, known = (
        constant_size_check.count_unread(one, data, read_metadata_buffers(request.inputs[name]))
        for name, one, data in (("model", model, buffers), ("float", source, source_buffers))
    )
    findings += constant_size_check.check_unread(unread, known)
    constants = constant_size_check.list_constants(model)
    exemptions = constant_size_check.find_exemptions(constants, params)
    float_bytes = sum(constant.bytes for constant in constant_size_check.list_constants(source))
    findings += constant_size_check.check_budget(exemptions, float_bytes)
    copies = constant_size_check.find_copies(constants, buffers)
    return findings, {"constants": constant_size_check.describe_constants(constants, exemptions, copies)}


def examine_layout(
    model: Model, source: Model, request: StepRequest, signature: Mapping[str, Any]
) -> Iterator[Finding]:
    """Every finding about scales, zero points, metadata, and the order of inputs and outputs."""
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
    """One call of an artifact that no other step will run: a kernel may refuse what converted.

    Then on seeded random numbers twice: outputs must be finite and the same in a fresh interpreter.
    On zeros, and where these are refused on ones, since not every function is defined at zero. Raises WorkerError when
    both are. Sizes that are free within a sample, strings, and operators that no Python package has, cannot be tried
    like this, and the log says so.
    """
    shapes = [tuple(spec["shape"] or (None, None)) for spec in signature["inputs"]]
    told = any(spec["dtype"] == "string" for spec in signature["inputs"]) or any(None in one[1:] for one in shapes)
    if told or model.flex_ops() or model.custom_ops():
        print("not tried: it takes strings or free sizes, or operators that no Python package has")
        return
    run = request.params["run"]

    def call(feed: Arrays | None) -> tuple[Arrays, dict[str, Any]]:
        running = open_signature(request.inputs["model"], signature["key"], run["delegate"], run["threads"])
        return ({} if feed is None else running(feed)), running.runner.get_input_details()

    _, takes = call(None)
    blank = {name: zeros(detail) for name, detail in takes.items()}
    try:
        call(blank)
    except WorkerError:
        print("refused on zeros; tried on ones")
        call({name: np.ones_like(values) for name, values in blank.items()})
        return
    if signature.get("stateful") or list_random_operators(model):
        return
    feed = {name: draw(detail) for name, detail in takes.items()}
    try:
        outputs, _ = call(feed)
    except WorkerError:
        print("refused on random numbers; tried on zeros")
        return
    require_finite(outputs, "random samples (verify on real ones where the function is not defined for all numbers)")
    require_same(outputs, call(feed)[0])


def draw(detail: Mapping[str, Any]) -> np.ndarray:
    """Seeded random numbers for an input: real ones in 0..1, all integers of a quantized type, 0 and 1 of others."""
    random, kind = np.random.default_rng(0), np.dtype(detail["dtype"])
    if kind.kind == "f":
        drawn = random.random(detail["shape"])
    elif kind.kind in "iu" and len(detail["quantization_parameters"]["scales"]):
        limits = np.iinfo(kind)
        drawn = random.integers(limits.min, limits.max, detail["shape"], endpoint=True)
    else:
        drawn = random.integers(0, 2, detail["shape"])
    return np.asarray(drawn, kind)


def measured_ranges(request: StepRequest) -> dict[str, tuple[float, float]]:
    """Least and greatest calibration value, by tensor where we calibrated, by input where the converter did.

    Trained ranges stand where there are such.
    """
    trained = request.read_json("trained").get("inputs") if "trained" in request.inputs else None
    if trained:
        return {name: (entry["min"], entry["max"]) for name, entry in trained.items()}
    if "ranges" in request.inputs:
        return {name: (entry["min"], entry["max"]) for name, entry in request.read_json("ranges").items()}
    if "samples" in request.inputs:
        inputs, _ = load_samples(request.inputs["samples"])
        return {name: (float(array.min()), float(array.max())) for name, array in inputs.items()}
    return {}
