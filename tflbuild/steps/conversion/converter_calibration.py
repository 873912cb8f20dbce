"""The float model between TFLiteConverter's calibrator and its quantizer, which has a range in every tensor."""

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
    """Return the float tensors that some operator of the model computes and `ranges` lacks."""
    root = parse_model(model)
    shown = {entry.subgraphIndex for entry in root.signatureDefs or ()}
    hidden = []
    for number, graph in enumerate(root.subgraphs):
        for op in graph.operators:
            inner = () if op.intermediates is None else op.intermediates
            for index in (*op.outputs, *inner):
                name = graph.tensors[index].name.decode("utf-8", "replace")
                if graph.tensors[index].type == schema.TensorType.FLOAT32 and (
                    number not in shown or name not in ranges
                ):
                    hidden.append(name)
    return hidden


def replace_ranges(model: bytes, ranges: Mapping[str, Any], ties: list[CpuDependence]) -> bytes:
    """Return a calibrated model with these ranges in place of its own. Adds a tie for each of its own that stays."""
    root = parse_model(model)
    shown = {entry.subgraphIndex for entry in root.signatureDefs or ()}
    for number, graph in enumerate(root.subgraphs):
        for tensor in graph.tensors:
            found = tensor.quantization
            if found is None or found.min is None or len(found.min) != 1:
                continue
            name = tensor.name.decode("utf-8", "replace")
            if number in shown and name in ranges:
                low, high = ranges[name]
                found.min, found.max = np.array([low], np.float32), np.array([high], np.float32)
            else:
                ties.append(CpuDependence("calibration", name, HIDDEN))
    return write_aligned(root, len(model))
