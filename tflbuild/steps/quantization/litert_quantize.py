"""The step `quantize` with engine `litert`: float .tflite -> quantized .tflite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from litert_quantizer import quantizer

from tflbuild.core.schemes import SCHEMES
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError
from tflbuild.steps.calibration.moments_file import load_moments
from tflbuild.steps.quantization.attention_masks import shrink_masks
from tflbuild.steps.quantization.computed_filters import convert_filters_in
from tflbuild.steps.quantization.constant_compression import narrow_constants
from tflbuild.steps.quantization.dead_channels import keep_biases
from tflbuild.steps.quantization.minimum_scales import widen_ranges
from tflbuild.steps.quantization.prelu import quantize_prelu
from tflbuild.steps.quantization.quantizer_algebra import fixed_order
from tflbuild.steps.quantization.quantizer_recipe import make_recipe
from tflbuild.steps.quantization.uint8_interface import convert_interface_to_uint8, quantize_raw_inputs, raw_ranges
from tflbuild.steps.quantization.unused_inputs_outputs import type_idle_interface
from tflbuild.tflite.buffer_placement import KEPT_BEHIND, has_buffers_behind, has_large_buffers, store_buffers_inside
from tflbuild.tflite.model_editing import parse_model, serialize_model
from tflbuild.tflite.rules import each_operator, find_asked_scheme, unmatched
from tflbuild.tflite.tflite_reader import read_model

UNMEASURED = re.compile(r"Failed to get quantization parameters for tensor: (\S+)\. Error: .* not found in")


def run(request: StepRequest) -> Facts:
    """Outputs model.tflite; facts: bytes, a note where weights stay behind the flatbuffer."""
    params = request.params
    model = request.inputs["model"].read_bytes()
    operators = find_operators(request.inputs["model"], params.get("rules", ()))
    model, ranges = shrink_masks(model, load_ranges(request, model))
    quantized = quantize(model, make_recipe(params, operators), ranges)
    if "algorithm" in params:
        plain = make_recipe({**params, "algorithm": "min_max"}, operators)
        require_difference(quantized, quantize(model, plain, ranges), params)
    path = request.outputs / "model.tflite"
    return {**write_artifact(path, quantized, params, ranges), "bytes": path.stat().st_size}


def write_artifact(path: Path, quantized: bytes, params: Any, ranges: Any = None) -> Facts:
    """Write what the quantizer made with what it cannot do added. Returns a note where buffers stay behind.

    The quantizer writes the buffers of a large model behind the flatbuffer, aligned. They are moved inside last, since
    the other changes serialize the model without alignment.
    """
    made = with_uint8(with_narrow_constants(quantize_left_prelu(quantized, params), params), params)
    made = with_idle_interface(made, params, ranges)
    if has_large_buffers(made):
        made = store_buffers_inside(made)
    path.write_bytes(made)
    return {"note": KEPT_BEHIND} if has_buffers_behind(made) else {}


def with_unique_names(model: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """(the model with no tensor of a body named as one before it, those names -> what they were).

    The quantizer knows tensors by name alone, and the branches of a condition and the bodies of a loop share theirs.
    What signatures run keeps its names: its ranges and rules go by them.
    """
    if schema.Model.GetRootAsModel(model, 0).SubgraphsLength() <= 1:  # most; `sensitivity` asks once an operator
        return model, {}
    root = parse_model(model)
    bodies = _bodies(root)
    seen = {tensor.name for graph in root.subgraphs if graph not in bodies for tensor in graph.tensors}
    renamed: dict[bytes, bytes] = {}
    for number, graph in enumerate(bodies):
        for tensor in graph.tensors:
            name, turn = tensor.name, 0
            while name and tensor.name in seen:
                turn += 1
                tensor.name = b"%s;%d.%d" % (name, number, turn)
            if tensor.name != name:
                renamed[tensor.name] = name
            seen.add(tensor.name)
    return (serialize_model(root), renamed) if renamed else (model, {})


def _bodies(root: Any) -> list[Any]:
    """The subgraphs that no signature runs."""
    run = {entry.subgraphIndex for entry in root.signatureDefs or ()} or {0}
    return [graph for number, graph in enumerate(root.subgraphs) if number not in run]


def with_names(model: bytes, renamed: Mapping[bytes, bytes]) -> bytes:
    """The model with these tensors called as they were."""
    if not renamed:
        return model
    root = parse_model(model)
    for graph in root.subgraphs:
        for tensor in graph.tensors:
            tensor.name = renamed.get(tensor.name, tensor.name)
    return serialize_model(root)


def find_operators(path: Path, rules: Any) -> list[tuple[str, str]]:
    """(operator, name) of all that rules may speak of. Raises WorkerError for a rule that nothing answers to."""
    if not rules:
        return []
    model = read_model(path)
    for index, why in unmatched(rules, model):
        raise WorkerError(
            f"rule {index + 1} of quantization.rules matches no operator",
            where="quantization.rules",
            why=why,
            next_step="`tflbuild sensitivity` with the same arguments lists the operators by name",
        )
    return [(op.name, name) for _, op, name in each_operator(model)]


def require_difference(quantized: bytes, plain: bytes, params: Any) -> None:
    """Raises WorkerError for an algorithm that could be applied nowhere: the quantizer would not say so."""
    if quantized == plain:
        raise WorkerError(
            f"quantization.algorithm={params['algorithm']} changes nothing in this model",
            where="quantization.algorithm",
            why="the LiteRT quantizer has it for none of the model's operators under this scheme"
            " (gptq and oscar are for FULLY_CONNECTED, rotations for that and EMBEDDING_LOOKUP)",
            next_step="quantization.algorithm=min_max, octav or mse",
        )


def quantize(model: bytes, recipe: Any, ranges: Any) -> bytes:
    """The quantizer's work. Raises WorkerError when it refuses."""
    given = deepcopy(ranges)  # its gptq writes into what it is given
    unique, renamed = with_unique_names(model)
    try:
        with fixed_order():
            result = quantizer.Quantizer(bytearray(unique), recipe).quantize(
                given, enable_progress_bar=False, enable_progress_report=False
            )
    except (ValueError, RuntimeError, NotImplementedError, TypeError) as error:
        raise WorkerError(
            "the LiteRT quantizer refused the model",
            kind="build",
            why=refusal(str(error), unique, renamed),
            next_step="the other engine may take it, or a scheme that leaves activations as they are\n"
            "`tflbuild doctor` with the same arguments tries them and says what works",
            fixes=("quantization.engine=converter", "source.fused_lstm=true", "quantization=dynamic_int8"),
        ) from error
    if result.quantized_model is None:
        raise WorkerError("the LiteRT quantizer gave no model", kind="build")
    made = bytes(result.quantized_model)
    root = parse_model(made)
    changed = [keep_biases(root, unique), convert_filters_in(root)]
    return with_names(serialize_model(root) if any(changed) else made, renamed)


