"""What loading a Keras file would make, read in its configuration: every part, and those that may not be made.

A loader makes an object of everything with a `class_name`, wherever it is nested, by the class or function that it
names. Only what is listed in `keras_classes` is made unasked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.foreign_models.keras_allow_list import FUNCTIONS, LAYERS, OPERATIONS, PARTS, SYMBOLS

WRAPPERS = ("QuantizeWrapper", "QuantizeLayer", "PruneLowMagnitude", "ClusterWeights")
ALLOW = "source.allow"
CODE = ("Lambda", "__lambda__")
SYMBOL_LAYERS = ("TFOpLambda", "SlicingOpLambda")
METHOD_LAYERS = ("ClassMethod", "InstanceMethod", "InstanceProperty")
OUTSIDE = ("TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TensorFlowOpLayer")
# values that a loader makes of a `class_name` without looking anything up
VALUES = (
    *("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__"),
    *("TensorShape", "slice"),
)
PACKAGES = ("keras", "tf_keras")
INITIALIZERS = ("tensorflow.python.ops.init_ops", "tensorflow.python.ops.init_ops_v2")  # of tf_keras
# keys under which Keras takes the path of a file in the place of a list
PATHS = ("vocabulary", "vocabulary_file", "idf_weights", "filepath")
NAMED_FUNCTIONS = ("activation", "recurrent_activation")


@dataclass(frozen=True)
class KerasObject:
    """A serialised object of a configuration.

    `path` has the names of what it lies in, the model's own left out; `owner` is the class of what it lies in.
    """

    path: str
    kind: str
    registered: str
    module: str
    config: Any
    owner: str = ""

    @property
    def lookup(self) -> str:
        """The name by which a loader looks for a custom class or function."""
        return self.config if self.kind == "function" and isinstance(self.config, str) else self.registered or self.kind


@dataclass(frozen=True)
class RefusedPart:
    """A part that a loader may not make. `custom` is the name under which the recipe could say what it is, "" where
    it must be allowed by its path."""

    path: str
    why: str
    custom: str = ""


def list_parts(config: Any) -> Iterator[KerasObject]:
    """Yield everything that loading a configuration would make, wherever it is nested, the model itself first."""
    model = make_part("", config, "")
    yield model
    for key, value in config.items():
        if key != "compile_config":  # a model is not compiled, one in it is
            yield from _list_below(model, "" if key == "config" else key, value)


def _list_below(owner: KerasObject, key: str, value: Any) -> Iterator[KerasObject]:
    """Yield the part that a value is, and those in it. `key` names one that has no name of its own."""
    if isinstance(value, dict) and "class_name" in value:
        inner = value.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        owner, key = make_part(join(owner.path, str(name or value.get("name") or key)), value, owner.kind), ""
        yield owner
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _list_below(owner, key if name in ("config", "layers") else join(key, name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _list_below(owner, join(key, str(index)) if key else "", item)


def join(path: str, name: str) -> str:
    """`path/name`, or the one of them that is not empty."""
    return f"{path}/{name}" if path and name else path or name


def make_part(path: str, value: Any, owner: str) -> KerasObject:
    """Return a serialised object as a part."""
    kind, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
    return KerasObject(path, str(kind), str(registered or ""), str(module or ""), value.get("config"), owner)


def list_refused(config: Any, custom: Collection[str]) -> list[RefusedPart]:
    """Return the parts that may not be made. `custom` are the names of the recipe's own classes and functions."""
    refused = []
    for part in list_parts(config):
        if is_custom(part, custom) or (part.kind == "__lambda__" and part.owner == "Lambda"):
            continue  # the function of a Lambda layer is allowed with the layer
        why, name = explain_part(part)
        if not why:
            why, name = explain_settings(part, custom)
        if why:
            refused.append(RefusedPart(part.path, why, name))
    return refused


def is_custom(part: KerasObject, custom: Collection[str]) -> bool:
    """Whether a loader finds a part among the recipe's own classes and functions."""
    own = part.lookup in custom
    return own or (part.kind == "function" and any(name.endswith(f">{part.lookup}") for name in custom))


def explain_part(part: KerasObject) -> tuple[str, str]:
    """Return (why a part may not be made, its name among custom objects), both empty for one that only computes."""
    kind = part.kind
    if kind in VALUES:
        return "", ""
    if kind in CODE:
        return "a Lambda layer, which carries code", ""
    if kind in SYMBOL_LAYERS:
        symbol = str(part.config.get("function", "")) if isinstance(part.config, dict) else ""
        symbol = symbol or ("__operators__.getitem" if kind == "SlicingOpLambda" else "")
        return ("", "") if symbol in SYMBOLS else (f"a {kind}, which calls tf.{symbol}", "")
    if kind in METHOD_LAYERS:
        return f"a {kind}, which calls a method by its name", ""
    if kind in OUTSIDE:
        return f"a {kind}, which runs what is no layer of Keras", ""
    if kind == "function":
        known = isinstance(part.config, str) and part.config in FUNCTIONS
        at_home = part.module in ("", "builtins") or is_of_keras(part.module)
        if known and at_home and part.registered in ("", "function", part.config):
            return "", ""
        return f"the function '{part.lookup}'" + from_module(part), part.lookup
    known = kind.rpartition(">")[2] in LAYERS | PARTS | OPERATIONS and ">" not in kind
    at_home = not part.module or is_of_keras(part.module)
    if known and at_home and part.registered in ("", kind):
        return "", ""
    return f"the class '{part.lookup}'" + from_module(part), part.lookup


