"""Rules that compare the recipe with the contents of an artifact. Each yields its findings."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tflbuild.core.schemes import SCHEMES
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.checking.constant_value_checks import check_scales
from tflbuild.steps.checking.findings import Finding
from tflbuild.steps.checking.input_scale_check import Ranges, check_calibrated
from tflbuild.steps.checking.kernel_checks import find_faults
from tflbuild.steps.checking.unrepresentable_values import check_lost_values
from tflbuild.tflite.kernel_requirements import FILTERS, filter_indices
from tflbuild.tflite.operator_schemes import CONVERSIONS
from tflbuild.tflite.rules import (
    WEIGHTED,
    computes_as_declared,
    each_operator,
    find_applied_scheme,
    find_declared_scheme,
    looks_up_codes,
    weight_of,
)
from tflbuild.tflite.runtime_table import find_newer_features
from tflbuild.tflite.tflite_model import FLEX_PREFIX, FLOATS, Model, Operator, SignatureDef, Subgraph, Tensor
from tflbuild.tflite.tflite_reader import OPERATORS

# Quantized types with fewer bits than int16.
NARROW = ("int2", "int4", "uint4", "int8", "uint8")
# The number of elements from which TFLiteConverter quantizes weights in its dynamic-range mode.
WEIGHT_ELEMENTS = 1024
# Operator -> the position of the bias in its inputs.
BIAS = {name: operands.bias for name, operands in FILTERS.items()}
INTEGER = ("int8", "int4", "int16x8")


def check_declarations(
    model: Model, params: Mapping[str, Any], signature: Mapping[str, Any], ranges: Ranges
) -> Iterator[Finding]:
    """Yield the findings of all rules that apply. `ranges` are the calibration ranges by tensor or input name."""
    yield from check_operators(model, params["opset"])
    yield from check_runtime(model, params["opset"])
    yield from check_signatures(model, params, signature)
    yield from check_variables(model)
    yield from check_tables(model)
    yield from check_scales(model)
    if params["rules"]:
        yield from check_rules(model, params)
    elif not params.get("as_it_is"):
        # `as_it_is` marks a .tflite source that the recipe does not change.
        yield from SCHEME_RULES[params["scheme"]](model)
    if params["scheme"] in INTEGER:
        yield from check_calibrated(model, params, signature, ranges)
        yield from check_lost_values(model)
    if not params.get("as_it_is"):
        yield from check_kernels(model)
    yield from check_arithmetic(model, params)


def check_kernels(model: Model) -> Iterator[Finding]:
    """Yield operands that the kernel of their operator would misread. Most kernels do not check their operands."""
    for fault in find_faults(model):
        text = f"{fault.operator} '{fault.name}': {fault.text}"
        yield Finding("kernel", text, ((fault.operator, fault.name),))


def check_arithmetic(model: Model, params: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield violations of `opset.arithmetic`: operators of another scheme, and floating-point tensors."""
    arithmetic = params["opset"]["arithmetic"]
    if arithmetic == "any":
        return
    if params["rules"] or arithmetic != params["scheme"]:
        yield from SCHEME_RULES[arithmetic](model)
    names = [tensor.name for graph in model.subgraphs for tensor in graph.tensors if tensor.type in FLOATS]
    if names:
        yield Finding(
            "opset", f"floating-point tensors, which opset.arithmetic={arithmetic} excludes: {_list_names(names)}"
        )


