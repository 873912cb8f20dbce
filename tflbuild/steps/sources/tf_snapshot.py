"""The SavedModel snapshot: traced functions and the variables that they use, no layer objects."""

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
AS_IT_IS: dict[str, Any] = {"preprocess": (), "outputs": ()}  # a declared signature that changes nothing
WRITES = ("Assign", "ResourceApply", "ResourceScatter", "ResourceSparse", "LookupTableInsert", "LookupTableImport")


@dataclass(frozen=True)
class Traced:
    """A concrete function, and the names that the entry itself has for its outputs."""

    concrete: Any
    own: tuple[str, ...]


def trace(entry: SourceEntryPoint, specs: Specs, models: Specs, declared: Any) -> Traced:
    """The entry as a concrete function of named tensors with these specs, as a recipe declares it.

    `models` are the specs the model itself takes where the artifact preprocesses. Outputs are named as
    declared, or keep their own names where none of those declared is among them.
    """
    names = list(specs)
    own: list[tuple[str, ...]] = []

    def function(*tensors: Any) -> dict[str, Any]:
        feeds = dict(zip(names, tensors, strict=True))
        for one in declared["preprocess"]:
            feeds[one["input"]] = add_preprocessing(feeds[one["input"]], one, models[one["input"]])
        results = entry.call(feeds)
        own.append(tuple(results))
        return {name: results[mine] for name, mine in declared["outputs"] if mine in results} or results

    signature = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()]
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    return Traced(concrete, own[0])


def save(holder: Any, endpoints: Mapping[str, Any], path: Path) -> None:
    """Write the SavedModel.

    Without layer objects it is written and read back in half the time. A model with other resources,
    such as lookup tables, is saved whole, with its variables still on the module itself: the converter
    freezes those that it finds there, and leaves others as handles that nothing initialises. Raises
    WorkerError for a resource that nothing owns.
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
                next_step="keep it as an attribute of a tf.Module, and give that: module.table = table",
            ) from again


def operations(concrete: Any) -> Iterator[tf.Operation]:
    """Every operation of a function and of the functions that it calls."""
    yield from concrete.graph.get_operations()
    for definition in concrete.graph.as_graph_def().library.function:
        function = concrete.graph._get_function(definition.signature.name)
        graph = getattr(function, "graph", None)
        if graph is not None:
            yield from graph.get_operations()


def is_stateful(concrete: Any) -> bool:
    """Whether calling the function changes a variable or a table."""
    graph = concrete.graph.as_graph_def()
    own = [node.op for node in graph.node]
    called = [node.op for function in graph.library.function for node in function.node_def]
    return any(name.startswith(WRITES) for name in (*own, *called))


def write_origins(endpoints: Mapping[str, Any], root: Path | None, place: Path) -> None:
    """Operation -> the line of the user's own code that made it, for the errors of later steps.

    `root` is where that code lies; without any there is nothing to write.
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
    (place / ORIGINS).write_text(json.dumps(origins, indent=1, sort_keys=True))


def read_origins(snapshot: Path) -> dict[str, str]:
    """What `write_origins` left, {} when nothing."""
    file = snapshot / ORIGINS
    return dict(json.loads(file.read_text())) if file.is_file() else {}


def outputs_of(concrete: Any) -> dict[str, SourceTensorSpec]:
    """Outputs of a traced function by name."""
    return {name: to_spec(tensor) for name, tensor in concrete.structured_outputs.items()}
