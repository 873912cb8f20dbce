"""Translation of a scheme and its rules into a recipe of the LiteRT quantizer: a list in which the last match wins.

The quantizer silently skips an entry that it cannot apply, and then the matching entry before it counts. So stronger
entries follow weaker ones (int4 after int8, an algorithm after min-max), and `check` compares the artifact with the
recipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from litert_quantizer import qtyping, recipe_manager
from litert_quantizer.algorithm_manager import AlgorithmName

from tflbuild.core.schemes import SCHEMES, Scheme
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.rules import INT4_OPERATORS, WEIGHTED, last_match

Operation = qtyping.TFLOperationName
ALL = Operation.ALL_SUPPORTED
ALGORITHMS = {
    "min_max": AlgorithmName.MIN_MAX_UNIFORM_QUANT,
    "octav": AlgorithmName.OCTAV,
    "mse": AlgorithmName.MSE,
    "hadamard": AlgorithmName.HADAMARD_ROTATION,
    "decomposed_hadamard": AlgorithmName.DECOMPOSED_HADAMARD_ROTATION,
    "gptq": AlgorithmName.GPTQ,
    "oscar": AlgorithmName.OSCAR,
}
GRANULARITIES = {
    "per_channel": qtyping.QuantGranularity.CHANNELWISE,
    "per_tensor": qtyping.QuantGranularity.TENSORWISE,
    **{f"blockwise_{size}": qtyping.QuantGranularity[f"BLOCKWISE_{size}"] for size in (32, 64, 128, 256)},
}
INT4_OPERATIONS = tuple(Operation[name] for name in INT4_OPERATORS)
BLOCKWISE_OPERATIONS = (Operation.FULLY_CONNECTED, Operation.EMBEDDING_LOOKUP)
# The quantizer merges entries with an equal regular expression into the first of them. The comment makes this one
# differ from ".*", so that its entries keep their position.
INTERFACE_REGEX = ".*(?#border)"
# The quantizer's name of an operator, where it differs from the name in the schema.
QUANTIZER_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


def make_recipe(params: Mapping[str, Any], operators: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
    """Return the quantizer's recipe for the parameters of a step: the scheme, float inputs and outputs, then the rules.

    Rules are resolved here, operator by operator, so that the result does not depend on the order in which the
    quantizer applies regular expressions.

    Args:
        params: `scheme`, and optionally `rules`, `algorithm`, `granularity`, `symmetric`, `input_type`, `output_type`.
        operators: (operator, name of its first output) of the model's operators. Only rules need them.

    Raises:
        WorkerError: The quantizer cannot apply a rule.
    """
    scheme = SCHEMES[params["scheme"]]
    entries = [*make_scheme_entries(".*", ALL, scheme, params)]
    if scheme.mode == "static":
        interface = (("INPUT", params["input_type"]), ("OUTPUT", params["output_type"]))
        entries += [keep_float(INTERFACE_REGEX, Operation[name]) for name, type_ in interface if type_ == "float32"]
    for operator, name in operators:
        rule = last_match(params.get("rules", ()), operator, name)
        if rule is not None:
            entries += make_rule_entries(operator, name, rule, params)
    return entries


def make_rule_entries(
    operator: str, name: str, rule: Mapping[str, Any], params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the entries for one operator to which a rule applies.

    Raises:
        WorkerError: The rule names the operator's kind, but the quantizer cannot apply it.
    """
    # The quantizer searches the names of the operator's outputs, each followed by a semicolon.
    regex = f"^{re.escape(name)};"
    scheme = SCHEMES[rule["scheme"]]
    is_supported = QUANTIZER_NAMES.get(operator, operator) in Operation.__members__
    if scheme.mode == "float" and not scheme.weights:
        return [keep_float(regex, find_operation(operator))] if is_supported else []
    if scheme.mode != "static" and operator not in WEIGHTED and not rule["op"]:
        return [keep_float(regex, find_operation(operator))] if is_supported else []
    return [*make_scheme_entries(regex, find_operation(operator), scheme, params)]


def find_operation(name: str) -> qtyping.TFLOperationName:
    """Return the quantizer's operation for an operator of the schema.

    Raises:
        WorkerError: The quantizer does not support the operator.
    """
    quantizer_name = QUANTIZER_NAMES.get(name, name)
    if quantizer_name not in Operation.__members__:
        raise WorkerError(
            f"the LiteRT quantizer does not quantize {name}",
            where="quantization.rules",
            why="it stays float32, whatever a rule says",
            next_step="remove the rule",
        )
    return Operation[quantizer_name]


