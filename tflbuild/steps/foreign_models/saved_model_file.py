"""Reading of SavedModels from protocol buffers: their graphs, inputs and outputs. No part of them is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import dtypes

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.signature_checks import SourceTensorSpec

# TensorFlow prefers this file to other formats of the SavedModel.
FILE = "saved_model.pb"
DEFAULT_KEY = "serving_default"
Described = tuple[str, dict[str, SourceTensorSpec], dict[str, SourceTensorSpec]]


def read_saved_model(folder: Path, label: str) -> Any:
    """Parse a SavedModel. Raise WorkerError if it is damaged or missing."""
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((folder / FILE).read_bytes())
    except (OSError, DecodeError) as error:
        raise WorkerError(
            f"'{label}' is damaged",
            where="source",
            why=f"its {FILE} cannot be read: {str(error)[:200]}",
            next_step="export the model again",
        ) from error
    return model


def select_graph(model: Any, tags: Sequence[str], label: str) -> Any:
    """Return the graph with these tags, or the only graph if `tags` is empty.

    Raises:
        WorkerError: There is no such graph, or more than one.
    """
    graphs = list(model.meta_graphs)
    matching = [graph for graph in graphs if set(graph.meta_info_def.tags) == set(tags)] if tags else graphs
    if len(matching) != 1:
        has = "; ".join(", ".join(sorted(graph.meta_info_def.tags)) or "none" for graph in graphs)
        raise WorkerError(
            f"'{label}' has {'no' if not matching else 'more than one'} graph with the tags {list(tags)}",
            where="source.tags",
            why=f"the tags of its graphs: {has or 'it has no graph'}",
            next_step="set source.tags",
        )
    return matching[0]


def list_entry_points(graph: Any) -> list[Described]:
    """Return the name, inputs and outputs of every entry point: the signatures, or else the functions."""
    signatures = {
        key: definition
        for key, definition in graph.signature_def.items()
        if not key.startswith("__") and (definition.inputs or definition.outputs)
    }
    if signatures:
        order = list_signature_names(graph.object_graph_def)
        positions = {name: index for index, name in enumerate(order)}
        names = sorted(signatures, key=lambda name: (name != DEFAULT_KEY, positions.get(name, len(positions)), name))
        return [(name, *describe_signature(signatures[name])) for name in names]
    return list(list_functions(graph.object_graph_def))


def list_signature_names(objects: Any) -> list[str]:
    """Return the names of signatures in the order in which they were saved, if it is known."""
    roots = objects.nodes[0].children if objects.nodes else ()
    numbers = [child.node_id for child in roots if child.local_name == "signatures"]
    return [
        child.local_name
        for number in numbers
        if 0 <= number < len(objects.nodes)
        for child in objects.nodes[number].children
    ]


def describe_signature(definition: Any) -> tuple[dict[str, SourceTensorSpec], dict[str, SourceTensorSpec]]:
    """Return the inputs and outputs of a signature."""
    inputs, outputs = (
        {name: SourceTensorSpec(read_shape(info.tensor_shape), read_dtype(info.dtype)) for name, info in side.items()}
        for side in (definition.inputs, definition.outputs)
    )
    return inputs, outputs


def read_shape(shape: Any) -> tuple[int | None, ...] | None:
    """Return a shape; None if its rank is unknown."""
    return None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def read_dtype(number: int) -> str:
    """Return the name of a data type; "" if it is not valid."""
    try:
        return str(dtypes.as_dtype(number).base_dtype.name)
    except TypeError:
        return ""


def list_functions(objects: Any) -> Iterator[Described]:
    """Yield the name, inputs and outputs of the public functions of the root object, or else of its call."""
    if not objects.nodes:
        return
    children = {child.local_name: child.node_id for child in objects.nodes[0].children}
    functions = {
        name: objects.nodes[number].function
        for name, number in children.items()
        if 0 <= number < len(objects.nodes) and objects.nodes[number].WhichOneof("kind") == "function"
    }
    public = sorted(name for name in functions if not name.startswith("_"))
    for name in public or [name for name in functions if name == "__call__"]:
        yield (name if public else DEFAULT_KEY, *describe_function(functions[name], objects))


def describe_function(function: Any, objects: Any) -> tuple[dict[str, SourceTensorSpec], dict[str, SourceTensorSpec]]:
    """Return the inputs and outputs of a function's preferred trace, see `rank_trace`."""
    traces = [
        objects.concrete_functions[name] for name in function.concrete_functions if name in objects.concrete_functions
    ]
    if not traces:
        return {}, {}
    trace = min(traces, key=rank_trace)
    positional, keyword = split_arguments(trace.canonicalized_input_signature)
    inputs = {spec.name or f"input_{index}": spec for index, spec in enumerate(list_specs(positional))}
    inputs |= {name: value.tensor_spec_value for name, value in keyword if is_spec(value)}
    result = trace.output_signature
    if result.WhichOneof("kind") == "dict_value":
        outputs = {name: value for name, value in result.dict_value.fields.items() if is_spec(value)}
        named = {name: value.tensor_spec_value for name, value in outputs.items()}
    else:
        named = {f"output_{index}": spec for index, spec in enumerate(list_specs(result))}
    return (
        {name: SourceTensorSpec(read_shape(spec.shape), read_dtype(spec.dtype)) for name, spec in inputs.items()},
        {name: SourceTensorSpec(read_shape(spec.shape), read_dtype(spec.dtype)) for name, spec in named.items()},
    )


