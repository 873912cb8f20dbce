"""The SavedModel snapshot: traced functions and the variables that they use, without layer objects."""

from __future__ import annotations

import json
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.sources.preprocess import add_preprocessing
from tflbuild.steps.sources.source_entry_points import SourceEntryPoint, to_spec
from tflbuild.tflite.signature_checks import SourceTensorSpec, Specs

ORIGINS = "origins.json"
# A declared signature that changes nothing.
UNCHANGED: dict[str, Any] = {"preprocess": (), "outputs": ()}
# The first words of the names of TensorFlow operators that change a variable or a table.
WRITES = ("Assign", "ResourceApply", "ResourceScatter", "ResourceSparse", "LookupTableInsert", "LookupTableImport")


@dataclass(frozen=True)
class Traced:
    """A concrete function, and the names of its outputs in the source (`own`)."""

    concrete: Any
    own: tuple[str, ...]


def trace(entry: SourceEntryPoint, specs: Specs, models: Specs, declared: Any) -> Traced:
    """Trace an entry point as a concrete function of named tensors.

    Args:
        entry: The entry point.
        specs: The inputs of the artifact.
        models: The inputs of the source, for inputs that the artifact preprocesses.
        declared: The signature in the recipe, as JSON. Outputs get the declared names; they keep their own names if the
            source has none of the declared outputs.
    """
    names = list(specs)
    own_names: list[tuple[str, ...]] = []

    def function(*tensors: Any) -> dict[str, Any]:
        feeds = dict(zip(names, tensors, strict=True))
        for settings in declared["preprocess"]:
            feeds[settings["input"]] = add_preprocessing(feeds[settings["input"]], settings, models[settings["input"]])
        results = entry.call(feeds)
        own_names.append(tuple(results))
        return {name: results[own_name] for name, own_name in declared["outputs"] if own_name in results} or results

    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()]
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    return Traced(concrete, own_names[0])


def save(holder: Any, endpoints: Mapping[str, Any], path: Path) -> None:
    """Write the SavedModel.

    It has no layer objects, which halves the time to write and to read it. A model with other resources, such as lookup
    tables, is saved as a whole. Its variables are attributes of the module too, because the converter freezes only
    these, and leaves other variables as handles that are never initialised.

    Args:
        holder: The model object, which owns the resources.
        endpoints: The concrete functions by signature name.
        path: The folder to make.

    Raises:
        WorkerError: A function uses a table or variable that the model does not own.
    """
    module = tf.Module()
    used = (variable for concrete in endpoints.values() for variable in concrete.graph.variables)
    module.kept = list({id(variable): variable for variable in used}.values())
    try:
        tf.saved_model.save(module, str(path), signatures=dict(endpoints))
    except AssertionError as error:
        if "untracked" not in str(error):
            raise
        module.holder = holder
        try:
            tf.saved_model.save(module, str(path), signatures=dict(endpoints))
        except AssertionError as again:
            raise WorkerError(
                "the function uses a table or variable that the model does not own",
                where="source",
                why=str(again).strip().split("\n")[0][:300],
                next_step="make it an attribute of a tf.Module (module.table = table), and return the module",
            ) from again


def operations(concrete: Any) -> Iterator[tf.Operation]:
    """Yield every operation of a function, and of the functions that it calls."""
    yield from concrete.graph.get_operations()
    for definition in concrete.graph.as_graph_def().library.function:
        function = concrete.graph._get_function(definition.signature.name)
        graph = getattr(function, "graph", None)
        if graph is not None:
            yield from graph.get_operations()


def is_stateful(concrete: Any) -> bool:
    """Return whether a call of a function changes a variable or a table."""
    graph = concrete.graph.as_graph_def()
    own = [node.op for node in graph.node]
    called = [node.op for function in graph.library.function for node in function.node_def]
    return any(name.startswith(WRITES) for name in (*own, *called))


def write_origins(endpoints: Mapping[str, Any], root: Path | None, snapshot: Path) -> None:
    """Write which line of user code made each operation. Later steps use it in their errors.

    Args:
        endpoints: The concrete functions.
        root: The folder of the user code. None: nothing is written.
        snapshot: The folder of the snapshot.
    """
    if root is None:
        return
    origins: dict[str, str] = {}
    for concrete in endpoints.values():
        for operation in operations(concrete):
            frames = [frame for frame in operation.traceback or () if frame.filename.startswith(str(root))]
            if frames:
                frame = frames[-1]
                file = Path(frame.filename).relative_to(root).as_posix()
                line = linecache.getline(frame.filename, frame.lineno).strip()
                origins[operation.name] = f"{file}:{frame.lineno} in {frame.name}: {line}"
    (snapshot / ORIGINS).write_text(json.dumps(origins, indent=1, sort_keys=True))


def read_origins(snapshot: Path) -> dict[str, str]:
    """Read the lines that `write_origins` wrote: operation -> line of user code. Empty if nothing was written."""
    file = snapshot / ORIGINS
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def outputs_of(concrete: Any) -> dict[str, SourceTensorSpec]:
    """Return the shape and type of each output of a traced function."""
    return {name: to_spec(tensor) for name, tensor in concrete.structured_outputs.items()}
