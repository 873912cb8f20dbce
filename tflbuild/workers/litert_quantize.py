"""The step `quantize` with engine `litert`: float .tflite -> quantized .tflite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import _pywrap_modify_model_interface as interface
from litert_quantizer import qtyping, quantizer, recipe, recipe_manager
from litert_quantizer.algorithm_manager import AlgorithmName

from tflbuild.workers.contract import Facts, Request, WorkerError

TFLITE_TYPES = {"float32": 1, "uint8": 3, "int8": 9}  # TfLiteType of tensorflow/lite/core/c/c_api_types.h


def run(request: Request) -> Facts:
    """Outputs model.tflite; facts: bytes."""
    model = request.inputs["model"].read_bytes()
    ranges = None
    if request.params["scheme"] == "int8":
        ranges = statistics(request.read_json("ranges"))
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
            next_step="quantization.engine=converter may take it",
        ) from error
    if result.quantized_model is None:
        raise WorkerError("the LiteRT quantizer gave no model", kind="build")
    path = request.outputs / "model.tflite"
    path.write_bytes(bytes(result.quantized_model))
    set_interface(path, request)
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
    """static_wi8_ai8: weights int8 per channel, activations int8 per tensor.

    uint8 is not in the quantizer's reach: where it is asked for, inputs and outputs are left float
    here and `set_interface` gives them their types.
    """
    rules = list(recipe.static_wi8_ai8())
    wanted = {"INPUT": params["input_type"], "OUTPUT": params["output_type"]}
    for operation, io_type in wanted.items():
        if io_type != "int8" or "uint8" in wanted.values():
            rules.append({"regex": ".*", "operation": operation, "algorithm_key": "no_quantize", "op_config": {}})
    return rules


SCHEMES = {"float16": float16, "dynamic_int8": dynamic_int8, "int8": int8}


def set_interface(path: Path, request: Request) -> None:
    """Give the float inputs and outputs of an int8 model their types where one is uint8."""
    wanted = {side: request.params.get(f"{side}_type", "float32") for side in ("input", "output")}
    if "uint8" not in wanted.values():
        return
    made = request.folder / "interface.tflite"
    status = interface.modify_model_interface(
        str(path), str(made), TFLITE_TYPES[wanted["input"]], TFLITE_TYPES[wanted["output"]]
    )
    if status != 0 or not made.is_file():
        raise WorkerError(
            f"LiteRT could not give the model {wanted['input']} inputs and {wanted['output']} outputs",
            kind="build",
            why=f"modify_model_interface ended with status {status}",
            next_step="quantization.engine=converter may take it",
        )
    made.replace(path)