def refusal(text: str, model: bytes, renamed: Mapping[bytes, bytes]) -> str:
    """What the quantizer says, or what it means where it knows no range of a tensor that nothing measures."""
    first = text.strip().split("\n")[0][:500]
    found = UNMEASURED.match(first)
    name = found[1].encode() if found else b""
    root = parse_model(model)
    if found is None or name not in {tensor.name for graph in _bodies(root) for tensor in graph.tensors}:
        return first
    was = renamed.get(name, name).decode("utf-8", "replace")
    return f"'{was}' is in the body of a loop or of a condition, whose activations the runtime does not show"


def load_ranges(request: StepRequest, model: bytes) -> dict[str, dict[str, np.ndarray]] | None:
    """What was measured: ranges, with those of raw inputs, which are known, and moments. None where nothing was."""
    found: dict[str, dict[str, np.ndarray]] = {}
    if "ranges" in request.inputs:
        measured = {**request.read_json("ranges"), **raw_ranges(model)}
        found |= statistics(
            widen_ranges(read_model(request.inputs["model"]), measured, request.params.get("scheme", ""))
        )
    if "moments" in request.inputs:
        for name, moments in load_moments(request.inputs["moments"]).items():
            found[name] = found.get(name, {}) | moments
    return found or None


def statistics(ranges: Any) -> dict[str, dict[str, np.ndarray]]:
    """The quantizer's form: float32 arrays of the tensor's rank, one element each."""
    return {
        name: {side: np.full([1] * entry["rank"], entry[side], np.float32) for side in ("min", "max")}
        for name, entry in ranges.items()
    }


def quantize_left_prelu(model: bytes, params: Any) -> bytes:
    """What the quantizer has no int8 for and the runtime does, in int8 where that was asked for."""

    def wanted(name: str) -> bool:
        return SCHEMES[find_asked_scheme(params["scheme"], params.get("rules", ()), "PRELU", name)].activations == 8

    return quantize_prelu(model, wanted)


def with_narrow_constants(model: bytes, params: Any) -> bytes:
    """Store what the quantizer leaves in float32 as the scheme says, or as the rule of its operator does."""

    def wanted(operator: str, name: str) -> str:
        return find_asked_scheme(params["scheme"], params.get("rules", ()), operator, name)

    # A recipe of integers that leaves a lookup to a rule gets no operator that its rules would have to speak of.
    static = SCHEMES[params["scheme"]].mode == "static"
    return narrow_constants(model, wanted, "per_tensor" if static else params.get("granularity", "per_channel"))


def with_idle_interface(model: bytes, params: Any, ranges: Any) -> bytes:
    """Give inputs that nothing reads, and constant outputs, the declared types."""
    if SCHEMES[params["scheme"]].mode != "static":
        return model
    known = {name: one for name, one in (ranges or {}).items() if "min" in one}
    measured = {name: (float(one["min"].min()), float(one["max"].max())) for name, one in known.items()}
    return type_idle_interface(model, params.get("input_type", ""), params.get("output_type", ""), measured)


def with_uint8(model: bytes, params: Any) -> bytes:
    """The quantizer knows int8 alone; uint8 borders are put around its work, and raw uint8 inputs are kept."""
    if params["scheme"] in ("int8", "int4"):
        model = quantize_raw_inputs(model)
    inputs = params.get("input_type") == "uint8"
    outputs = params.get("output_type") == "uint8"
    return convert_interface_to_uint8(model, inputs=inputs, outputs=outputs) if inputs or outputs else model
