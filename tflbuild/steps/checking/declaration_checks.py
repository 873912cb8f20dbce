"""What was declared, held against what a file contains. Each rule gives what it found broken."""

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
    computes_as_asked,
    each_operator,
    find_applied_scheme,
    find_asked_scheme,
    looks_up_codes,
    weight_of,
)
from tflbuild.tflite.runtime_table import find_newer_features
from tflbuild.tflite.tflite_model import FLEX_PREFIX, FLOATS, Model, Operator, SignatureDef, Subgraph, Tensor
from tflbuild.tflite.tflite_reader import OPERATORS

NARROW = ("int2", "int4", "uint4", "int8", "uint8")  # quantized, and narrower than int16
WEIGHT_ELEMENTS = 1024  # TFLiteConverter quantizes no smaller weight in its dynamic-range mode
BIAS = {name: places.bias for name, places in FILTERS.items()}  # which input it is
INTEGER = ("int8", "int4", "int16x8")


def check_declarations(
    model: Model, params: Mapping[str, Any], signature: Mapping[str, Any], ranges: Ranges
) -> Iterator[Finding]:
    """Every finding of every rule that applies."""
    yield from check_operators(model, params["opset"])
    yield from check_runtime(model, params["opset"])
    yield from check_signatures(model, params, signature)
    yield from check_variables(model)
    yield from check_tables(model)
    yield from check_scales(model)
    if params["rules"]:
        yield from check_rules(model, params)
    elif not params.get("as_it_is"):  # a .tflite that nothing was asked of but to be what it was
        yield from SCHEME_RULES[params["scheme"]](model)
    if params["scheme"] in INTEGER:
        yield from check_calibrated(model, params, signature, ranges)
        yield from check_lost_values(model)
    if not params.get("as_it_is"):
        yield from check_kernels(model)
    yield from check_arithmetic(model, params)


def check_kernels(model: Model) -> Iterator[Finding]:
    """Every quantized operand is what its operator's kernel reads it as; most kernels do not look."""
    for fault in find_faults(model):
        text = f"{fault.operator} '{fault.name}': {fault.text}"
        yield Finding("kernel", text, ((fault.operator, fault.name),))


def check_arithmetic(model: Model, params: Mapping[str, Any]) -> Iterator[Finding]:
    """An op set that confines arithmetic: the rule of that scheme, whatever was asked for, and no float border."""
    arithmetic = params["opset"]["arithmetic"]
    if arithmetic == "any":
        return
    if params["rules"] or arithmetic != params["scheme"]:
        yield from SCHEME_RULES[arithmetic](model)
    names = [tensor.name for graph in model.subgraphs for tensor in graph.tensors if tensor.type in FLOATS]
    if names:
        yield Finding("opset", f"floating-point tensors, which opset.arithmetic={arithmetic} excludes: {_some(names)}")


def check_operators(model: Model, opset: Mapping[str, Any]) -> Iterator[Finding]:
    """TensorFlow (Flex) operators where the op set has them, custom ones by name, none that is denied."""
    if model.flex_ops() and not opset["select_tf"]:
        yield Finding(
            "opset", f"TensorFlow (Flex) operators, which opset=builtins excludes: {', '.join(model.flex_ops())}"
        )
    unknown = [name for name in model.custom_ops() if name not in opset["custom"]]
    if unknown:
        yield Finding(
            "opset",
            f"custom operators that the op set does not allow: {', '.join(unknown)}"
            f" (opset.custom=[{','.join(sorted({*opset['custom'], *unknown}))}] would, for an app that registers them)",
        )
    for name in opset["deny"]:
        count = model.op_counts().get(name, 0)
        if not count:
            require_operator(name)
        else:
            yield Finding("opset", f"{name}, which opset.deny excludes: {count} of them")