def from_module(part: KerasObject) -> str:
    """`` of 'module'`` where a part names one."""
    return f" of '{part.module}'" if part.module and part.module != "builtins" else ""


def is_of_keras(module: str) -> bool:
    """Whether a module is one of Keras's."""
    return module.split(".")[0] in PACKAGES or module in INITIALIZERS


def explain_settings(part: KerasObject, custom: Collection[str]) -> tuple[str, str]:
    """Return the same for settings of a part that name a file, or a function that is none of Keras's."""
    settings = part.config if isinstance(part.config, dict) else {}
    for key in PATHS:
        if isinstance(settings.get(key), str) and settings[key]:
            return f"a {part.kind} that reads the file '{settings[key]}'", ""
    for key in NAMED_FUNCTIONS:
        name = settings.get(key)
        if isinstance(name, str) and name not in FUNCTIONS | PARTS | LAYERS and name not in custom:
            return f"the function '{name}'", name
    return "", ""


def require_allowed(config: Any, allowed: Collection[str], custom: Collection[str], label: str) -> None:
    """Refuse a configuration with parts that run code or reach outside the file, and that the recipe does not name.

    Args:
        config: The configuration of a Keras file.
        allowed: The recipe's `source.allow`.
        custom: The names of its `source.custom_objects`.
        label: What a person calls the file.

    Raises:
        WorkerError: with the path of each such part, and the key that allows it.
    """
    refused = list_refused(config, custom)
    by_path = [part for part in refused if not part.custom]
    require_known_paths([part.path for part in by_path], allowed, label)
    require_unwrapped(refused, label)
    left = [part for part in by_path if part.path not in allowed]
    if left:
        raise WorkerError(
            f"'{label}' has {show_parts(left)}",
            where=ALLOW,
            why="it would run or be read when the model is loaded",
            next_step=f"if you trust the file: {ALLOW}=[{','.join(map(quote, [*allowed, *unique(left)]))}]; "
            "else write the layer without it, or export the model and use source=saved_model",
        )
    named = [part for part in refused if part.custom]
    if named:
        first = named[0].custom.rpartition(">")[2]
        names = ", ".join(repr(name) for name in dict.fromkeys(sorted(part.custom for part in named)))
        raise WorkerError(
            f"'{label}' has classes or functions of its own: {names}",
            where="source.custom_objects",
            why="\n".join(f"{part.path or 'the model'}: {part.why}" for part in named[:5]),
            next_step=f"say where they are: source.custom_objects.{first}=file.py:{first}; "
            "or export the model (model.export) and use source=saved_model",
        )


def require_known_paths(paths: list[str], allowed: Collection[str], label: str) -> None:
    """Refuse allowed paths that are not in a file, and those that two of its parts share."""
    for path in allowed:
        if path not in paths:
            raise WorkerError(
                f"'{label}' has no '{path}' to allow",
                where=ALLOW,
                why=f"its parts that run code or reach outside the file: {', '.join(dict.fromkeys(paths)) or 'none'}",
                next_step="a layer within a model or a wrapper is named with what it lies in: outer/inner/name",
            )
        if paths.count(path) > 1:
            raise WorkerError(
                f"'{label}' has {paths.count(path)} parts called '{path}'",
                where=ALLOW,
                why="to allow one would be to allow another",
                next_step="give the layers different names, and save the model again",
            )


def require_unwrapped(refused: list[RefusedPart], label: str) -> None:
    """Refuse layers wrapped by tensorflow-model-optimization, which a Keras file only names."""
    kinds = {part.custom.rpartition(">")[2] for part in refused}
    wrapped = sorted(kind for kind in kinds if kind.startswith(WRAPPERS))
    if wrapped:
        raise WorkerError(
            f"'{label}' has layers wrapped by tensorflow-model-optimization: {', '.join(wrapped)}",
            where="source.path",
            why="the file names these classes and does not hold what they compute",
            next_step="after quantization-aware training export the model, tf.saved_model.save(model, 'folder'), and\n"
            "use source=saved_model; after pruning or clustering call strip_pruning or strip_clustering and save again",
        )


def show_parts(parts: list[RefusedPart]) -> str:
    """`a Lambda layer, which carries code: 'a', 'b'; a TFOpLambda, which calls tf.io.write_file: 'c'`."""
    kinds = dict.fromkeys(part.why for part in parts)
    return "; ".join(
        f"{why}: {', '.join(repr(path) for path in unique([part for part in parts if part.why == why]))}"
        for why in kinds
    )


def unique(parts: list[RefusedPart]) -> list[str]:
    """Return the paths of parts, each once."""
    return list(dict.fromkeys(part.path for part in parts))


def quote(path: str) -> str:
    """A path as an element of a list on the command line."""
    plain = all(letter.isalnum() or letter in "_-./" for letter in path)
    return path if plain and path else "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"
