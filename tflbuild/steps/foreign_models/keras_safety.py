"""Checks of Keras files: the objects that loading a configuration would make, and those that are refused.

A loader makes an object for every `class_name` in a configuration, at any depth, from the class or function with this
name. By default, only names in `keras_allow_list` are accepted.
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
# Values of `class_name` for which a loader does not look up a class.
VALUES = (
    *("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__"),
    *("TensorShape", "slice"),
)
PACKAGES = ("keras", "tf_keras")
# The modules of tf_keras's initializers.
INITIALIZERS = ("tensorflow.python.ops.init_ops", "tensorflow.python.ops.init_ops_v2")
# Settings for which Keras accepts the path of a file instead of a list.
PATHS = ("vocabulary", "vocabulary_file", "idf_weights", "filepath")
NAMED_FUNCTIONS = ("activation", "recurrent_activation")


@dataclass(frozen=True)
class KerasObject:
    """A serialized object in a configuration.

    Attributes:
        path: The names of the objects that contain it, without the model, and its own name.
        kind: Its `class_name`.
        registered: Its `registered_name`.
        module: Its module.
        config: Its settings.
        owner: The class of the object that contains it.
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
    """A part that is refused.

    Attributes:
        path: Its path in the configuration.
        why: The reason.
        custom: The name under which `source.custom_objects` can define it; "" if `source.allow` must name its path.
    """

    path: str
    why: str
    custom: str = ""


def list_parts(config: Any) -> Iterator[KerasObject]:
    """Yield every object that loading a configuration would make, at any depth. The model is first."""
    model = make_part("", config, "")
    yield model
    for key, value in config.items():
        # The model is not compiled when it is loaded, but a nested model is.
        if key != "compile_config":
            yield from _list_below(model, "" if key == "config" else key, value)


def _list_below(owner: KerasObject, key: str, value: Any) -> Iterator[KerasObject]:
    """Yield the part that a value represents, and the parts in it. `key` is the name of a part without a name."""
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
    """Return `path/name`, or only one of the two if the other is empty."""
    return f"{path}/{name}" if path and name else path or name


def make_part(path: str, value: Any, owner: str) -> KerasObject:
    """Return a serialized object as a KerasObject."""
    kind, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
    return KerasObject(path, str(kind), str(registered or ""), str(module or ""), value.get("config"), owner)


def list_refused(config: Any, custom: Collection[str]) -> list[RefusedPart]:
    """Return the parts that are refused. `custom` are the names of classes and functions in the recipe."""
    refused = []
    for part in list_parts(config):
        # The function of a Lambda layer is allowed together with the layer.
        if is_custom(part, custom) or (part.kind == "__lambda__" and part.owner == "Lambda"):
            continue
        reason, name = explain_part(part)
        if not reason:
            reason, name = explain_settings(part, custom)
        if reason:
            refused.append(RefusedPart(part.path, reason, name))
    return refused


def is_custom(part: KerasObject, custom: Collection[str]) -> bool:
    """Return whether a loader finds a part among the classes and functions of the recipe."""
    own = part.lookup in custom
    return own or (part.kind == "function" and any(name.endswith(f">{part.lookup}") for name in custom))


def explain_part(part: KerasObject) -> tuple[str, str]:
    """Return why a part is refused, and its name for `source.custom_objects`. Both are empty for an allowed part."""
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
        return f"a {kind}, which runs code that is not a layer of Keras", ""
    if kind == "function":
        is_listed = isinstance(part.config, str) and part.config in FUNCTIONS
        is_from_keras = part.module in ("", "builtins") or is_of_keras(part.module)
        if is_listed and is_from_keras and part.registered in ("", "function", part.config):
            return "", ""
        return f"the function '{part.lookup}'" + from_module(part), part.lookup
    is_listed = kind.rpartition(">")[2] in LAYERS | PARTS | OPERATIONS and ">" not in kind
    is_from_keras = not part.module or is_of_keras(part.module)
    if is_listed and is_from_keras and part.registered in ("", kind):
        return "", ""
    return f"the class '{part.lookup}'" + from_module(part), part.lookup


def from_module(part: KerasObject) -> str:
    """Return ` of 'MODULE'` if a part names a module; else ""."""
    return f" of '{part.module}'" if part.module and part.module != "builtins" else ""


