"""runner.py: the artifact run by Python, with ai_edge_litert."""

from __future__ import annotations

from tflbuild.steps.packaging.runner_contract import (
    INTEGERS,
    RunnerContract,
    RunnerTensor,
    comment,
    fill,
    limit_types,
    number,
)

TYPES = (*INTEGERS, "float16", "float32", "float64", "uint16", "uint32", "uint64", "string")

TEMPLATE = '''\
# @TITLE@: runs model.tflite. Written for this very artifact, with its scales and names in it.
#
#     pip install ai-edge-litert numpy
#     python runner.py model.tflite inputs.npz [outputs.npz [SIGNATURE]]
#
# or, from a program: Runner("model.tflite").run({"INPUT": values}) gives {"OUTPUT": values}, real values on both sides.
@LEFT_OUT@import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

# shape: -1 is a size of yours. real value = (integer - zero_point) * scale. mean, std: values are fed as
# (x - mean) / std, one for all channels or one for each. labels name the places along the last dimension.
SIGNATURES = @SIGNATURES@


class Runner:
    """A model, open. Give it a path."""

    def __init__(self, model):
        self.interpreter = Interpreter(str(model))
        self.runners = {key: self.interpreter.get_signature_runner(key) for key in SIGNATURES}

    def run(self, inputs, signature=@MAIN@, keep_state=False):
        """Real values in and out, by name. State, if the model has any, starts afresh unless it is to be kept."""
        ports = SIGNATURES[signature]["inputs"]
        if inputs.keys() != ports.keys():
            raise ValueError(f"the inputs of '{signature}' are {sorted(ports)}, not {sorted(inputs)}")
        if not keep_state:
            self.interpreter.reset_all_variables()
        feeds = {name: encode(inputs[name], port, name) for name, port in ports.items()}
        found = self.runners[signature](**feeds)
        return {name: decode(found[name], port) for name, port in SIGNATURES[signature]["outputs"].items()}


def encode(values, port, name):
    """An input as the model takes it: normalised, then quantized, or else as it is."""
    values = np.asarray(values)
    fits = len(values.shape) == len(port["shape"]) and all(
        size in (-1, given) for size, given in zip(port["shape"], values.shape)
    )
    if not fits:
        raise ValueError(f"'{name}' has the shape {port['shape']}, not {list(values.shape)}")
    if port["dtype"] == "string":
        return (np.char.encode(values, "utf-8") if values.dtype.kind == "U" else values).astype(object)
    dtype = np.dtype(port["dtype"])
    if port["mean"]:
        mean, std = (np.array(port[one], np.float32) for one in ("mean", "std"))
        values = (values.astype(np.float32) - mean) / std
    if port["scale"] is None:
        made = values.astype(dtype)
        if dtype.kind in "iub" and not np.array_equal(made, values):
            raise ValueError(f"'{name}' takes whole numbers that {dtype} can hold")
        return made
    if np.isnan(values).any():
        raise ValueError(f"'{name}' has values that are no numbers")
    limits = np.iinfo(dtype)
    integers = np.rint(values.astype(np.float32) / np.float32(port["scale"])).astype(np.float64)
    return np.clip(integers + port["zero_point"], limits.min, limits.max).astype(dtype)


def decode(values, port):
    """An output as real values."""
    if port["scale"] is None:
        return values
    return (values.astype(np.float32) - np.float32(port["zero_point"])) * np.float32(port["scale"])


def top(scores, output, signature=@MAIN@, count=5):
    """The best labels of one row of scores: [(label, score)], the best first, none below the model's threshold."""
    port = SIGNATURES[signature]["outputs"][output]
    scores = np.ravel(scores).astype(np.float64)
    if len(scores) != len(port["labels"]):
        raise ValueError(f"{len(scores)} scores for {len(port['labels'])} labels: give one row")
    least = -np.inf if port["threshold"] is None else port["threshold"]
    order = [index for index in np.argsort(-scores, kind="stable")[:count] if scores[index] >= least]
    return [(port["labels"][index], float(scores[index])) for index in order]


def main(model, inputs, outputs="", signature=@MAIN@):
    with np.load(inputs, allow_pickle=False) as arrays:
        found = Runner(model).run(dict(arrays), signature)
    for name, values in found.items():
        print(f"{name}: {values.dtype}{list(values.shape)}")
        labels = SIGNATURES[signature]["outputs"][name]["labels"]
        for row in values.reshape(-1, len(labels))[:10] if labels else ():
            print("  " + ", ".join(f"{label} {score:.4g}" for label, score in top(row, name, signature)))
    if outputs:
        plain = {name: values.astype("S") if values.dtype == object else values for name, values in found.items()}
        np.savez(outputs, **plain)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit("usage: runner.py model.tflite inputs.npz [outputs.npz [SIGNATURE]]")
    main(*sys.argv[1:])
'''


def render(contract: RunnerContract) -> str:
    """The file's text. Python feeds strings and any size; what numpy has no type for is left out."""
    limited = limit_types(contract, TYPES, "NumPy has no such type")
    lines = ["{"]
    for entry in limited.entries:
        lines.append(f"    {entry.key!r}: {{")
        for side in ("inputs", "outputs"):
            lines.append(f"        {side!r}: {{")
            lines += [line for port in getattr(entry, side) for line in _port(port)]
            lines.append("        },")
        lines.append("    },")
    return fill(
        TEMPLATE,
        TITLE=contract.title,
        LEFT_OUT=comment(limited, "#"),
        MAIN=repr(limited.entries[0].key if limited.entries else ""),
        SIGNATURES="\n".join([*lines, "}"]),
    )


def _port(port: RunnerTensor) -> list[str]:
    fields = {
        "dtype": repr(port.dtype),
        "shape": list(port.shape),
        "scale": None if port.scale is None else number(port.scale),
        "zero_point": port.zero_point,
        "mean": list(port.mean),
        "std": list(port.std),
        "threshold": port.threshold,
        "labels": list(port.labels),
    }
    lines = [f"            {port.name!r}: {{"]
    lines += [f"                {name!r}: {value}," for name, value in fields.items()]
    return [*lines, "            },"]
