"""What a profile needs, held against the artifact itself.

Before anything is built, what a recipe says is compared with the same requirements
(`config.freezing.target_requirement_checks`). What only the file can tell, as of a .tflite that is taken as it is, is
found here.
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
INPUT, TENSOR = "input", "tensor"  # what stands for the operator, where none is at fault


Wrong = Callable[[Tensor], str]  # what is wrong with a tensor, "" for nothing


def find_unmet_requirements(needs: TargetRequirements, model: Model, target: str) -> Iterator[Fallback]:
    """Where the artifact is not what `target` needs: the operators at fault, or inputs (then `op` says so)."""
    if needs.max_rank is not None:
        yield from _ranks(model, target, needs.max_rank)
    if needs.static_shapes:
        told = f"and {target} needs fixed shapes"
        yield from _tensors(model, lambda one: "leaves a size free" if -1 in one.shape else "", told, STATIC_FIX)
    if needs.full_integer:
        told = f"and {target} takes integers alone"
        yield from _tensors(model, lambda one: f"is {one.type}" if one.type in FLOATS else "", told, INTEGER_FIX)
    if needs.per_tensor:
        yield from _tensors(model, _several_scales, f"and {target} takes one scale a tensor", GRANULARITY_FIX)
    if not needs.select_tf:
        for view in each_view(model):
            if view.op.custom and view.op.name.startswith(FLEX_PREFIX):
                yield _at(view, f"a TensorFlow (Flex) operator, which {target} cannot run", FLEX_FIX)
    if needs.schemes:
        yield from _schemes(model, target, needs.schemes)


def taken_schemes(schemes: tuple[str, ...]) -> set[str]:
    """The schemes that a profile's list stands for: where no kernel takes 4-bit weights, 8-bit ones are made."""
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
    if tensor.block:
        return f"has a scale for each block of {tensor.block}"
    return f"has {len(tensor.scales)} scales" if len(tensor.scales) > 1 else ""


def _schemes(model: Model, target: str, schemes: tuple[str, ...]) -> Iterator[Fallback]:
    """Operators that compute otherwise. Floats beside what is quantized are left to the CPU, as rules or a proof say.

    TFLiteConverter's dynamic range has weight-only operators in it, where no kernel is hybrid.
    """
    stored = [map_dequantized_constants(graph) for graph in model.subgraphs]
    found = [(view, find_operator_scheme(view.graph, view.op, stored[view.subgraph])) for view in each_view(model)]
    schemes_found = {scheme for _, scheme in found if scheme}
    passed = taken_schemes(schemes)
    if schemes_found - {"none"}:
        passed.add("none")
    passed |= {f"weight_only_{bits}" for bits in ("int8", "int4") if f"dynamic_{bits}" in passed & schemes_found}
    for view, scheme in found:
        if scheme and scheme not in passed:
            reason = f"it computes as quantization={scheme}, and {target} has kernels for {', '.join(schemes)}"
            yield _at(view, reason, f"quantization={schemes[0]}, from the float model")


def _tensors(model: Model, wrong: Wrong, need: str, fix: str) -> Iterator[Fallback]:
    """One for each input of the model and each operator that has such a tensor, and what no operator touches."""
    entered = {0, *(entry.subgraph for entry in model.signatures)}
    for number, graph in enumerate(model.subgraphs):
        inputs = dict.fromkeys(graph.inputs if number in entered else ())
        for index in inputs:
            if what := wrong(graph.tensors[index]):
                yield Fallback(op=INPUT, layer=_input_name(model, number, index), reason=f"it {what}, {need}", fix=fix)
        made = {*inputs, *(output for op in graph.ops for output in op.outputs)}
        for index, op in enumerate(graph.ops):
            if told := _first(graph, op, made, wrong):
                yield _at(OperatorView(op, graph, index, number), f"{told}, {need}", fix)
        touched = {*made, *(place for op in graph.ops for place in op.inputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in touched and (what := wrong(tensor)):
                yield Fallback(op=TENSOR, layer=tensor.name, reason=f"it {what}, {need}", fix=fix, subgraph=number)


def _first(graph: Subgraph, op: Operator, made: set[int], wrong: Wrong) -> str:
    """What is wrong with an operator's outputs, or with what it reads and no other operator of the graph makes."""
    for index in op.outputs:
        if index >= 0 and (what := wrong(graph.tensors[index])):
            return f"its output {what}"
    for index in op.inputs:
        if index >= 0 and index not in made and (what := wrong(graph.tensors[index])):
            return f"its input '{graph.tensors[index].name}' {what}"
    return ""


def _input_name(model: Model, number: int, index: int) -> str:
    tensor = model.subgraphs[number].tensors[index]
    named = (entry.inputs.items() for entry in model.signatures if entry.subgraph == number)
    return next((name for items in named for name, one in items if one is tensor), tensor.name)


def _at(view: OperatorView, reason: str, fix: str) -> Fallback:
    return Fallback(op=view.op.name, layer=view.layer, reason=reason, fix=fix, index=view.index, subgraph=view.subgraph)