def require_operator(name: str) -> None:
    """Raise WorkerError for a denied name that no operator has: nothing would ever be excluded by it."""
    if name in OPERATORS.values() or name.startswith(FLEX_PREFIX):
        return
    close = difflib.get_close_matches(name.upper(), list(OPERATORS.values()), n=1)
    raise WorkerError(
        f"'{name}' is no operator of TFLite",
        where="opset.deny",
        why=f"did you mean: {close[0]}" if close else "",
        next_step="`tflbuild inspect` lists a model's operators; custom ones are excluded anyway",
    )


def check_runtime(model: Model, opset: Mapping[str, Any]) -> Iterator[Finding]:
    """Nothing that a runtime as old as `max_runtime` was not measured to run right."""
    if opset["max_runtime"]:
        for text in find_newer_features(model, opset["max_runtime"]):
            yield Finding("runtime", text)


def check_variables(model: Model) -> Iterator[Finding]:
    """Every variable is given a value when the model is opened: what nothing initialises holds noise."""
    _, missing = _initialised(model, "VAR_HANDLE", "ASSIGN_VARIABLE", "variable")
    if missing:
        yield Finding("variables", f"variables that nothing initialises: {_some(sorted(missing))}")


def check_tables(model: Model) -> Iterator[Finding]:
    """Every lookup table is filled when the model is opened: an empty one finds nothing."""
    tables, missing = _initialised(model, "HASHTABLE", "HASHTABLE_IMPORT", "table")
    if missing:
        yield Finding("variables", f"lookup tables that nothing fills: {len(missing)} of {len(tables)}")


def _initialised(model: Model, handle: str, gives: str, field: str) -> tuple[set[Any], set[Any]]:
    """(what the operators `handle` stand for, told by `field`; those of it that no initialiser's `gives` reaches)."""
    ops = [op for graph in model.subgraphs for op in graph.ops]
    there = {getattr(op, field) for op in ops if op.name == handle}
    given = set()
    for start in {op.initial for op in ops if op.initial is not None}:
        graph = model.subgraphs[start]
        handles = {op.outputs[0]: getattr(op, field) for op in graph.ops if op.name == handle}
        given |= {handles[op.inputs[0]] for op in graph.ops if op.name == gives and op.inputs[0] in handles}
    return there, there - given