def rank_trace(trace: Any) -> tuple[bool, int]:
    """Return a sort key of a trace; the minimum is preferred, as in `source_entry_points.trace_preference`.

    Traces with an argument that is True, such as `training`, are last. Those with most dynamic shapes are first.
    """
    leaves = list(list_leaves(trace.canonicalized_input_signature))
    shapes = [leaf.tensor_spec_value.shape for leaf in leaves if is_spec(leaf)]
    dynamic_count = sum(shape.unknown_rank or any(dim.size < 0 for dim in shape.dim) for shape in shapes)
    has_true_argument = any(leaf.WhichOneof("kind") == "bool_value" and leaf.bool_value for leaf in leaves)
    return has_true_argument, -dynamic_count


def split_arguments(signature: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """Return the positional arguments of a trace, and the names and values of its keyword arguments."""
    parts = list(signature.tuple_value.values)
    keyword = list(parts[1].dict_value.fields.items()) if len(parts) == 2 else []
    return (parts[0] if parts else signature), keyword


def is_spec(value: Any) -> bool:
    """Return whether a structured value is the specification of a tensor."""
    return str(value.WhichOneof("kind")) in ("tensor_spec_value", "bounded_tensor_spec_value")


def list_specs(value: Any) -> list[Any]:
    """Return the specifications of tensors in a structured value, in their order."""
    return [leaf.tensor_spec_value for leaf in list_leaves(value) if is_spec(leaf)]


def list_leaves(value: Any) -> Iterator[Any]:
    """Yield the innermost values of a structured value. Those of dicts are sorted by their names."""
    kind = value.WhichOneof("kind")
    inner: list[Any] = []
    if kind in ("list_value", "tuple_value"):
        inner = list(getattr(value, kind).values)
    elif kind == "dict_value":
        inner = [value.dict_value.fields[name] for name in sorted(value.dict_value.fields)]
    elif kind == "named_tuple_value":
        inner = [pair.value for pair in value.named_tuple_value.values]
    else:
        yield value
    for part in inner:
        yield from list_leaves(part)


def list_assets(graph: Any) -> Iterator[Any]:
    """Yield the definitions of a graph's asset files, including those in the format of early SavedModels."""
    yield from graph.asset_file_def
    if "saved_model_assets" in graph.collection_def:
        for packed in graph.collection_def["saved_model_assets"].any_list.value:
            asset = meta_graph_pb2.AssetFileDef()
            try:
                asset.ParseFromString(packed.value)
            except DecodeError:
                continue
            yield asset
