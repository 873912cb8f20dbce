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
from tflbuild.steps.quantization.constant_compression import compress_constants
from tflbuild.steps.quantization.dead_channels import keep_biases
from tflbuild.steps.quantization.minimum_scales import enlarge_ranges
from tflbuild.steps.quantization.prelu import quantize_prelu
from tflbuild.steps.quantization.quantizer_algebra import fixed_order
from tflbuild.steps.quantization.quantizer_recipe import make_recipe
from tflbuild.steps.quantization.uint8_interface import convert_interface_to_uint8, find_raw_ranges, quantize_raw_inputs
from tflbuild.steps.quantization.unused_inputs_outputs import type_unused_inputs_outputs
from tflbuild.tflite.buffer_placement import KEPT_BEHIND, has_buffers_behind, has_large_buffers, store_buffers_inside
from tflbuild.tflite.model_editing import parse_model, serialize_model
from tflbuild.tflite.rules import each_operator, find_declared_scheme, unmatched
from tflbuild.tflite.tflite_reader import read_model

# The quantizer's error for a tensor without a range. The group is the name of the tensor.
MISSING_RANGE = re.compile(r"Failed to get quantization parameters for tensor: (\S+)\. Error: .* not found in")


def run(request: StepRequest) -> Facts:
    """Quantize the float model of a request, and write model.tflite.

    Args:
        request: Input `model` (float .tflite), and optionally `ranges` (JSON) and `moments` of its activations.
            Parameters: those of `quantizer_recipe.make_recipe`, and `input_type` and `output_type`.

    Returns:
        The facts `bytes`, and `note` where weights stay after the flatbuffer.

    Raises:
        WorkerError: The quantizer refused the model, a rule matches no operator, or the algorithm changes nothing.
    """
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
    """Apply the changes that the quantizer cannot make, and write the model to `path`.

    The quantizer stores the buffers of a large model after the flatbuffer, aligned. They are moved inside it last,
    because the other changes serialize the model without alignment.

    Returns:
        The fact `note` where buffers stay after the flatbuffer, else no facts.
    """
    model = with_uint8(compress_float_constants(quantize_remaining_prelu(quantized, params), params), params)
    model = type_unused_interface(model, params, ranges)
    if has_large_buffers(model):
        model = store_buffers_inside(model)
    path.write_bytes(model)
    return {"note": KEPT_BEHIND} if has_buffers_behind(model) else {}


