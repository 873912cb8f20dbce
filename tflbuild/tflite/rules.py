"""What a recipe asks of each operator, and what an artifact made of it.

Operators are known by the name of their first output, which quantizing leaves as it was.
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

NAMED_ALONE = 4  # operators of one kind that a proposed rule names; more of them are matched by their kind

Rules = Sequence[Mapping[str, Any]]


def matches(rule: Mapping[str, Any], operator: str, name: str) -> bool:
    """Whether a rule speaks of an operator whose first output has this name."""
    return rule["op"] in ("", operator) and re.search(rule["match"] or "", name) is not None


def last_match(rules: Rules, operator: str, name: str) -> Mapping[str, Any] | None:
    """The rule that counts for an operator, None when none speaks of it."""
    return next((rule for rule in reversed(rules) if matches(rule, operator, name)), None)


def find_asked_scheme(scheme: str, rules: Rules, operator: str, name: str) -> str:
    """The scheme of an operator: that of its rule, or the recipe's."""
    rule = last_match(rules, operator, name)
    return scheme if rule is None else str(rule["scheme"])


def each_operator(model: Model) -> Iterator[tuple[Subgraph, Operator, str]]:
    """Every operator that computes on real values, with its name."""
    for graph in model.subgraphs:
        for op in graph.ops:
            if op.name in CONVERSIONS or not op.outputs:
                continue
            tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
            if any(tensor.type in REAL for tensor in tensors):
                yield graph, op, graph.tensors[op.outputs[0]].name


def make_rule_selectors(model: Model, blamed: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """Return the `op` and `match` of rules that match these operators, given by (operator, name), and no others.

    One selector stands for all operators of a kind where all are given, or more of them than a command should name.
    """
    names: dict[str, list[str]] = {}
    for _, op, name in each_operator(model):
        names.setdefault(op.name, []).append(name)
    every = [name for several in names.values() for name in several]
    selectors: dict[tuple[str, str], None] = {}
    for kind in dict.fromkeys(op for op, _ in blamed):
        single = list(dict.fromkeys(name for op, name in blamed if op == kind))
        if set(single) >= set(names.get(kind, ())) or len(single) > NAMED_ALONE:
            selectors[kind, ""] = None
        else:
            selectors |= {("", find_pattern(name, every)): None for name in single}
    return [{"op": op, "match": match} for op, match in selectors]


def unmatched(rules: Rules, model: Model) -> Iterator[tuple[int, str]]:
    """(index, why) of each rule that no operator answers to."""
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
    """How an operator of an artifact computes: the name of a scheme. Nothing but what it multiplies by is weights."""
    if looks_up_codes(graph, op):
        return f"dynamic_{graph.tensors[op.inputs[0]].type}"
    tensors = [graph.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
    weights = weight_of(graph, op)
    direct = [tensor for tensor in tensors if tensor is weights]
    behind = [weights] if weights is not None and not direct else []
    return scheme_of_tensors(tensors, direct, behind) or "none"


def looks_up_codes(graph: Subgraph, op: Operator) -> bool:
    """Whether an operator looks rows up in a stored table of integers that conversions alone read."""
    if op.name not in LOOKUPS or not graph.tensors[op.inputs[0]].constant or not graph.tensors[op.inputs[0]].quantized:
        return False
    readers = [other for other in graph.ops if op.outputs[0] in other.inputs]
    return bool(readers) and all(reader.name == "DEQUANTIZE" for reader in readers)


def weight_of(graph: Subgraph, op: Operator) -> Tensor | None:
    """The stored tensor that an operator multiplies by, seen through the DEQUANTIZE that widens it."""
    if op.name not in WEIGHTED:
        return None
    makers = {other.outputs[0]: other for other in graph.ops if other.name == "DEQUANTIZE"}
    for index in op.inputs[:2] if op.name == "EMBEDDING_LOOKUP" else op.inputs[1:2]:
        source = makers[index].inputs[0] if index in makers else index
        tensor = graph.tensors[source]
        if tensor.constant and tensor.type in REAL:
            return tensor
    return None


def computes_as_asked(wanted: str, found: str, op: Operator, weights: Tensor | None) -> bool:
    """Whether an operator computes as asked: a scheme about weights says nothing about operators without."""
    if wanted == found:
        return True
    scheme = SCHEMES[wanted]
    if op.name in LOOKUPS and scheme.mode in ("dynamic", "weight_only"):
        return found in ("none", "dynamic_int8", f"dynamic_int{scheme.weights}")
    if scheme.mode != "static" and weights is None:
        return found == "none"
    if scheme.weights == 4:  # where no kernel takes int4, int8 is what is meant
        return (op.name not in INT4_OPERATORS or weights is None) and found == wanted.replace("int4", "int8")
    return False
