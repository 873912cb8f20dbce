"""A check.json made by hand, with everything that the runners must cope with, and values to feed it.

Inputs and outputs have equal names and types, with other scales: where a runtime gives back the bytes that it was fed,
what comes out tells how they were written and how they are read.
"""

from __future__ import annotations

import numpy as np

LABELS = ["cat", 'a "dog"', "b\\ird $x ?? ünï\t"]


def tensor(name, dtype, shape, scale=None, zero_point=None):
    return {"name": name, "dtype": dtype, "shape": shape, "scale": scale, "zero_point": zero_point}


CONTENTS = {
    "state_tensors": 0,
    "signatures": [
        {
            "key": "serving_default",
            "inputs": [
                tensor("pixels", "int8", [1, 2, 3], 0.0078431377, -1),
                tensor("tokens", "int32", [1, 4]),
                tensor("flags", "bool", [3]),
            ],
            "outputs": [
                tensor("pixels", "int8", [1, 2, 3], 0.00390625, -128),
                tensor("tokens", "int32", [1, 4]),
                tensor("flags", "bool", [3]),
            ],
        },
        {
            "key": 'wide "$1"',
            "inputs": [
                tensor("small", "int16", [2, 2], 3.0517578e-05, 0),
                tensor("large", "int64", [2]),
                tensor("bytes", "uint8", [4], 1.0, 0),
            ],
            "outputs": [
                tensor("small", "int16", [2, 2], 0.1, 7),
                tensor("large", "int64", [2]),
                tensor("bytes", "uint8", [4], 0.5, 128),
            ],
        },
        {
            "key": "free",
            "inputs": [tensor("x", "float32", [-1, 2])],
            "outputs": [tensor("x", "float32", [-1, 2])],
        },
        {"key": "text", "inputs": [tensor("word", "string", [1])], "outputs": [tensor("id", "int64", [1])]},
    ],
    "metadata": {
        "model": {
            "subgraph_metadata": [
                {
                    "name": "serving_default",
                    "input_tensor_metadata": [
                        {
                            "name": "pixels",
                            "process_units": [
                                {
                                    "options_type": "NormalizationOptions",
                                    "options": {"mean": [127.5, 100.0, 0.1], "std": [127.5, 50.0, 200.0]},
                                }
                            ],
                        }
                    ],
                    "output_tensor_metadata": [
                        {
                            "name": "pixels",
                            "process_units": [
                                {
                                    "options_type": "ScoreThresholdingOptions",
                                    "options": {"global_score_threshold": 0.25},
                                },
                                {"options_type": "ScoreCalibrationOptions", "options": {}},
                            ],
                            "associated_files": [{"name": "labels.txt", "type": "TENSOR_AXIS_LABELS"}],
                        }
                    ],
                }
            ]
        },
        "files": [{"name": "labels.txt", "bytes": 9, "type": "TENSOR_AXIS_LABELS", "labels": LABELS}],
    },
}

FEEDS = {
    "serving_default": {
        "pixels": np.array([[[0, 255, 100.4], [63.77, 1e30, -1e30]]], np.float32),
        "tokens": np.array([[0, -5, 2147483647, -2147483648]], np.int32),
        "flags": np.array([1, 0, 1], bool),
    },
    'wide "$1"': {
        "small": np.array([[0.5, -0.5], [1.5258789e-05, 4.5776367e-05]], np.float32),  # two halves: to the even one
        "large": np.array([2**40, -3], np.int64),
        "bytes": np.array([0.5, 1.5, 300, -2], np.float32),
    },
    "free": {"x": np.array([[0.1, -2.5], [3e38, 4], [5, 6]], np.float32)},
}


def python_runner(text):
    """The names that runner.py defines."""
    names = {"__name__": "runner"}
    exec(compile(text, "runner.py", "exec"), names)
    return names


def echoed(names, key, only=None):
    """What a runtime that gives back its inputs' bytes must show, by Python's own encode and decode."""
    entry, feeds = names["SIGNATURES"][key], FEEDS[key]
    found = {}
    for name, port in entry["inputs"].items():
        values = feeds[name] if only is None else feeds[name][:only]
        found[name] = names["decode"](names["encode"](values, port, name), entry["outputs"][name])
    return found
