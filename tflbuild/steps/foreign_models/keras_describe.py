"""The step `describe_keras`: it reads the inputs and outputs of a Keras file from its configuration.

No layer is built. Shapes that cannot be inferred are unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.foreign_models.keras_file import open_keras_file
from tflbuild.steps.foreign_models.keras_safety import list_refused
from tflbuild.steps.foreign_models.keras_shapes import infer_shape
from tflbuild.tflite.signature_checks import Shape, SourceTensorSpec, signature_json

KEY = "serving_default"
UNKNOWN = SourceTensorSpec(None, "")
# Layers whose output has the type of their input, also for integers and strings.
KEEPS_TYPE = ("Reshape", "Flatten", "Permute", "RepeatVector", "Concatenate", "Identity", "InputLayer")
STORED_TYPES = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
Reference = tuple[str, int, int]


def run(request: StepRequest) -> Facts:
    """Run the step. Its output is `signature.json`.

    Returns:
        Facts: `asks`, the parts that a recipe must allow, each with its path, the reason, and the recipe key.

    Raises:
        WorkerError: The file is not a Keras file, is damaged, or is nested too deeply.
    """
    file = open_keras_file(request.inputs["source"], request.labels["source"])
    inputs, outputs = describe_model(file.config)
    request.write_json("signature.json", {**signature_json(KEY, inputs, outputs, KEY), "more": []})
    named = request.params.get("custom_objects", {})
    custom = {part.custom for part in list_refused(file.config, named) if part.custom.rpartition(">")[2] in named}
    return {
        "asks": [
            {"path": part.path, "why": part.why, "key": key_of(part.custom)}
            for part in list_refused(file.config, {*named, *custom})
            if part.custom or part.path not in request.params.get("allow", ())
        ]
    }


def key_of(custom: str) -> str:
    """Return the recipe key that allows a part. `custom` is its name, or "" for a part that is allowed by its path."""
    return f"source.custom_objects.{custom.rpartition('>')[2]}" if custom else "source.allow"


def describe_model(config: Any) -> tuple[dict[str, SourceTensorSpec], dict[str, SourceTensorSpec]]:
    """Return the inputs and outputs of a model from its configuration.

    The outputs of a model of the user's own class are unknown, since its code decides them.
    """
    inner = config.get("config")
    if isinstance(inner, Mapping) and "input_layers" in inner:
        graph = LayerGraph.read(inner, LayerBudget())
        return graph.inputs, graph.outputs()
    if config["class_name"] == "Sequential":
        return describe_sequential(inner)
    return describe_built(config.get("build_config")), {}


def describe_built(built: Any) -> dict[str, SourceTensorSpec]:
    """Return the inputs with which a model of the user's own class was built. The batch is always dynamic."""
    built = built if isinstance(built, Mapping) else {}
    shapes = {name.removesuffix("_shape"): shape for name, shape in dict(built.get("shapes_dict") or {}).items()}
    if not shapes:
        shapes = {"inputs": built.get("input_shape")}
    read = {name: read_shape(shape) for name, shape in shapes.items()}
    return {name: SourceTensorSpec(shape and (None, *shape[1:]), "float32") for name, shape in read.items()}


def describe_sequential(config: Any) -> tuple[dict[str, SourceTensorSpec], dict[str, SourceTensorSpec]]:
    """Return the input and the output of a sequential model. Its input may be known only from its first call."""
    layers = [layer for layer in layers_of(config) if layer.kind != "InputLayer"]
    first = next((layer.input_spec for layer in layers_of(config) if layer.input_spec), None)
    if not layers:
        return {}, {}
    built = read_shape(config.get("build_input_shape")) if isinstance(config, Mapping) else None
    spec = first or (SourceTensorSpec(built, layers[0].dtype) if built else None)
    start = layers_of(config)[0]
    name = start.name if start.kind == "InputLayer" else f"{start.name}_input" if first else "inputs"
    if spec is None:
        return {name: SourceTensorSpec(None, "float32")}, {layers[-1].name: SourceTensorSpec(None, layers[-1].dtype)}
    return {name: spec}, {layers[-1].name: run_chain(layers, spec, LayerBudget())}


@dataclass(frozen=True)
class LayerConfig:
    """A layer of a configuration.

    Attributes:
        kind: Its class.
        name: Its name.
        config: Its settings.
        nodes: For each of its calls, the tensors that are its inputs.
    """

    kind: str
    name: str
    config: Mapping[str, Any]
    nodes: tuple[tuple[Any, ...], ...] = ()

    @property
    def dtype(self) -> str:
        """The type of the layer's computation."""
        return read_dtype(self.config.get("dtype"))

    @property
    def input_spec(self) -> SourceTensorSpec | None:
        """The input that an input layer, or the first layer, declares; None if it declares none."""
        shape = read_shape(self.config.get("batch_shape") or self.config.get("batch_input_shape"))
        return None if shape is None else SourceTensorSpec(shape, self.dtype)