def check_signatures(model: Model, params: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[Finding]:
    """The declared signatures and no others, their names, shapes and I/O types."""
    declared = {entry["key"]: entry for entry in (wanted, *wanted.get("more", ()))}
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


def _check_signature(found: SignatureDef, wanted: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Finding]:
    for side, has in (("input", found.inputs), ("output", found.outputs)):
        specs = {spec["name"]: spec for spec in wanted[f"{side}s"]}
        if specs.keys() != has.keys():
            yield Finding("signature", f"{side}s are {', '.join(has)}, declared were {', '.join(specs)}")
        for name, spec in specs.items():
            if name in has:
                yield from _check_io(side, has[name], spec, params)


def _check_io(side: str, tensor: Tensor, spec: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[Finding]:
    integer = params["scheme"] in INTEGER and spec["dtype"] == "float32"
    wanted = params[f"{side}_type"] if integer else spec["dtype"]
    if tensor.type != wanted:
        yield Finding("io_type", f"{side} '{spec['name']}' is {tensor.type}, declared was {wanted}")
    shape = None if spec["shape"] is None else tuple(-1 if size is None else size for size in spec["shape"])
    if side == "input" and tensor.shape != shape:
        yield Finding(
            "signature", f"{side} '{spec['name']}' has shape {list(tensor.shape)}, declared was {spec['shape']}"
        )
    if integer and wanted != "float32" and not tensor.scales:
        yield Finding("io_type", f"{side} '{spec['name']}' is {tensor.type} without a scale")


# schemes


def check_rules(model: Model, params: Mapping[str, Any]) -> Iterator[Finding]:
    """What was asked and what was applied, operator by operator."""
    for graph, op, name in each_operator(model):
        wanted, found = (
            find_asked_scheme(params["scheme"], params["rules"], op.name, name),
            find_applied_scheme(graph, op),
        )
        weights = weight_of(graph, op)
        small = weights is not None and weights.constant and weights.elements < WEIGHT_ELEMENTS and found == "none"
        if not computes_as_asked(wanted, found, op, weights) and not (small and SCHEMES[wanted].mode != "static"):
            yield Finding("rule", f"{op.name} computes as {found}, {wanted} was asked for: {name}", ((op.name, name),))


def check_none(model: Model) -> Iterator[Finding]:
    """quantization=none: nothing quantized but what the source itself carries (which is reported, not refused)."""
    halves = [t.name for t in _constants(model) if t.type == "float16"]
    if halves:
        yield Finding("scheme", f"float16 weights in an unquantized model: {_some(halves)}")


def check_float16(model: Model) -> Iterator[Finding]:
    """quantization=float16: no float32 weight of any size that matters."""
    if not any(tensor.type == "float16" for tensor in _constants(model)):
        yield Finding("scheme", "no tensor is float16: the model was left as it is")
    yield from _float_weights(model, "float16")


def check_dynamic_int8(model: Model) -> Iterator[Finding]:
    """quantization=dynamic_int8: int8 weights, float activations."""
    if not any(tensor.type == "int8" and tensor.scales for tensor in _constants(model)):
        yield Finding("scheme", "no weight is int8: the model was left as it is")
    yield from _float_weights(model, "int8")
    yield from _integer_activations(model)


def _integer_activations(model: Model) -> Iterator[Finding]:
    for graph in model.subgraphs:
        for op in graph.ops:
            for index in () if looks_up_codes(graph, op) else op.outputs:
                if graph.tensors[index].type == "int8":
                    text = f"{op.name} has an int8 activation: {graph.tensors[index].name}"
                    yield Finding("scheme", text, _named(graph, op))


def check_weights(scheme: str) -> Callable[[Model], Iterator[Finding]]:
    """Schemes about weights: every operator that has some of a size that matters computes as asked."""

    def check(model: Model) -> Iterator[Finding]:
        yield from _integer_activations(model)
        if not any(tensor.type in NARROW and tensor.quantized for tensor in _constants(model)):
            yield Finding("scheme", f"no operator computes as {scheme}: the model was left as it is")
        yield from _dishonoured(model, scheme)

    return check


def check_int4(model: Model) -> Iterator[Finding]:
    """quantization=int4: int8 with int4 weights where kernels take them."""
    yield from _check_integers(model)
    yield from _dishonoured(model, "int4")


def _dishonoured(model: Model, scheme: str) -> Iterator[Finding]:
    """Operators with weights of a size that matters that do not compute as asked."""
    for graph, op, name in each_operator(model):
        weights = weight_of(graph, op)
        has = find_applied_scheme(graph, op)
        if (
            weights is not None
            and weights.elements >= WEIGHT_ELEMENTS
            and not computes_as_asked(scheme, has, op, weights)
        ):
            text = f"{op.name} computes as {has}, {scheme} was declared: {name}"
            yield Finding("scheme", text, ((op.name, name),))


def check_int8(model: Model) -> Iterator[Finding]:
    """quantization=int8: integer operators alone, with scales; conversions only at inputs and outputs."""
    yield from _check_integers(model)


def check_int16x8(model: Model) -> Iterator[Finding]:
    """quantization=int16x8: the same on int16 activations, symmetric, with int8 weights and wider biases."""
    yield from _check_integers(model, NARROW)
    for graph in model.subgraphs:
        for op in graph.ops:
            if op.name in WEIGHTED:
                yield from _wrong_constant(graph, op, 1, "weights", ("int8",))
            if op.name in BIAS:
                yield from _wrong_constant(graph, op, BIAS[op.name], "bias", ("int32", "int64"))


def _wrong_constant(
    graph: Subgraph, op: Operator, place: int, what: str, allowed: tuple[str, ...]
) -> Iterator[Finding]:
    for index in op.inputs[place : place + 1]:
        tensor = graph.tensors[index]
        if index >= 0 and tensor.constant and tensor.type not in allowed:
            wanted = " or ".join(allowed)
            text = f"{op.name} has {tensor.type} {what}, {wanted} was declared: {tensor.name}"
            yield Finding("scheme", text, _named(graph, op))


def _check_integers(model: Model, narrow: Collection[str] = ()) -> Iterator[Finding]:
    """No operator computes in float, nor on activations of `narrow` types; conversions may, at the borders.

    A computed filter is weights, and no activation.
    """
    for graph in model.subgraphs:
        yield from _float_operators(graph)
        filters = filter_indices(graph)
        for op in graph.ops:
            small = [t for t in _inner(graph, op, filters) if t.type in narrow and t.scales and not t.constant]
            if small:
                names = _some([t.name for t in small])
                text = f"{op.name} computes on {small[0].type}, int16 was declared: {names}"
                yield Finding("scheme", text, _named(graph, op))
            yield from _missing_scales(graph, op)


def _float_operators(graph: Subgraph) -> Iterator[Finding]:
    """A finding for each kind of operator; conversions last, which are there for the others' sake."""
    found: dict[str, list[str]] = {}
    blamed: dict[str, list[tuple[str, str]]] = {}
    for op in sorted(graph.ops, key=lambda op: op.name in CONVERSIONS):
        floats = [tensor.name for tensor in _inner(graph, op) if tensor.type in FLOATS]
        if floats:
            found.setdefault(op.name, []).extend(floats)
            blamed.setdefault(op.name, []).extend(_named(graph, op))
    for name, tensors in found.items():
        yield Finding("float_op", f"{name} computes in float: {_some(tensors)}", tuple(blamed[name]))


def _named(graph: Subgraph, op: Operator) -> tuple[tuple[str, str], ...]:
    """Return (operator, name) as rules know it; nothing for a conversion, which is there for others' sake."""
    return () if op.name in CONVERSIONS or not op.outputs else ((op.name, graph.tensors[op.outputs[0]].name),)


def _inner(graph: Subgraph, op: Operator, but: Collection[int] = ()) -> list[Tensor]:
    """What an operator reads and writes, but for what a conversion has in common with the graph's border."""
    border = {*graph.inputs, *graph.outputs} if op.name in CONVERSIONS else set()
    left_out = border.union(but)
    return [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0 and index not in left_out]


def _missing_scales(graph: Subgraph, op: Operator) -> Iterator[Finding]:
    for index in op.outputs:
        tensor = graph.tensors[index]
        if tensor.type in ("int8", "uint8", "int16") and not tensor.scales and op.name not in ("ARG_MAX", "ARG_MIN"):
            text = f"{op.name} gives {tensor.type} without a scale: {tensor.name}"
            yield Finding("scale", text, _named(graph, op))
        bad = [scale for scale in tensor.scales if not math.isfinite(scale) or scale <= 0]
        if bad:
            yield Finding("scale", f"{tensor.name} has the scale {bad[0]}", _named(graph, op))


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


def _float_weights(model: Model, wanted: str) -> Iterator[Finding]:
    for graph in model.subgraphs:
        for op in graph.ops:
            for index in op.inputs[1:2] if op.name in WEIGHTED else ():
                tensor = graph.tensors[index]
                if tensor.constant and tensor.type == "float32" and tensor.elements >= WEIGHT_ELEMENTS:
                    text = f"{op.name} kept float32 weights, {wanted} was declared: {tensor.name}"
                    yield Finding("scheme", text, _named(graph, op))


def _some(names: list[str], limit: int = 3) -> str:
    unique = list(dict.fromkeys(name or "(unnamed)" for name in names))
    more = f" and {len(unique) - limit} more" if len(unique) > limit else ""
    return ", ".join(unique[:limit]) + more
