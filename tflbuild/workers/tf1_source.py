"""SavedModels of TensorFlow 1 with reference variables, which TensorFlow 2 loads and cannot save again.

Their signatures are frozen: every variable becomes the constant that it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.workers.signatures import Spec
from tflbuild.workers.tf_entries import Entry, to_spec

v1 = tf.compat.v1
REFERENCE_OPERATORS = ("Variable", "VariableV2")


def has_reference_variables(model: Any) -> bool:
    """Whether a loaded model is one of TensorFlow 1 whose variables are no resources."""
    graph = getattr(model, "graph", None)
    return graph is not None and any(node.op in REFERENCE_OPERATORS for node in graph.as_graph_def().node)


def freeze_references(path: Path, tags: Sequence[str]) -> dict[str, Entry]:
    """Signature -> its function, variables frozen."""
    with tf.Graph().as_default(), v1.Session() as session:
        meta = v1.saved_model.load(session, list(tags), str(path))
        return {key: freeze(session, definition) for key, definition in meta.signature_def.items() if definition.inputs}


def freeze(session: Any, definition: Any) -> Entry:
    """One signature as an entry point."""
    outputs = {name: info.name for name, info in definition.outputs.items()}
    inputs = {name: info.name for name, info in definition.inputs.items()}
    nodes = sorted({name.partition(":")[0] for name in outputs.values()})
    graph = v1.graph_util.convert_variables_to_constants(session, session.graph_def, nodes)
    specs: dict[str, Spec] = {
        name: to_spec(session.graph.get_tensor_by_name(tensor)) for name, tensor in inputs.items()
    }

    def call(feeds: dict[str, Any]) -> dict[str, Any]:
        fed = {tensor: feeds[name] for name, tensor in inputs.items()}
        found = tf.graph_util.import_graph_def(graph, input_map=fed, return_elements=list(outputs.values()), name="")
        return dict(zip(outputs, found, strict=True))

    return Entry(specs, call)