def layers_of(config: Any) -> list[LayerConfig]:
    """Return the layers of a model's configuration. In early versions of Keras, the configuration is a list."""
    listed = config if isinstance(config, list) else config.get("layers", ()) if isinstance(config, Mapping) else ()
    return [read_layer(entry) for entry in listed if isinstance(entry, Mapping)]


def read_layer(entry: Mapping[str, Any]) -> LayerConfig:
    """Return one layer. If it has no name, it gets that of its class."""
    inner = entry.get("config")
    settings = inner if isinstance(inner, Mapping) else {"layers": inner}
    kind = str(entry.get("class_name"))
    name = str(settings.get("name") or entry.get("name") or kind)
    nodes = entry.get("inbound_nodes")
    return LayerConfig(kind, name, settings, tuple(tuple(find_tensors(n)) for n in nodes or () if n is not None))


def find_tensors(node: Any) -> Iterator[Any]:
    """Yield the input tensors of a layer's call: the layer, its call, the output, and the stated shape and type."""
    if isinstance(node, Mapping):
        inner = node.get("config")
        if node.get("class_name") == "__keras_tensor__" and isinstance(inner, Mapping):
            yield (
                *read_reference(inner.get("keras_history")),
                SourceTensorSpec(read_shape(inner.get("shape")), str(inner.get("dtype"))),
            )
            return
        for value in node.values():
            yield from find_tensors(value)
    elif isinstance(node, (list, tuple)):
        if is_reference(node):
            yield (*read_reference(node), UNKNOWN)
            yield from find_tensors(node[3:])
            return
        for value in node:
            yield from find_tensors(value)


def is_reference(value: Any) -> bool:
    """Return whether a list refers to an output: the name of a layer, the index of its call, and that of the output."""
    return (
        isinstance(value, (list, tuple))
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(part, int) and part >= 0 for part in value[1:3])
    )


def read_reference(value: Any) -> Reference:
    """Return a reference. An invalid value results in a reference to no layer."""
    return (value[0], value[1], value[2]) if is_reference(value) else ("", 0, 0)


def read_shape(value: Any) -> Shape | None:
    """Return a shape of a configuration; None if it is invalid."""
    if not isinstance(value, (list, tuple)) or not all(size is None or isinstance(size, int) for size in value):
        return None
    return tuple(value)


def read_dtype(value: Any) -> str:
    """Return the type of the computation for a dtype policy."""
    if isinstance(value, Mapping):
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, Mapping) else None
    name = str(value or "float32")
    return STORED_TYPES.get(name, name)


@dataclass
class LayerBudget:
    """A limit for the number of layers that are inferred, since nested models could repeat each other endlessly."""

    left: int = 50_000

    def spend(self) -> bool:
        """Count one more layer, and return whether the limit allows it."""
        self.left -= 1
        return self.left >= 0


@dataclass
class LayerGraph:
    """A functional model: its layers, and the tensors between them."""

    layers: dict[str, LayerConfig]
    inputs: dict[str, SourceTensorSpec]
    output_layers: Any
    budget: LayerBudget
    tensors: dict[Reference, SourceTensorSpec] = field(default_factory=dict)

    @classmethod
    def read(
        cls, config: Mapping[str, Any], budget: LayerBudget, input_specs: tuple[SourceTensorSpec, ...] = ()
    ) -> LayerGraph:
        """Return the graph of a configuration, with all tensors inferred.

        Args:
            config: The configuration of a functional model.
            budget: The limit for the number of layers.
            input_specs: The inputs of the call, if the model is part of another one. Otherwise, the declared inputs
                count.
        """
        layers = {layer.name: layer for layer in layers_of(config)}
        names = [name for name, _, _ in list_references(config.get("input_layers"))]
        inputs = {name: layers[name].input_spec or UNKNOWN for name in names if name in layers}
        if len(input_specs) == len(inputs):
            inputs = dict(zip(inputs, input_specs, strict=True))
        graph = cls(layers, inputs, config.get("output_layers"), budget)
        graph.tensors = {(name, 0, 0): spec for name, spec in inputs.items()}
        graph.infer()
        return graph

    def infer(self) -> None:
        """Infer every tensor, in an order in which the inputs of each call are known."""
        calls = {(layer.name, index + self.count_own_calls(layer)): layer for layer, index in self.list_calls()}
        users: dict[tuple[str, int], list[tuple[str, int]]] = {}
        missing: dict[tuple[str, int], int] = {}
        for call in calls:
            producers = {tensor[:2] for tensor in self.read_call(call) if tensor[:2] in calls}
            missing[call] = len(producers)
            for producer in producers:
                users.setdefault(producer, []).append(call)
        ready = [call for call, count in missing.items() if not count]
        while ready:
            name, index = call = ready.pop()
            input_tensors = self.read_call(call)
            specs = [combine_specs(self.tensors.get(tensor[:3], UNKNOWN), tensor[3]) for tensor in input_tensors]
            for index_of_output, spec in enumerate(
                infer_layer(calls[call], specs, self.budget) if input_tensors else ()
            ):
                self.tensors[name, index, index_of_output] = spec
            for user in users.get(call, ()):
                missing[user] -= 1
                ready += [] if missing[user] else [user]

    def list_calls(self) -> list[tuple[LayerConfig, int]]:
        """Return all calls of layers: the layer, and the index of the call in the configuration."""
        return [(layer, index) for layer in self.layers.values() for index in range(len(layer.nodes))]

    def read_call(self, call: tuple[str, int]) -> tuple[Any, ...]:
        """Return the input tensors of a call. The index of the call is that in references."""
        layer = self.layers[call[0]]
        return layer.nodes[call[1] - self.count_own_calls(layer)]

    def count_own_calls(self, layer: LayerConfig) -> int:
        """Return 1 if references count the call that built a nested model, which Keras 2 does not store; else 0."""
        first, second = ((layer.name, index) in self.references for index in (0, 1))
        return int("layers" in layer.config and second and not first)

    @cached_property
    def references(self) -> set[tuple[str, int]]:
        """The calls whose outputs are used."""
        used = {tensor[:2] for layer in self.layers.values() for node in layer.nodes for tensor in node}
        return used | {reference[:2] for reference in list_references(self.output_layers)}

    def outputs(self) -> dict[str, SourceTensorSpec]:
        """Return the outputs by name: the keys of a dict, or the names of the layers that compute them."""
        if isinstance(self.output_layers, Mapping):
            pairs = [(str(key), read_reference(value)) for key, value in self.output_layers.items()]
        else:
            pairs = [(reference[0], reference) for reference in list_references(self.output_layers)]
        return {name: self.tensors.get(reference, UNKNOWN) for name, reference in pairs}


