"""SavedModels of TensorFlow 1 with reference variables or tables, which TensorFlow 2 can load but not save again.

Their signatures are frozen: every variable becomes a constant, and every table becomes an object of TensorFlow 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.steps.sources.source_entry_points import SourceEntryPoint, to_spec

v1 = tf.compat.v1
TABLES = ("HashTable", "HashTableV2")
LOST = ("Variable", "VariableV2", *TABLES)


def is_lost(model: Any) -> bool:
    """Return whether a model was made by TensorFlow 1, and would be saved without its variables or tables."""
    graph = getattr(model, "graph", None)
    return graph is not None and any(node.op in LOST for node in graph.as_graph_def().node)


def freeze_signatures(path: Path, tags: Sequence[str]) -> tuple[tf.Module, dict[str, SourceEntryPoint]]:
    """Return the owner of all tables, and the entry point of each signature with frozen variables.

    Args:
        path: The folder of the SavedModel.
        tags: The tags of the graph to load.
    """
    with tf.Graph().as_default() as graph, v1.Session() as session:
        meta = v1.saved_model.load(session, list(tags), str(path))
        contents = {
            node.name: read_table(session, graph, node) for node in graph.as_graph_def().node if node.op in TABLES
        }
        definitions = {key: definition for key, definition in meta.signature_def.items() if definition.inputs}
        frozen = {key: freeze(session, definition) for key, definition in definitions.items()}
    owner = tf.Module()
    owner.tables = [make_table(*content) for content in contents.values()]
    handles = {f"{name}:0": table.resource_handle for name, table in zip(contents, owner.tables, strict=True)}
    return owner, {key: make_entry(definitions[key], *frozen[key], handles) for key in definitions}


def freeze(session: Any, definition: Any) -> tuple[Any, dict[str, Any]]:
    """Return the graph of a signature with constants instead of variables, and the shapes and types of its inputs."""
    nodes = sorted({info.name.partition(":")[0] for info in definition.outputs.values()})
    specs = {name: to_spec(session.graph.get_tensor_by_name(info.name)) for name, info in definition.inputs.items()}
    return v1.graph_util.convert_variables_to_constants(session, session.graph_def, nodes), specs


def make_entry(definition: Any, graph: Any, specs: dict[str, Any], handles: Mapping[str, Any]) -> SourceEntryPoint:
    """Return a frozen signature as an entry point.

    Args:
        definition: The SignatureDef.
        graph: Its frozen GraphDef.
        specs: The shape and type of each input.
        handles: The name of the tensor of each table in the graph, and the handle of the new table.
    """
    names = {node.name for node in graph.node}
    outputs = {name: info.name for name, info in definition.outputs.items()}

    def call(feeds: dict[str, Any]) -> dict[str, Any]:
        capture = v1.get_default_graph().capture
        input_map = {info.name: feeds[name] for name, info in definition.inputs.items()}
        input_map |= {name: capture(handle) for name, handle in handles.items() if name.partition(":")[0] in names}
        results = tf.graph_util.import_graph_def(
            graph, input_map=input_map, return_elements=list(outputs.values()), name=""
        )
        return dict(zip(outputs, results, strict=True))

    return SourceEntryPoint(specs, call)


def read_table(session: Any, graph: Any, node: Any) -> tuple[Any, ...]:
    """Return the keys and the values of a table that the session has filled, and the types of keys and values."""
    kinds = [tf.as_dtype(node.attr[side].type) for side in ("key_dtype", "value_dtype")]
    with graph.as_default():
        handle = graph.get_tensor_by_name(f"{node.name}:0")
        contents = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=kinds[0], Tvalues=kinds[1])
    return (*session.run(contents), *kinds)


def make_table(keys: Any, values: Any, key_dtype: Any, value_dtype: Any) -> Any:
    """Return a table as an object of TensorFlow 2. Its default is never used, since each look-up has its own."""
    content = tf.lookup.KeyValueTensorInitializer(tf.constant(keys, key_dtype), tf.constant(values, value_dtype))
    return tf.lookup.StaticHashTable(content, tf.constant("" if value_dtype == tf.string else 0, value_dtype))
