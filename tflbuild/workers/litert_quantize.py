"""The step `quantize` with engine `litert`: float .tflite -> quantized .tflite."""

from __future__ import annotations

from typing import Any

import numpy as np
from litert_quantizer import qtyping, quantizer, recipe, recipe_manager
from litert_quantizer.algorithm_manager import AlgorithmName

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.uint8_interface import give_uint8, quantize_raw_inputs, raw_ranges


def run(request: Request) -> Facts:
    """Outputs model.tflite; facts: bytes."""
    model = request.inputs["model"].read_bytes()
    ranges = None
    if "ranges" in request.inputs:
        ranges = statistics({**request.read_json("ranges"), **raw_ranges(model)})
    rules = SCHEMES[request.params["scheme"]](request.params)
    try:
        result = quantizer.Quantizer(bytearray(model), rules).quantize(
            ranges, enable_progress_bar=False, enable_progress_report=False
        )
    except (ValueError, RuntimeError) as error:
        raise WorkerError(
            "the LiteRT quantizer refused the model",
            kind="build",
            why=str(error).strip().split("\n")[0][:500],
            next_step="the other engine may take it, or a scheme that leaves activations as they are:\n"
            "`tflbuild doctor` with the same arguments tries them and says what works",
            fixes=("quantization.engine=converter", "source.fused_lstm=true", "quantization=dynamic_int8"),
        ) from error
    if result.quantized_model is None:
        raise WorkerError("the LiteRT quantizer gave no model", kind="build")
    path = request.outputs / "model.tflite"
    path.write_bytes(with_uint8(bytes(result.quantized_model), request.params))
    return {"bytes": path.stat().st_size}


def statistics(ranges: Any) -> dict[str, dict[str, np.ndarray]]:
    """The quantizer's form: float32 arrays of the tensor's rank, one element each."""
    return {
        name: {side: np.full([1] * entry["rank"], entry[side], np.float32) for side in ("min", "max")}
        for name, entry in ranges.items()
    }


def float16(_: Any) -> Any:
    """Weights cast to float16 and widened again before use."""
    rules = recipe_manager.RecipeManager()
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    rules.add_quantization_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        algorithm_key=AlgorithmName.FLOAT_CASTING,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
    )
    return rules.get_quantization_recipe()


def dynamic_int8(_: Any) -> Any:
    """dynamic_wi8_afp32: weights int8 per channel, activations as they come."""
    return recipe.dynamic_wi8_afp32()


def int8(params: Any) -> Any:
    """static_wi8_ai8: weights int8 per channel, activations int8 per tensor; float32 borders where asked for."""
    return borders(recipe.static_wi8_ai8(), params)


def borders(preset: Any, params: Any) -> Any:
    """A preset whose inputs and outputs stay float32 where that is asked for."""
    rules = list(preset)
    for operation, wanted in (("INPUT", params["input_type"]), ("OUTPUT", params["output_type"])):
        if wanted == "float32":
            rules.append({"regex": ".*", "operation": operation, "algorithm_key": "no_quantize", "op_config": {}})
    return rules


def int16x8(params: Any) -> Any:
    """static_wi8_ai16: weights int8 per channel, activations int16, symmetric; float32 borders where asked for."""
    return borders(recipe.static_wi8_ai16(), params)


def with_uint8(model: bytes, params: Any) -> bytes:
    """The quantizer knows int8 alone; uint8 borders are put around its work, and raw uint8 inputs are kept."""
    if params["scheme"] == "int8":
        model = quantize_raw_inputs(model)
    inputs = params.get("input_type") == "uint8"
    outputs = params.get("output_type") == "uint8"
    return give_uint8(model, inputs=inputs, outputs=outputs) if inputs or outputs else model


SCHEMES = {"float16": float16, "dynamic_int8": dynamic_int8, "int8": int8, "int16x8": int16x8}
