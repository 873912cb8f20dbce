"""The step `convert`: it converts a SavedModel snapshot to a float .tflite."""

from __future__ import annotations

from tflbuild.core.cpu_dependence import add_cpu_dependence
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.conversion.constant_transposes import fold_layout
from tflbuild.steps.conversion.tf_converter import builtins, convert, open_converter
from tflbuild.steps.folding.fake_quant import remove_fake_quant
from tflbuild.steps.folding.unfolded_operators import read_unfolded


def run(request: StepRequest) -> Facts:
    """Run the step. Its outputs are `model.tflite`, and `trained.json` with the ranges of quantization-aware training.

    Returns:
        Facts: `bytes`, the CPU dependences, and a `note` if there is one.

    Raises:
        WorkerError: The model cannot be converted.
    """
    converter = open_converter(request)
    converter.target_spec.supported_ops = builtins(request.params["select_tf"])
    path = request.outputs / "model.tflite"
    buffer_note = convert(converter, path, request)
    trained = remove_fake_quant(path, request.inputs["snapshot"])
    for name in fold_layout(path) if trained else ():
        trained["tensors"].pop(name, None)
    request.write_json("trained.json", trained)
    ranges = f"ranges of {len(trained['tensors'])} activations come from quantization-aware training" if trained else ""
    note = "; ".join(filter(None, (ranges, buffer_note)))
    facts: Facts = {"bytes": path.stat().st_size, **({"note": note} if note else {})}
    return add_cpu_dependence(facts, read_unfolded(request.inputs["snapshot"]))
