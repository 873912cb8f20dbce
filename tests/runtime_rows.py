"""Models that the table of runtimes is measured with. `measure_runtimes.py` chooses one for each feature."""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from mcu_edges import EDGES as MCU_EDGES
from one_flow import FLOWS
from one_op import Case, write_model
from one_op_cases import CASES
from one_op_edges import EDGES
from packed_weights import with_buffers_behind, written
from runtime_cases import MODELS, MORE_CASES

from tflbuild.tflite.runtime_features import (
    BUFFERS_BEHIND,
    FREE_SIZES,
    SEVERAL_SIGNATURES,
    type_feature,
    version_feature,
)
from tflbuild.tflite.tflite_model import Model, Tensor

# The hybrid kernel reads a scale for each channel where there is one: what lies behind it differs from call to call.
UNREPEATABLE = {"DEPTHWISE_CONV_2D_float32_int8_float32"}
ALL_CASES: dict[str, Case] = {
    name: case for name, case in {**MORE_CASES, **CASES, **EDGES, **MCU_EDGES}.items() if name not in UNREPEATABLE
}
POSITIVE = {"LOG", "SQRT", "RSQRT", "POW", "DIV", "FLOOR_DIV", "FLOOR_MOD", "CAST"}  # what is undefined below zero
KEY = "serving_default"
NEWEST_VERSION = 16


@dataclass(frozen=True)
class RowModel:
    """A model that has a feature. `call` is the signature that is called by name, "" for the first subgraph."""

    name: str
    feature: str
    model: bytes
    call: str = ""
    resize: bool = False
    shapes: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    @property
    def may_be_constant(self) -> bool:
        """Whether all elements of an output may be the same."""
        return self.name.startswith(("FILL", "ZEROS_LIKE", "flow_", "MEAN", "REDUCE_M", "TOPK", "SIGN"))


def vary_scales(data: bytes) -> bytes:
    """Give the channels of a constant different scales, and its bias those that follow."""
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    for graph in root.subgraphs:
        for tensor in graph.tensors:
            scales = tensor.quantization.scale if tensor.quantization is not None else None
            if scales is not None and len(scales) > 1:
                tensor.quantization.scale = [float(scale) / (1 << place % 4) for place, scale in enumerate(scales)]
    return written(root)


def draw_feed(row: RowModel, model: Model) -> list[np.ndarray]:
    """Draw values for the inputs of a model, in the order of the first subgraph; the same at each call."""
    graph = model.subgraphs[0]
    generator = np.random.default_rng(zlib.crc32(graph.ops[-1].name.encode()))
    positive = any(op.name in POSITIVE for op in graph.ops)
    tensors = [graph.tensors[index] for index in graph.inputs]
    return [
        draw_values(tensor, row.shapes.get(place, tuple(max(size, 1) for size in tensor.shape)), generator, positive)
        for place, tensor in enumerate(tensors)
    ]


def draw_values(tensor: Tensor, shape: tuple[int, ...], generator: np.random.Generator, positive: bool) -> np.ndarray:
    if tensor.type in ("float32", "float16", "float64"):
        values = generator.normal(size=shape)
        return np.asarray((np.abs(values) + 0.1) if positive else values, tensor.type)
    if tensor.type == "bool":
        return np.asarray(generator.integers(0, 2, shape), bool)
    if tensor.type == "string":
        return np.array([f"word{place}" for place in range(int(np.prod(shape)))], object).reshape(shape)
    if tensor.scales:
        limits = np.iinfo(tensor.type)
        least = tensor.zero_points[0] + limits.max // 8 if positive else limits.min
        return np.asarray(generator.integers(least, limits.max, shape), tensor.type)
    return np.asarray(generator.integers(1, 3, shape), tensor.type)


def make_models(names: Container[str] | None = None) -> Iterator[RowModel]:
    """Make every candidate: several may have one feature. `names` are the one-operator models to make, None for all."""
    for name, case in ALL_CASES.items():
        if names is None or name in names:
            yield RowModel(name, "", vary_scales(write_model(case)))
    for name, model in MODELS.items():
        yield RowModel(name, "", model)
    for name, flow in FLOWS.items():
        yield RowModel(f"flow_{name}", "", flow("float32", (1, 2, 4)))
    dense = write_model(CASES["FULLY_CONNECTED_float32_batch1"])
    yield RowModel("buffers_behind", BUFFERS_BEHIND, with_buffers_behind(dense))
    yield RowModel("several_signatures", SEVERAL_SIGNATURES, with_second_signature(dense), "second")
    free = CASES["CONV_2D_float32"]
    first = replace(free.inputs[0], shape=(-1, 8, 8, 4))
    result = replace(free.outputs[0], shape=(-1, *free.outputs[0].shape[1:]))
    opened = write_model(replace(free, inputs=(first, *free.inputs[1:]), outputs=(result,)))
    yield RowModel("free_sizes", FREE_SIZES, opened, resize=True, shapes={0: (3, 8, 8, 4)})


def make_versions(case: Case) -> Iterator[RowModel]:
    """The model of a case with each version stated."""
    for version in range(1, NEWEST_VERSION + 1):
        model = vary_scales(write_model(replace(case, version=version)))
        yield RowModel(f"{case.name}_version{version}", version_feature(case.op, version), model)


def with_second_signature(data: bytes) -> bytes:
    """The model with its subgraph once more, under the signature `second`."""
    root = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    other = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    root.subgraphs.append(other.subgraphs[0])
    entry = other.signatureDefs[0]
    entry.signatureKey, entry.subgraphIndex = b"second", 1
    root.signatureDefs.append(entry)
    return written(root)


def find_op_features(model: Model) -> list[str]:
    """Return the features of the operators, types first."""
    ops = [(op, graph) for graph in model.subgraphs for op in graph.ops if not op.custom]
    return [type_feature(*pair) for pair in ops] + [version_feature(op.name, op.version) for op, _ in ops]