def list_references(value: Any) -> list[Reference]:
    """Return the references in a model's inputs or outputs, which are one reference, a list or a dict."""
    if is_reference(value):
        return [read_reference(value)]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [reference for item in items for reference in list_references(item)]


def combine_specs(inferred: SourceTensorSpec, stated: SourceTensorSpec) -> SourceTensorSpec:
    """Return the inferred shape and type of a tensor, or else the ones that the file states."""
    return SourceTensorSpec(stated.shape if inferred.shape is None else inferred.shape, inferred.dtype or stated.dtype)


def run_chain(layers: list[LayerConfig], spec: SourceTensorSpec, budget: LayerBudget) -> SourceTensorSpec:
    """Return the output of a chain of layers for an input."""
    for layer in layers:
        spec = next(iter(infer_layer(layer, [spec], budget)), UNKNOWN)
    return spec


def infer_layer(layer: LayerConfig, specs: list[SourceTensorSpec], budget: LayerBudget) -> list[SourceTensorSpec]:
    """Return the outputs of a layer's call. Unknown shapes and types stay unknown."""
    if not budget.spend():
        return [UNKNOWN]
    if "input_layers" in layer.config:
        return list(LayerGraph.read(layer.config, budget, tuple(specs)).outputs().values())
    if layer.kind == "Sequential":
        inner = layer.config["layers"] if isinstance(layer.config.get("layers"), list) else []
        chain = [inner_layer for inner_layer in layers_of(inner) if inner_layer.kind != "InputLayer"]
        return [run_chain(chain, specs[0], budget)] if specs else []
    if layer.kind in ("TimeDistributed", "Bidirectional"):
        return [infer_wrapped(layer, specs, budget)] if specs else []
    kind = str(layer.config.get("function")) if layer.kind == "TFOpLambda" else layer.kind
    shape = infer_shape(kind, layer.config, [spec.shape for spec in specs])
    first = specs[0].dtype if specs else ""
    keeps_type = layer.kind in KEEPS_TYPE and first not in ("", "float32", "float64", "float16", "bfloat16")
    states_type = "dtype" in layer.config and not layer.kind.endswith("Lambda")
    state = (
        [SourceTensorSpec((shape[0], layer.config.get("units")), layer.dtype)]
        if shape and layer.config.get("return_state")
        else []
    )
    dtype = first if keeps_type or (shape is not None and not states_type) else layer.dtype if states_type else ""
    return [SourceTensorSpec(shape, dtype), *state * (2 if layer.kind == "LSTM" else 1)]


def infer_wrapped(layer: LayerConfig, specs: list[SourceTensorSpec], budget: LayerBudget) -> SourceTensorSpec:
    """Return the output of a TimeDistributed or Bidirectional layer."""
    entry = layer.config.get("layer")
    shape = specs[0].shape
    if not isinstance(entry, Mapping) or shape is None:
        return SourceTensorSpec(None, layer.dtype)
    inner = read_layer(entry)
    if layer.kind == "TimeDistributed":
        step = run_chain([inner], SourceTensorSpec((shape[0], *shape[2:]), specs[0].dtype), budget)
        return SourceTensorSpec(step.shape and (step.shape[0], shape[1], *step.shape[1:]), step.dtype)
    output = run_chain([inner], specs[0], budget)
    merge = layer.config.get("merge_mode", "concat")
    if output.shape is None or merge is None:
        return SourceTensorSpec(None, output.dtype)
    last = output.shape[-1]
    return SourceTensorSpec(
        (*output.shape[:-1], 2 * last if merge == "concat" and last is not None else last), output.dtype
    )
