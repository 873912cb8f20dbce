"""The calibrated model that TFLiteConverter's calibrator passes to its quantizer, with a range in every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.tflite.buffer_placement import write_aligned
from tflbuild.tflite.model_editing import parse_model

HIDDEN = "its range is measured inside of a loop, a branch or an operator, on kernels that the CPU chooses"


def list_hidden(model: bytes, ranges: Mapping[str, Any]) -> list[str]:
    """Return the names of float tensors that an operator computes, but that have no range in `ranges`.

    Args:
        model: The float model.
        ranges: Tensor name -> range. It has tensors of the main graphs of signatures only.
    """
    root = parse_model(model)
    main_graphs = {entry.subgraphIndex for entry in root.signatureDefs or ()}
    hidden = []
    for graph_index, graph in enumerate(root.subgraphs):
        for op in graph.operators:
            intermediates = () if op.intermediates is None else op.intermediates
            for index in (*op.outputs, *intermediates):
                name = graph.tensors[index].name.decode("utf-8", "replace")
                if graph.tensors[index].type == schema.TensorType.FLOAT32 and (
                    graph_index not in main_graphs or name not in ranges
                ):
                    hidden.append(name)
    return hidden


def replace_ranges(model: bytes, ranges: Mapping[str, Any], ties: list[CpuDependence]) -> bytes:
    """Replace the ranges in a calibrated model.

    Args:
        model: The calibrated model.
        ranges: Tensor name -> (minimum, maximum).
        ties: The list to which a CPU dependence is added for each range that is not replaced.

    Returns:
        The model with the new ranges.
    """
    root = parse_model(model)
    main_graphs = {entry.subgraphIndex for entry in root.signatureDefs or ()}
    for graph_index, graph in enumerate(root.subgraphs):
        for tensor in graph.tensors:
            quantization = tensor.quantization
            if quantization is None or quantization.min is None or len(quantization.min) != 1:
                continue
            name = tensor.name.decode("utf-8", "replace")
            if graph_index in main_graphs and name in ranges:
                low, high = ranges[name]
                quantization.min, quantization.max = np.array([low], np.float32), np.array([high], np.float32)
            else:
                ties.append(CpuDependence("calibration", name, HIDDEN))
    return write_aligned(root, len(model))