def is_of_keras(module: str) -> bool:
    """Return whether a module belongs to Keras 3 or tf_keras."""
    return module.split(".")[0] in PACKAGES or module in INITIALIZERS


def explain_settings(part: KerasObject, custom: Collection[str]) -> tuple[str, str]:
    """Return why a part's settings are refused, and a name for `source.custom_objects`; see `explain_part`.

    Settings are refused if they name a file, or a function that Keras does not have.
    """
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
    """Refuse a configuration with parts that run code or read other files, unless the recipe allows them.

    Args:
        config: The configuration of a Keras file.
        allowed: `source.allow` of the recipe.
        custom: The names in `source.custom_objects` of the recipe.
        label: The name of the file in messages.

    Raises:
        WorkerError: A part is refused. The message has the paths of all such parts, and the recipe key.
    """
    refused = list_refused(config, custom)
    by_path = [part for part in refused if not part.custom]
    require_known_paths([part.path for part in by_path], allowed, label)
    require_unwrapped(refused, label)
    not_allowed = [part for part in by_path if part.path not in allowed]
    if not_allowed:
        raise WorkerError(
            f"'{label}' has {show_parts(not_allowed)}",
            where=ALLOW,
            why="loading the model would run or read this",
            next_step=f"if you trust the file: {ALLOW}=[{','.join(map(quote, [*allowed, *unique(not_allowed)]))}]; "
            "else write the layer without it, or export the model and use source=saved_model",
        )
    custom_parts = [part for part in refused if part.custom]
    if custom_parts:
        first = custom_parts[0].custom.rpartition(">")[2]
        names = ", ".join(repr(name) for name in dict.fromkeys(sorted(part.custom for part in custom_parts)))
        raise WorkerError(
            f"'{label}' has classes or functions of its own: {names}",
            where="source.custom_objects",
            why="\n".join(f"{part.path or 'the model'}: {part.why}" for part in custom_parts[:5]),
            next_step=f"say where they are: source.custom_objects.{first}=file.py:{first}; "
            "or export the model (model.export) and use source=saved_model",
        )


def require_known_paths(paths: list[str], allowed: Collection[str], label: str) -> None:
    """Refuse paths in `source.allow` that the file does not have, or that are those of two parts."""
    for path in allowed:
        if path not in paths:
            raise WorkerError(
                f"'{label}' has no '{path}' to allow",
                where=ALLOW,
                why=f"its parts that run code or reach outside the file: {', '.join(dict.fromkeys(paths)) or 'none'}",
                next_step="for a layer within a model or a wrapper, write the whole path: outer/inner/name",
            )
        if paths.count(path) > 1:
            raise WorkerError(
                f"'{label}' has {paths.count(path)} parts called '{path}'",
                where=ALLOW,
                why="if one of them is allowed, the other is allowed too",
                next_step="rename the layers so that their names differ, and save the model again",
            )


def require_unwrapped(refused: list[RefusedPart], label: str) -> None:
    """Refuse layers with wrappers of tensorflow-model-optimization, whose computation is not in a Keras file."""
    kinds = {part.custom.rpartition(">")[2] for part in refused}
    wrapped = sorted(kind for kind in kinds if kind.startswith(WRAPPERS))
    if wrapped:
        raise WorkerError(
            f"'{label}' has layers wrapped by tensorflow-model-optimization: {', '.join(wrapped)}",
            where="source.path",
            why="the file names these classes, but does not contain their computation",
            next_step="after quantization-aware training, export the model, tf.saved_model.save(model, 'folder'), and\n"
            "use source=saved_model; after pruning or clustering, call strip_pruning or strip_clustering, and save it",
        )


def show_parts(parts: list[RefusedPart]) -> str:
    """Return text such as `a Lambda layer, which carries code: 'a', 'b'; a TFOpLambda, which calls tf.f: 'c'`."""
    kinds = dict.fromkeys(part.why for part in parts)
    return "; ".join(
        f"{why}: {', '.join(repr(path) for path in unique([part for part in parts if part.why == why]))}"
        for why in kinds
    )


def unique(parts: list[RefusedPart]) -> list[str]:
    """Return the different paths of parts."""
    return list(dict.fromkeys(part.path for part in parts))


def quote(path: str) -> str:
    """Return a path as an element of a list on the command line, in quotes if it needs them."""
    plain = all(letter.isalnum() or letter in "_-./" for letter in path)
    return path if plain and path else "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"
