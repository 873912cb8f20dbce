"""Quantization rules: the scheme that a recipe declares for each operator, and the one that an artifact applies.

Operators are identified by the name of their first output, which quantizers keep.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tflbuild.core.schemes import SCHEMES
from tflbuild.tflite.operator_match import find_pattern
from tflbuild.tflite.operator_schemes import CONVERSIONS, scheme_of_tensors
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

INT4_OPERATORS = ("CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP")
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL", "EMBEDDING_LOOKUP")
LOOKUPS = ("GATHER", "GATHER_ND")
REAL = ("float32", "float16", "int8", "int16", "int4")

# The largest number of operators of one kind that proposed rules name. More of them are matched by their kind.
MOST_NAMED = 4

Rules = Sequence[Mapping[str, Any]]


def matches(rule: Mapping[str, Any], operator: str, name: str) -> bool:
    """Return whether a rule applies to an operator whose first output has this name."""
    return rule["op"] in ("", operator) and re.search(rule["match"] or "", name) is not None


def last_match(rules: Rules, operator: str, name: str) -> Mapping[str, Any] | None:
    """Return the rule that is in effect for an operator, None if no rule applies to it."""
    return next((rule for rule in reversed(rules) if matches(rule, operator, name)), None)


def find_declared_scheme(scheme: str, rules: Rules, operator: str, name: str) -> str:
    """Return the declared scheme of an operator: that of its rule, or the recipe's."""
    rule = last_match(rules, operator, name)
    return scheme if rule is None else str(rule["scheme"])


def each_operator(model: Model) -> Iterator[tuple[Subgraph, Operator, str]]:
    """Yield every operator that computes on real values, with its subgraph and its name."""
    for graph in model.subgraphs:
        for op in graph.ops:
            if op.name in CONVERSIONS or not op.outputs:
                continue
            tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
            if any(tensor.type in REAL for tensor in tensors):
                yield graph, op, graph.tensors[op.outputs[0]].name


def make_rule_selectors(model: Model, blamed: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return the `op` and `match` of rules that apply to these operators, given by (operator, name), and to no others.

    One selector covers all operators of a kind if all of them are given, or too many to name.
    """
    names: dict[str, list[str]] = {}
    for _, op, name in each_operator(model):
        names.setdefault(op.name, []).append(name)
    every = [name for several in names.values() for name in several]
    selectors: dict[tuple[str, str], None] = {}
    for kind in dict.fromkeys(op for op, _ in blamed):
        single = list(dict.fromkeys(name for op, name in blamed if op == kind))
        if set(single) >= set(names.get(kind, ())) or len(single) > MOST_NAMED:
            selectors[kind, ""] = None
        else:
            selectors |= {("", find_pattern(name, every)): None for name in single}
    return [{"op": op, "match": match} for op, match in selectors]


def unmatched(rules: Rules, model: Model) -> Iterator[tuple[int, str]]:
    """Yield (index, reason) for each rule that applies to no operator."""
    operators = [(op.name, name) for _, op, name in each_operator(model)]
    for index, rule in enumerate(rules):
        if any(matches(rule, *operator) for operator in operators):
            continue
        if rule["op"] and rule["op"] not in {operator for operator, _ in operators}:
            yield index, f"there is no {rule['op']}; its operators: {', '.join(sorted({o for o, _ in operators}))}"
        else:
            close = difflib.get_close_matches(rule["match"], [name for _, name in operators], n=1, cutoff=0.3)
            yield index, f"no name has '{rule['match']}' in it" + (f"; the nearest is {close[0]}" if close else "")


def find_applied_scheme(graph: Subgraph, op: Operator) -> str:
    """Return the name of the scheme by which an operator of an artifact computes. Only factors count as weights."""
    if looks_up_codes(graph, op):
        return f"dynamic_{graph.tensors[op.inputs[0]].type}"
    tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
    weights = weight_of(graph, op)
    direct = [tensor for tensor in tensors if tensor is weights]
    dequantized = [weights] if weights is not None and not direct else []
    return scheme_of_tensors(tensors, direct, dequantized) or "none"


def looks_up_codes(graph: Subgraph, op: Operator) -> bool:
    """Return whether an operator looks up rows of integer codes that only DEQUANTIZE operators read."""
    if op.name not in LOOKUPS or not graph.tensors[op.inputs[0]].constant or not graph.tensors[op.inputs[0]].quantized:
        return False
    readers = [other for other in graph.ops if op.outputs[0] in other.inputs]
    return bool(readers) and all(reader.name == "DEQUANTIZE" for reader in readers)


def weight_of(graph: Subgraph, op: Operator) -> Tensor | None:
    """Return the constant by which an operator multiplies, directly or through a DEQUANTIZE. None if there is none."""
    if op.name not in WEIGHTED:
        return None
    dequantize_ops = {other.outputs[0]: other for other in graph.ops if other.name == "DEQUANTIZE"}
    for index in op.inputs[:2] if op.name == "EMBEDDING_LOOKUP" else op.inputs[1:2]:
        source = dequantize_ops[index].inputs[0] if index in dequantize_ops else index
        tensor = graph.tensors[source]
        if tensor.constant and tensor.type in REAL:
            return tensor
    return None


def computes_as_declared(declared: str, applied: str, op: Operator, weights: Tensor | None) -> bool:
    """Return whether an operator computes by the declared scheme.

    A scheme with float activations does not apply to operators without weights, and int4 becomes int8 where no kernel
    supports int4.

    Args:
        declared: The declared scheme.
        applied: The applied scheme.
        op: The operator.
        weights: Its weights, or None.
    """
    if declared == applied:
        return True
    scheme = SCHEMES[declared]
    if op.name in LOOKUPS and scheme.mode in ("dynamic", "weight_only"):
        return applied in ("none", "dynamic_int8", f"dynamic_int{scheme.weights}")
    if scheme.mode != "static" and weights is None:
        return applied == "none"
    # Where no kernel supports int4, the scheme means int8.
    if scheme.weights == 4:
        return (op.name not in INT4_OPERATORS or weights is None) and applied == declared.replace("int4", "int8")
    return False
