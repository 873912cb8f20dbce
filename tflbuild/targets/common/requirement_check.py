"""Comparison of the artifact with the requirements of a target profile.

The recipe is compared with the same requirements before anything is built
(`config.freezing.target_requirement_checks`). This module finds what only the file shows, as for a .tflite source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tflbuild.core.target_requirements import TargetRequirements
from tflbuild.core.verdict import Fallback
from tflbuild.targets.common.rules import OperatorView, each_view
from tflbuild.tflite.operator_schemes import find_operator_scheme, map_dequantized_constants
from tflbuild.tflite.tflite_model import FLEX_PREFIX, FLOATS, Model, Operator, Subgraph, Tensor

INTEGER_FIX = "quantization=int8 with quantization.input_type and output_type int8 or uint8"
STATIC_FIX = "signature=static and sizes for every dimension in signature.inputs, where it is converted"
GRANULARITY_FIX = "quantization.granularity=per_tensor"
FLEX_FIX = "opset=builtins"
RANK_FIX = "fold a dimension of 1 into another in the model"
# The operator of a fallback, if no operator is the reason.
INPUT, TENSOR = "input", "tensor"

# Returns what is wrong with a tensor, "" for nothing.
Wrong = Callable[[Tensor], str]


def find_unmet_requirements(needs: TargetRequirements, model: Model, target: str) -> Iterator[Fallback]:
    """Yield the operators and inputs that violate the requirements of a target.

    Args:
        needs: The requirements.
        model: The artifact.
        target: The name of the target.
    """
    if needs.max_rank is not None:
        yield from _ranks(model, target, needs.max_rank)
    if needs.static_shapes:
        requirement = f"and {target} needs fixed shapes"
        yield from _tensors(
            model, lambda tensor: "leaves a size free" if -1 in tensor.shape else "", requirement, STATIC_FIX
        )
    if needs.full_integer:
        requirement = f"and {target} takes integers alone"
        yield from _tensors(
            model, lambda tensor: f"is {tensor.type}" if tensor.type in FLOATS else "", requirement, INTEGER_FIX
        )
    if needs.per_tensor:
        yield from _tensors(model, _several_scales, f"and {target} takes one scale a tensor", GRANULARITY_FIX)
    if not needs.select_tf:
        for view in each_view(model):
            if view.op.custom and view.op.name.startswith(FLEX_PREFIX):
                yield _at(view, f"a TensorFlow (Flex) operator, which {target} cannot run", FLEX_FIX)
    if needs.schemes:
        yield from _schemes(model, target, needs.schemes)


def taken_schemes(schemes: tuple[str, ...]) -> set[str]:
    """Return all schemes that a profile's list allows: where no kernel supports 4-bit weights, 8-bit ones are used."""
    return {*schemes, *(scheme.replace("int4", "int8") for scheme in schemes)}


def _ranks(model: Model, target: str, most: int) -> Iterator[Fallback]:
    main = model.subgraphs[0]
    entries = [entry.inputs for entry in model.signatures] or [
        {main.tensors[index].name: main.tensors[index] for index in main.inputs}
    ]
    named = {(name, tensor.shape): None for entry in entries for name, tensor in entry.items()}
    for name, shape in named:
        if len(shape) > most:
            reason = f"it has {len(shape)} dimensions, and {target} takes inputs of at most {most}"
            yield Fallback(op=INPUT, layer=name, reason=reason, fix=RANK_FIX)


def _several_scales(tensor: Tensor) -> str:
    """Return a text if a tensor has several scales, else ""."""
    if tensor.block:
        return f"has a scale for each block of {tensor.block}"
    return f"has {len(tensor.scales)} scales" if len(tensor.scales) > 1 else ""


def _schemes(model: Model, target: str, schemes: tuple[str, ...]) -> Iterator[Fallback]:
    """Yield operators that compute by another scheme.

    Float operators in a quantized model run on the CPU, and are checked by support rules or a proof. The dynamic-range
    mode of TFLiteConverter contains weight-only operators where no kernel is hybrid.
    """
    stored = [map_dequantized_constants(graph) for graph in model.subgraphs]
    applied = [(view, find_operator_scheme(view.graph, view.op, stored[view.subgraph])) for view in each_view(model)]
    schemes_found = {scheme for _, scheme in applied if scheme}
    allowed = taken_schemes(schemes)
    if schemes_found - {"none"}:
        allowed.add("none")
    allowed |= {f"weight_only_{bits}" for bits in ("int8", "int4") if f"dynamic_{bits}" in allowed & schemes_found}
    for view, scheme in applied:
        if scheme and scheme not in allowed:
            reason = f"it computes as quantization={scheme}, and {target} has kernels for {', '.join(schemes)}"
            yield _at(view, reason, f"quantization={schemes[0]}, from the float model")


def _tensors(model: Model, wrong: Wrong, need: str, fix: str) -> Iterator[Fallback]:
    """Yield a fallback for each input, and for each operator, with such a tensor; and for unused tensors."""
    entered = {0, *(entry.subgraph for entry in model.signatures)}
    for number, graph in enumerate(model.subgraphs):
        inputs = dict.fromkeys(graph.inputs if number in entered else ())
        for index in inputs:
            if problem := wrong(graph.tensors[index]):
                yield Fallback(
                    op=INPUT, layer=_input_name(model, number, index), reason=f"it {problem}, {need}", fix=fix
                )
        produced = {*inputs, *(output for op in graph.ops for output in op.outputs)}
        for index, op in enumerate(graph.ops):
            if problem := _find_problem(graph, op, produced, wrong):
                yield _at(OperatorView(op, graph, index, number), f"{problem}, {need}", fix)
        used = {*produced, *(index_ for op in graph.ops for index_ in op.inputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in used and (problem := wrong(tensor)):
                yield Fallback(op=TENSOR, layer=tensor.name, reason=f"it {problem}, {need}", fix=fix, subgraph=number)


def _find_problem(graph: Subgraph, op: Operator, produced: set[int], wrong: Wrong) -> str:
    """Return what is wrong with an operator's outputs, or with inputs that no operator of the graph produces."""
    for index in op.outputs:
        if index >= 0 and (problem := wrong(graph.tensors[index])):
            return f"its output {problem}"
    for index in op.inputs:
        if index >= 0 and index not in produced and (problem := wrong(graph.tensors[index])):
            return f"its input '{graph.tensors[index].name}' {problem}"
    return ""


def _input_name(model: Model, number: int, index: int) -> str:
    tensor = model.subgraphs[number].tensors[index]
    named = (entry.inputs.items() for entry in model.signatures if entry.subgraph == number)
    return next((name for items in named for name, other in items if other is tensor), tensor.name)


def _at(view: OperatorView, reason: str, fix: str) -> Fallback:
    return Fallback(op=view.op.name, layer=view.layer, reason=reason, fix=fix, index=view.index, subgraph=view.subgraph)
