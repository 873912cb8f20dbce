"""A scheme and its rules, as the LiteRT quantizer's own recipe: a list in which the last match wins.

The quantizer skips what it cannot do without a word, and then the match before that counts. So
stronger demands stand behind weaker ones (int4 behind int8, an algorithm behind min-max), and
`check` compares what was asked with what was applied.
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
BORDER = ".*(?#border)"  # a regex of its own: entries with the same one stand where the first of them stood
QUANTIZER_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}  # where it differs from the schema's


def make_recipe(params: Mapping[str, Any], operators: Sequence[tuple[str, str]] = ()) -> list[dict[str, Any]]:
    """The whole recipe of a step's parameters: the scheme, float borders, then what the rules say.

    `operators` are the model's, with the names of their outputs: rules are resolved here, operator by
    operator, so that nothing depends on how the quantizer orders regular expressions.
    """
    scheme = SCHEMES[params["scheme"]]
    entries = [*demand(".*", ALL, scheme, params)]
    if scheme.mode == "static":
        borders = (("INPUT", params["input_type"]), ("OUTPUT", params["output_type"]))
        entries += [leave(BORDER, Operation[name]) for name, wanted in borders if wanted == "float32"]
    for operator, name in operators:
        rule = last_match(params.get("rules", ()), operator, name)
        if rule is not None:
            entries += except_operator(operator, name, rule, params)
    return entries


def except_operator(
    operator: str, name: str, rule: Mapping[str, Any], params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One operator's own demand. Raises WorkerError where a rule that names it cannot be honoured."""
    regex = f"^{re.escape(name)};"  # the quantizer looks for it in its outputs' names, each with a semicolon
    scheme = SCHEMES[rule["scheme"]]
    known = QUANTIZER_NAMES.get(operator, operator) in Operation.__members__
    if scheme.mode == "float" and not scheme.weights:
        return [leave(regex, find_operation(operator))] if known else []
    if scheme.mode != "static" and operator not in WEIGHTED and not rule["op"]:
        return [leave(regex, find_operation(operator))] if known else []
    return [*demand(regex, find_operation(operator), scheme, params)]


def find_operation(name: str) -> qtyping.TFLOperationName:
    """The quantizer's operation. Raises WorkerError for one that it never quantizes."""
    own = QUANTIZER_NAMES.get(name, name)
    if own not in Operation.__members__:
        raise WorkerError(
            f"the LiteRT quantizer does not quantize {name}",
            where="quantization.rules",
            why="it stays float32 whatever a rule says",
            next_step="leave the rule out",
        )
    return Operation[own]


def demand(regex: str, operation: Any, scheme: Scheme, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a scheme asks of some operators, the weaker demands first."""
    if scheme.mode == "float" and not scheme.weights:
        yield leave(regex, operation)
        return
    if scheme.weights == 4:
        yield from demand(regex, operation, replace(scheme, weights=8), {**params, "granularity": "per_channel"})
        wanted = INT4_OPERATIONS if operation is ALL else [one for one in INT4_OPERATIONS if one is operation]
        operations = [one for one in wanted if scheme.mode != "static" or one is not Operation.EMBEDDING_LOOKUP]
    else:
        operations = [operation]
        if operation is ALL and scheme.mode == "static":
            operations.append(Operation.BATCH_MATMUL)
    for one in operations:
        yield from apply(regex, one, scheme, params)


def apply(regex: str, operation: Any, scheme: Scheme, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """By minimum and maximum, and then by the algorithm that is asked for, where that can."""
    granularity = GRANULARITIES[params.get("granularity", "per_channel")]
    if "BLOCKWISE" in granularity.name and operation not in BLOCKWISE_OPERATIONS:
        granularity = GRANULARITIES["per_channel"]
    if operation is Operation.BATCH_MATMUL and scheme.mode == "static":
        granularity = GRANULARITIES["per_tensor"]  # its kernels on integers read one scale of each factor
    algorithm = ALGORITHMS[params.get("algorithm", "min_max")]
    found = configure(regex, operation, scheme, granularity, ALGORITHMS["min_max"])
    if algorithm is not ALGORITHMS["min_max"] and can_choose(algorithm, scheme):
        found += configure(f"(?:{regex})(?#by {algorithm.value})", operation, scheme, granularity, algorithm)
    for entry in found:
        if params.get("symmetric") and scheme.activations == 8:
            entry["op_config"]["activation_tensor_config"]["symmetric"] = True
        yield entry


def can_choose(algorithm: Any, scheme: Scheme) -> bool:
    """Whether an algorithm does a scheme's weights as the scheme has them.

    oscar makes a FULLY_CONNECTED hybrid, on float activations, whatever it was asked for.
    """
    return scheme.weights in (4, 8) and (algorithm is not ALGORITHMS["oscar"] or scheme.mode == "dynamic")


def configure(regex: str, operation: Any, scheme: Scheme, granularity: Any, algorithm: Any) -> list[dict[str, Any]]:
    """The quantizer's entry for one operation. Raises WorkerError when it has none of the kind."""
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
            return []  # this operation's demand by minimum and maximum stands
        raise WorkerError(
            f"the LiteRT quantizer has no {scheme.name} for {operation.value}",
            where="quantization.rules",
            why=str(error).split("\n")[0][:300],
            next_step="another scheme for this operator, or none",
        ) from error
    found: list[dict[str, Any]] = manager.get_quantization_recipe()
    return found


def leave(regex: str, operation: Any) -> dict[str, Any]:
    """Operators that stay float32."""
    return {"regex": regex, "operation": operation, "algorithm_key": AlgorithmName.NO_QUANTIZE, "op_config": {}}