def make_scheme_entries(
    regex: str, operation: Any, scheme: Scheme, params: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the entries that apply a scheme to some operators, weaker ones first."""
    if scheme.mode == "float" and not scheme.weights:
        yield keep_float(regex, operation)
        return
    if scheme.weights == 4:
        yield from make_scheme_entries(
            regex, operation, replace(scheme, weights=8), {**params, "granularity": "per_channel"}
        )
        candidates = INT4_OPERATIONS if operation is ALL else [item for item in INT4_OPERATIONS if item is operation]
        operations = [item for item in candidates if scheme.mode != "static" or item is not Operation.EMBEDDING_LOOKUP]
    else:
        operations = [operation]
        if operation is ALL and scheme.mode == "static":
            operations.append(Operation.BATCH_MATMUL)
    for item in operations:
        yield from make_operation_entries(regex, item, scheme, params)


def make_operation_entries(
    regex: str, operation: Any, scheme: Scheme, params: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the `min_max` entry of an operation, then that of the chosen algorithm if it supports the operation."""
    granularity = GRANULARITIES[params.get("granularity", "per_channel")]
    if "BLOCKWISE" in granularity.name and operation not in BLOCKWISE_OPERATIONS:
        granularity = GRANULARITIES["per_channel"]
    if operation is Operation.BATCH_MATMUL and scheme.mode == "static":
        # Integer kernels of BATCH_MATMUL read one scale of each factor.
        granularity = GRANULARITIES["per_tensor"]
    algorithm = ALGORITHMS[params.get("algorithm", "min_max")]
    entries = make_algorithm_entries(regex, operation, scheme, granularity, ALGORITHMS["min_max"])
    if algorithm is not ALGORITHMS["min_max"] and can_choose(algorithm, scheme):
        entries += make_algorithm_entries(
            f"(?:{regex})(?#by {algorithm.value})", operation, scheme, granularity, algorithm
        )
    for entry in entries:
        if params.get("symmetric") and scheme.activations == 8:
            entry["op_config"]["activation_tensor_config"]["symmetric"] = True
        yield entry


def can_choose(algorithm: Any, scheme: Scheme) -> bool:
    """Return whether an algorithm can choose the weights of a scheme.

    `oscar` always makes a FULLY_CONNECTED with float activations, even if the scheme has integer ones.
    """
    return scheme.weights in (4, 8) and (algorithm is not ALGORITHMS["oscar"] or scheme.mode == "dynamic")


def make_algorithm_entries(
    regex: str, operation: Any, scheme: Scheme, granularity: Any, algorithm: Any
) -> list[dict[str, Any]]:
    """Return the quantizer's entries for one operation, which are none if the algorithm does not support it.

    Raises:
        WorkerError: The quantizer does not support the scheme for this operation even with `min_max`.
    """
    manager = recipe_manager.RecipeManager()
    try:
        if scheme.weights == 16:
            manager.add_weight_only_config(regex, operation, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
        elif scheme.mode == "dynamic":
            manager.add_dynamic_config(regex, operation, scheme.weights, granularity, algorithm)
        elif scheme.mode == "weight_only":
            manager.add_weight_only_config(regex, operation, scheme.weights, granularity, algorithm)
        else:
            manager.add_static_config(regex, operation, scheme.activations, scheme.weights, granularity, algorithm)
    except ValueError as error:
        if algorithm is not ALGORITHMS["min_max"]:
            # The entry with `min_max` remains in effect.
            return []
        raise WorkerError(
            f"the LiteRT quantizer does not support {scheme.name} for {operation.value}",
            where="quantization.rules",
            why=str(error).split("\n")[0][:300],
            next_step="choose another scheme for this operator, or scheme none",
        ) from error
    entries: list[dict[str, Any]] = manager.get_quantization_recipe()
    return entries


def keep_float(regex: str, operation: Any) -> dict[str, Any]:
    """Return the entry that keeps operators in float32."""
    return {"regex": regex, "operation": operation, "algorithm_key": AlgorithmName.NO_QUANTIZE, "op_config": {}}