def check_operators(model: Model, opset: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield TensorFlow, custom and denied operators that the op set excludes."""
    if model.flex_ops() and not opset["select_tf"]:
        yield Finding(
            "opset", f"TensorFlow (Flex) operators, which opset=builtins excludes: {', '.join(model.flex_ops())}"
        )
    unknown = [name for name in model.custom_ops() if name not in opset["custom"]]
    if unknown:
        yield Finding(
            "opset",
            f"custom operators that the op set does not allow: {', '.join(unknown)}"
            f" (if the app registers them: opset.custom=[{','.join(sorted({*opset['custom'], *unknown}))}])",
        )
    for name in opset["deny"]:
        count = model.op_counts().get(name, 0)
        if not count:
            require_operator(name)
        else:
            yield Finding("opset", f"{name}, which opset.deny excludes: {count} of them")


def require_operator(name: str) -> None:
    """Check that a name of `opset.deny` exists, since a misspelt name would exclude nothing.

    Raises:
        WorkerError: No operator has this name.
    """
    if name in OPERATORS.values() or name.startswith(FLEX_PREFIX):
        return
    close = difflib.get_close_matches(name.upper(), list(OPERATORS.values()), n=1)
    raise WorkerError(
        f"'{name}' is not an operator of TFLite",
        where="opset.deny",
        why=f"did you mean: {close[0]}" if close else "",
        next_step="`tflbuild inspect` lists the operators of a model; custom operators are excluded by default",
    )


def check_runtime(model: Model, opset: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield features of the artifact that were not measured to run correctly on the runtime `opset.max_runtime`."""
    if opset["max_runtime"]:
        for text in find_newer_features(model, opset["max_runtime"]):
            yield Finding("runtime", text)


def check_variables(model: Model) -> Iterator[Finding]:
    """Yield variables without an initial value, whose content is undefined."""
    _, missing = _initialised(model, "VAR_HANDLE", "ASSIGN_VARIABLE", "variable")
    if missing:
        yield Finding("variables", f"variables without an initial value: {_list_names(sorted(missing))}")


def check_tables(model: Model) -> Iterator[Finding]:
    """Yield lookup tables that are not filled when the model is opened."""
    tables, missing = _initialised(model, "HASHTABLE", "HASHTABLE_IMPORT", "table")
    if missing:
        yield Finding("variables", f"lookup tables without content: {len(missing)} of {len(tables)}")


def _initialised(model: Model, handle: str, assign: str, field: str) -> tuple[set[Any], set[Any]]:
    """Return the variables or tables of a model, and those that no initial subgraph assigns.

    `handle` and `assign` are operators, and `field` is their attribute that identifies the variable or table.
    """
    ops = [op for graph in model.subgraphs for op in graph.ops]
    declared = {getattr(op, field) for op in ops if op.name == handle}
    assigned = set()
    for initial in {op.initial for op in ops if op.initial is not None}:
        graph = model.subgraphs[initial]
        handles = {op.outputs[0]: getattr(op, field) for op in graph.ops if op.name == handle}
        assigned |= {handles[op.inputs[0]] for op in graph.ops if op.name == assign and op.inputs[0] in handles}
    return declared, declared - assigned


def check_signatures(model: Model, params: Mapping[str, Any], signature: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield differences in the signatures: their names, and the names, shapes and types of their inputs and outputs."""
    declared = {entry["key"]: entry for entry in (signature, *signature.get("more", ()))}
    has = {entry.key: entry for entry in model.signatures}
    for key, entry in declared.items():
        if key not in has:
            keys = ", ".join(has) or "none"
            yield Finding("signature", f"signature '{key}' is missing; the file has: {keys}")
            continue
        yield from _check_signature(has[key], entry, params)
    for key in has:
        if key not in declared:
            yield Finding("signature", f"signature '{key}' was not declared")


def _check_signature(actual: SignatureDef, declared: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Finding]:
    for side, tensors in (("input", actual.inputs), ("output", actual.outputs)):
        specs = {spec["name"]: spec for spec in declared[f"{side}s"]}
        if specs.keys() != tensors.keys():
            yield Finding("signature", f"{side}s are {', '.join(tensors)}, {', '.join(specs)} were declared")
        for name, spec in specs.items():
            if name in tensors:
                yield from _check_io(side, tensors[name], spec, params)


def _check_io(side: str, tensor: Tensor, spec: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Finding]:
    is_quantized = params["scheme"] in INTEGER and spec["dtype"] == "float32"
    declared_type = params[f"{side}_type"] if is_quantized else spec["dtype"]
    if tensor.type != declared_type:
        yield Finding("io_type", f"{side} '{spec['name']}' is {tensor.type}, declared was {declared_type}")
    shape = None if spec["shape"] is None else tuple(-1 if size is None else size for size in spec["shape"])
    if side == "input" and tensor.shape != shape:
        yield Finding(
            "signature", f"{side} '{spec['name']}' has shape {list(tensor.shape)}, declared was {spec['shape']}"
        )
    if is_quantized and declared_type != "float32" and not tensor.scales:
        yield Finding("io_type", f"{side} '{spec['name']}' is {tensor.type} without a scale")


# schemes


def check_rules(model: Model, params: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield operators that compute in another way than their rule or the scheme says."""
    for graph, op, name in each_operator(model):
        declared = find_declared_scheme(params["scheme"], params["rules"], op.name, name)
        applied = find_applied_scheme(graph, op)
        weights = weight_of(graph, op)
        is_small = weights is not None and weights.constant and weights.elements < WEIGHT_ELEMENTS and applied == "none"
        if not computes_as_declared(declared, applied, op, weights) and not (
            is_small and SCHEMES[declared].mode != "static"
        ):
            yield Finding(
                "rule", f"{op.name} computes as {applied}, {declared} was asked for: {name}", ((op.name, name),)
            )


def check_none(model: Model) -> Iterator[Finding]:
    """Yield float16 weights in an unquantized model. Quantization that the source contains is reported, not refused."""
    halves = [t.name for t in _constants(model) if t.type == "float16"]
    if halves:
        yield Finding("scheme", f"float16 weights in an unquantized model: {_list_names(halves)}")


def check_float16(model: Model) -> Iterator[Finding]:
    """Yield float32 weights that should be float16, except small ones."""
    if not any(tensor.type == "float16" for tensor in _constants(model)):
        yield Finding("scheme", "no tensor is float16: the model was left as it is")
    yield from _float_weights(model, "float16")


def check_dynamic_int8(model: Model) -> Iterator[Finding]:
    """Yield violations of quantization=dynamic_int8: large float32 weights, and integer activations."""
    if not any(tensor.type == "int8" and tensor.scales for tensor in _constants(model)):
        yield Finding("scheme", "no weight is int8: the model was left as it is")
    yield from _float_weights(model, "int8")
    yield from _integer_activations(model)


def _integer_activations(model: Model) -> Iterator[Finding]:
    """Yield operators with an int8 output, except lookups whose rows are dequantized."""
    for graph in model.subgraphs:
        for op in graph.ops:
            for index in () if looks_up_codes(graph, op) else op.outputs:
                if graph.tensors[index].type == "int8":
                    text = f"{op.name} has an int8 activation: {graph.tensors[index].name}"
                    yield Finding("scheme", text, _rule_selector(graph, op))


def check_weights(scheme: str) -> Callable[[Model], Iterator[Finding]]:
    """Return the check for a scheme with float activations: operators with large weights compute as the scheme says."""

    def check(model: Model) -> Iterator[Finding]:
        yield from _integer_activations(model)
        if not any(tensor.type in NARROW and tensor.quantized for tensor in _constants(model)):
            yield Finding("scheme", f"no operator computes as {scheme}: the model was left as it is")
        yield from _wrong_schemes(model, scheme)

    return check


def check_int4(model: Model) -> Iterator[Finding]:
    """Yield violations of quantization=int4: int8 arithmetic with int4 weights where kernels support them."""
    yield from _check_integers(model)
    yield from _wrong_schemes(model, "int4")


def _wrong_schemes(model: Model, scheme: str) -> Iterator[Finding]:
    """Yield operators with large weights that do not compute as the scheme says."""
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        applied = find_applied_scheme(graph, op)
        if (
            weights is not None
            and weights.elements >= WEIGHT_ELEMENTS
            and not computes_as_declared(scheme, applied, op, weights)
        ):
            text = f"{op.name} computes as {applied}, {scheme} was declared: {name}"
            yield Finding("scheme", text, ((op.name, name),))


def check_int8(model: Model) -> Iterator[Finding]:
    """Yield float operators, except conversions at inputs and outputs, and missing scales."""
    yield from _check_integers(model)


def check_int16x8(model: Model) -> Iterator[Finding]:
    """Yield float operators, 8-bit activations, and other types of weights and biases than quantization=int16x8 has."""
    yield from _check_integers(model, NARROW)
    for graph in model.subgraphs:
        for op in graph.ops:
            if op.name in WEIGHTED:
                yield from _wrong_constant(graph, op, 1, "weights", ("int8",))
            if op.name in BIAS:
                yield from _wrong_constant(graph, op, BIAS[op.name], "bias", ("int32", "int64"))


def _wrong_constant(
    graph: Subgraph, op: Operator, position: int, noun: str, allowed: tuple[str, ...]
) -> Iterator[Finding]:
    """Yield a finding if the constant at input `place` has another type than the allowed ones."""
    for index in op.inputs[position : position + 1]:
        tensor = graph.tensors[index]
        if index >= 0 and tensor.constant and tensor.type not in allowed:
            declared = " or ".join(allowed)
            text = f"{op.name} has {tensor.type} {noun}, {declared} was declared: {tensor.name}"
            yield Finding("scheme", text, _rule_selector(graph, op))


def _check_integers(model: Model, narrow: Collection[str] = ()) -> Iterator[Finding]:
    """Yield operators that compute in float or on activations of the types `narrow`, and outputs without scales.

    Conversions at inputs and outputs of the model may be in float. A computed filter counts as weights.
    """
    for graph in model.subgraphs:
        yield from _float_operators(graph)
        filters = filter_indices(graph)
        for op in graph.ops:
            narrow_tensors = [t for t in _inner(graph, op, filters) if t.type in narrow and t.scales and not t.constant]
            if narrow_tensors:
                names = _list_names([t.name for t in narrow_tensors])
                text = f"{op.name} computes on {narrow_tensors[0].type}, int16 was declared: {names}"
                yield Finding("scheme", text, _rule_selector(graph, op))
            yield from _missing_scales(graph, op)


def _float_operators(graph: Subgraph) -> Iterator[Finding]:
    """Yield a finding for each kind of operator that computes in float.

    Conversions are last, because other operators cause them.
    """
    tensors_by_kind: dict[str, list[str]] = {}
    operators_by_kind: dict[str, list[tuple[str, str]]] = {}
    for op in sorted(graph.ops, key=lambda op: op.name in CONVERSIONS):
        floats = [tensor.name for tensor in _inner(graph, op) if tensor.type in FLOATS]
        if floats:
            tensors_by_kind.setdefault(op.name, []).extend(floats)
            operators_by_kind.setdefault(op.name, []).extend(_rule_selector(graph, op))
    for name, tensors in tensors_by_kind.items():
        yield Finding("float_op", f"{name} computes in float: {_list_names(tensors)}", tuple(operators_by_kind[name]))


def _rule_selector(graph: Subgraph, op: Operator) -> tuple[tuple[str, str], ...]:
    """Return (operator, name) as rules refer to it, or nothing for a conversion, which other operators cause."""
    return () if op.name in CONVERSIONS or not op.outputs else ((op.name, graph.tensors[op.outputs[0]].name),)


def _inner(graph: Subgraph, op: Operator, but: Collection[int] = ()) -> list[Tensor]:
    """Return the tensors that an operator reads and writes, without those in `but`.

    For a conversion, the inputs and outputs of the graph are left out as well.
    """
    interface = {*graph.inputs, *graph.outputs} if op.name in CONVERSIONS else set()
    excluded = interface.union(but)
    return [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0 and index not in excluded]


def _missing_scales(graph: Subgraph, op: Operator) -> Iterator[Finding]:
    """Yield integer outputs without scales, and scales that are not positive finite numbers."""
    for index in op.outputs:
        tensor = graph.tensors[index]
        if tensor.type in ("int8", "uint8", "int16") and not tensor.scales and op.name not in ("ARG_MAX", "ARG_MIN"):
            text = f"{op.name} gives {tensor.type} without a scale: {tensor.name}"
            yield Finding("scale", text, _rule_selector(graph, op))
        invalid = [scale for scale in tensor.scales if not math.isfinite(scale) or scale <= 0]
        if invalid:
            yield Finding("scale", f"{tensor.name} has the scale {invalid[0]}", _rule_selector(graph, op))


SCHEME_RULES = {
    "none": check_none,
    "float16": check_float16,
    "dynamic_int8": check_dynamic_int8,
    "int8": check_int8,
    "int16x8": check_int16x8,
    "int4": check_int4,
    **{scheme: check_weights(scheme) for scheme in ("dynamic_int4", "weight_only_int8", "weight_only_int4")},
}


def _constants(model: Model) -> Iterator[Tensor]:
    for graph in model.subgraphs:
        yield from (tensor for tensor in graph.tensors if tensor.constant)


def _float_weights(model: Model, declared: str) -> Iterator[Finding]:
    """Yield operators with large float32 weights."""
    for graph in model.subgraphs:
        for op in graph.ops:
            for index in op.inputs[1:2] if op.name in WEIGHTED else ():
                tensor = graph.tensors[index]
                if tensor.constant and tensor.type == "float32" and tensor.elements >= WEIGHT_ELEMENTS:
                    text = f"{op.name} kept float32 weights, {declared} was declared: {tensor.name}"
                    yield Finding("scheme", text, _rule_selector(graph, op))


def _list_names(names: list[str], limit: int = 3) -> str:
    """Return the first names of a list as text, with the number of the others."""
    unique = list(dict.fromkeys(name or "(unnamed)" for name in names))
    more = f" and {len(unique) - limit} more" if len(unique) > limit else ""
    return ", ".join(unique[:limit]) + more