def with_unique_names(model: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Rename tensors in bodies of loops and conditions whose names occur earlier in the model.

    The quantizer identifies tensors by name only, and the branches of a condition and the bodies of a loop share names.
    Tensors of subgraphs that signatures run keep their names, because ranges and rules refer to them.

    Returns:
        The model, and a mapping from each new name to the original one.
    """
    # Most models have one subgraph, and `sensitivity` calls this once for every operator: parsing would be slow.
    if schema.Model.GetRootAsModel(model, 0).SubgraphsLength() <= 1:
        return model, {}
    root = parse_model(model)
    bodies = _bodies(root)
    used_names = {tensor.name for graph in root.subgraphs if graph not in bodies for tensor in graph.tensors}
    original_names: dict[bytes, bytes] = {}
    for number, graph in enumerate(bodies):
        for tensor in graph.tensors:
            name, attempt = tensor.name, 0
            while name and tensor.name in used_names:
                attempt += 1
                tensor.name = b"%s;%d.%d" % (name, number, attempt)
            if tensor.name != name:
                original_names[tensor.name] = name
            used_names.add(tensor.name)
    return (serialize_model(root), original_names) if original_names else (model, {})


def _bodies(root: Any) -> list[Any]:
    """Return the subgraphs that no signature runs: the bodies of loops and conditions."""
    signature_graphs = {entry.subgraphIndex for entry in root.signatureDefs or ()} or {0}
    return [graph for number, graph in enumerate(root.subgraphs) if number not in signature_graphs]


def restore_names(model: bytes, original_names: Mapping[bytes, bytes]) -> bytes:
    """Return the model with its renamed tensors given their original names again."""
    if not original_names:
        return model
    root = parse_model(model)
    for graph in root.subgraphs:
        for tensor in graph.tensors:
            tensor.name = original_names.get(tensor.name, tensor.name)
    return serialize_model(root)


def find_operators(path: Path, rules: Any) -> list[tuple[str, str]]:
    """Return (operator, name) of every operator to which a rule can apply. Without rules the list is empty.

    Raises:
        WorkerError: A rule matches no operator.
    """
    if not rules:
        return []
    model = read_model(path)
    for index, reason in unmatched(rules, model):
        raise WorkerError(
            f"rule {index + 1} of quantization.rules matches no operator",
            where="quantization.rules",
            why=reason,
            next_step="`tflbuild sensitivity` with the same arguments lists the operators by name",
        )
    return [(op.name, name) for _, op, name in each_operator(model)]


def require_difference(quantized: bytes, plain: bytes, params: Any) -> None:
    """Check that the chosen algorithm changed the model.

    The quantizer does not report that an algorithm was applied to no operator.

    Args:
        quantized: The model quantized with the algorithm.
        plain: The model quantized with `min_max`.
        params: The parameters of the step.

    Raises:
        WorkerError: Both models have the same bytes.
    """
    if quantized == plain:
        raise WorkerError(
            f"quantization.algorithm={params['algorithm']} changes nothing in this model",
            where="quantization.algorithm",
            why="the LiteRT quantizer implements it for no operator of this model under this scheme"
            " (gptq and oscar support FULLY_CONNECTED, rotations support that and EMBEDDING_LOOKUP)",
            next_step="quantization.algorithm=min_max, octav or mse",
        )


def quantize(model: bytes, recipe: Any, ranges: Any) -> bytes:
    """Quantize a float model with the LiteRT quantizer.

    Args:
        model: The bytes of a float .tflite.
        recipe: The quantizer's recipe, see `quantizer_recipe.make_recipe`.
        ranges: Tensor name -> {`min`, `max`, moments: float32 arrays}, or None for schemes without static activations.

    Returns:
        The bytes of the quantized model, with the tensor names of the float model.

    Raises:
        WorkerError: The quantizer refused the model or returned none.
    """
    # The quantizer's gptq writes into its arguments.
    copied_ranges = deepcopy(ranges)
    unique, original_names = with_unique_names(model)
    try:
        with fixed_order():
            result = quantizer.Quantizer(bytearray(unique), recipe).quantize(
                copied_ranges, enable_progress_bar=False, enable_progress_report=False
            )
    except (ValueError, RuntimeError, NotImplementedError, TypeError) as error:
        raise WorkerError(
            "the LiteRT quantizer refused the model",
            kind="build",
            why=explain_refusal(str(error), unique, original_names),
            next_step="try the other engine, or a scheme that keeps activations in float\n"
            "`tflbuild doctor` with the same arguments tries them and says what works",
            fixes=("quantization.engine=converter", "source.fused_lstm=true", "quantization=dynamic_int8"),
        ) from error
    if result.quantized_model is None:
        raise WorkerError("the LiteRT quantizer returned no model", kind="build")
    quantized = bytes(result.quantized_model)
    root = parse_model(quantized)
    changed = [keep_biases(root, unique), convert_filters_in(root)]
    return restore_names(serialize_model(root) if any(changed) else quantized, original_names)


def explain_refusal(text: str, model: bytes, original_names: Mapping[bytes, bytes]) -> str:
    """Return the reason for which the quantizer refused a model.

    This is the first line of its error. If the quantizer lacks the range of a tensor that no calibration can measure,
    the reason names that tensor by its original name.
    """
    first = text.strip().split("\n")[0][:500]
    match = MISSING_RANGE.match(first)
    name = match[1].encode() if match else b""
    root = parse_model(model)
    if match is None or name not in {tensor.name for graph in _bodies(root) for tensor in graph.tensors}:
        return first
    original = original_names.get(name, name).decode("utf-8", "replace")
    return f"'{original}' is in the body of a loop or of a condition, whose activations the runtime does not show"


def load_ranges(request: StepRequest, model: bytes) -> dict[str, dict[str, np.ndarray]] | None:
    """Return the measured ranges and moments of a model's tensors, or None if the request has none.

    The ranges of raw uint8 inputs are known without measurement, and are added.

    Returns:
        Tensor name -> {`min`, `max`, moments: float32 arrays}.
    """
    loaded: dict[str, dict[str, np.ndarray]] = {}
    if "ranges" in request.inputs:
        measured = {**request.read_json("ranges"), **find_raw_ranges(model)}
        loaded |= convert_ranges(
            enlarge_ranges(read_model(request.inputs["model"]), measured, request.params.get("scheme", ""))
        )
    if "moments" in request.inputs:
        for name, moments in load_moments(request.inputs["moments"]).items():
            loaded[name] = loaded.get(name, {}) | moments
    return loaded or None


def convert_ranges(ranges: Any) -> dict[str, dict[str, np.ndarray]]:
    """Convert ranges to the form of the quantizer.

    Args:
        ranges: Tensor name -> {min, max, rank}.

    Returns:
        Tensor name -> {`min`, `max`: float32 arrays of the tensor's rank with one element}.
    """
    return {
        name: {side: np.full([1] * range_["rank"], range_[side], np.float32) for side in ("min", "max")}
        for name, range_ in ranges.items()
    }


def quantize_remaining_prelu(model: bytes, params: Any) -> bytes:
    """Quantize PRELU to int8 where the scheme or a rule requires it.

    The runtime has an int8 kernel for PRELU, but the quantizer keeps it in float.
    """

    def is_int8(name: str) -> bool:
        return SCHEMES[find_declared_scheme(params["scheme"], params.get("rules", ()), "PRELU", name)].activations == 8

    return quantize_prelu(model, is_int8)


def compress_float_constants(model: bytes, params: Any) -> bytes:
    """Store constants that the quantizer leaves in float32 as the scheme or the rule of their operator says."""

    def scheme_of(operator: str, name: str) -> str:
        return find_declared_scheme(params["scheme"], params.get("rules", ()), operator, name)

    # A scale for each row of a lookup table adds operators. Under a static scheme rules would have to cover them.
    static = SCHEMES[params["scheme"]].mode == "static"
    return compress_constants(model, scheme_of, "per_tensor" if static else params.get("granularity", "per_channel"))


def type_unused_interface(model: bytes, params: Any, ranges: Any) -> bytes:
    """Give inputs that no operator reads, and outputs that are constants, the declared types."""
    if SCHEMES[params["scheme"]].mode != "static":
        return model
    with_range = {name: entry for name, entry in (ranges or {}).items() if "min" in entry}
    measured = {name: (float(entry["min"].min()), float(entry["max"].max())) for name, entry in with_range.items()}
    return type_unused_inputs_outputs(model, params.get("input_type", ""), params.get("output_type", ""), measured)


def with_uint8(model: bytes, params: Any) -> bytes:
    """The quantizer knows int8 alone; uint8 borders are put around its work, and raw uint8 inputs are kept."""
    if params["scheme"] in ("int8", "int4"):
        model = quantize_raw_inputs(model)
    inputs = params.get("input_type") == "uint8"
    outputs = params.get("output_type") == "uint8"
    return convert_interface_to_uint8(model, inputs=inputs, outputs=outputs) if inputs or outputs else model
