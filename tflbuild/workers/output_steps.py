"""The distance of two neighbouring values that an artifact's output can represent."""

from __future__ import annotations

from tflbuild.core.model import Model, Subgraph, Tensor

CARRIERS = (  # operators that pass values on as they are
    *("DEQUANTIZE", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "SLICE", "STRIDED_SLICE", "REVERSE_V2", "UNPACK"),
)


def read_output_steps(model: Model, key: str) -> dict[str, float]:
    """Return output name -> the scale of its tensor, or of the tensor that a final DEQUANTIZE reads.

    Outputs that are computed in float have none. `key` names the signature.
    """
    signature = next((one for one in model.signatures if one.key == key), None)
    if signature is None:
        return {}
    graph = model.subgraphs[signature.subgraph]
    found = {name: find_step(graph, tensor) for name, tensor in signature.outputs.items()}
    return {name: step for name, step in found.items() if step is not None}


def find_step(graph: Subgraph, tensor: Tensor) -> float | None:
    """Return the scale of a tensor, or of the tensor whose values are passed on to it."""
    makers = {index: op for op in graph.ops for index in op.outputs}
    index = next((place for place, one in enumerate(graph.tensors) if one is tensor), None)
    seen: set[int] = set()
    while index is not None and index not in seen:
        seen.add(index)
        current = graph.tensors[index]
        if len(current.scales) == 1 and current.type.startswith(("int", "uint")):
            return float(current.scales[0])
        maker = makers.get(index)
        index = maker.inputs[0] if maker is not None and maker.name in CARRIERS else None
    return None
