"""The time of each operator from LiteRT's own profiler, and the layers to which the entries of the profile belong.

XNNPACK has a list of operators of its own, in the model's order, but it fuses some, adds others and has other names. An
entry gets a layer if a partition has as many entries of its kind as operators of that kind: then they are the same, in
order. If the numbers differ, the entry has no layer.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np

from tflbuild.core.digest import Json
from tflbuild.steps.benchmarking import profiled_process
from tflbuild.tflite.delegate_partitions import DelegatePlacement
from tflbuild.tflite.tflite_model import Model, Subgraph

INVOKE, OPERATOR, DELEGATED = 1, 2, 8  # event types of LiteRT's profiler: an operator, one inside of a delegate
RUNS = 50
SECONDS = 120.0
RESOLUTION_US = 1
ELSEWHERE = "reference"  # kernels that libLiteRt.so does not have

# How XNNPACK calls what it runs, by the beginning of the name -> operators that become it. Where a kind has several
# names they are one: XNNPACK makes fully connected ones of 1x1 convolutions, and depthwise ones of others.
CONVOLUTION = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
KINDS: Mapping[str, tuple[str, ...]] = {
    "Convolution": CONVOLUTION,
    "Fully Connected": CONVOLUTION,
    "Dynamic Fully Connected": CONVOLUTION,
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Average Pooling": ("AVERAGE_POOL_2D",),
    "Max Pooling": ("MAX_POOL_2D",),
    "Mean": ("MEAN",),
    "Sum": ("SUM",),
    "Softmax": ("SOFTMAX",),
    "Add": ("ADD",),
    "Subtract": ("SUB",),
    "Multiply": ("MUL",),
    "Divide": ("DIV",),
    "Maximum": ("MAXIMUM",),
    "Minimum": ("MINIMUM",),
    "Sigmoid": ("LOGISTIC",),
    "TanH": ("TANH",),
    "HardSwish": ("HARD_SWISH",),
    "LeakyReLU": ("LEAKY_RELU",),
    "PReLU": ("PRELU",),
    "ELU": ("ELU",),
    "GELU": ("GELU",),
    "Clamp": ("RELU", "RELU6", "RELU_N1_TO_1"),
    "Abs": ("ABS",),
    "Negate": ("NEG",),
    "Exp": ("EXP",),
    "Log": ("LOG",),
    "Sine": ("SIN",),
    "Cosine": ("COS",),
    "Floor": ("FLOOR",),
    "Ceiling": ("CEIL",),
    "Bankders Rounding": ("ROUND",),  # as XNNPACK spells it
    "Square": ("SQUARE",),
    "Square Root": ("SQRT",),
    "Reciprocal Square Root": ("RSQRT",),
    "Squared Difference": ("SQUARED_DIFFERENCE",),
    "Reduce Max": ("REDUCE_MAX",),
    "Reduce Min": ("REDUCE_MIN",),
    "Constant Pad": ("PAD",),
    "Transpose": ("TRANSPOSE",),
    "Slice": ("SLICE",),
    "Copy": ("CONCATENATION", "SPLIT"),
    "Convert": ("QUANTIZE", "DEQUANTIZE"),
    "Static Reshape": ("RESHAPE",),
    "Resize Bilinear": ("RESIZE_BILINEAR",),
    "Depth To Space": ("DEPTH_TO_SPACE",),
    "Space To Depth": ("SPACE_TO_DEPTH",),
}


@dataclass(frozen=True)
class ProfileEntry:
    """An entry of the profile.

    Attributes:
        op: The operator, "" if it is unknown.
        layer: The name of its output, "" if it is unknown.
        index: The index of the operator, -1 if it is unknown.
        kernel: The profiler's name.
        delegate: Whether a delegate ran it.
        us: The mean time of the profiled runs in microseconds.
        percent: The percentage of the time of all entries.
    """

    op: str
    layer: str
    index: int
    kernel: str
    delegate: bool
    us: float
    percent: float


@dataclass(frozen=True)
class ProfileRequest:
    """A model to run in a process of its own, with its inputs and options.

    `free` are the inputs with dynamic dimensions.
    """

    model: Path
    signature: int
    threads: int
    kernels: str
    feed: Mapping[str, np.ndarray]
    folder: Path
    free: frozenset[str] = frozenset()  # the inputs of which the model leaves a size open

    def ask(self, runs: int) -> dict[str, Any]:
        """Run the process, and return its answer. `error` has the reason if there is none."""
        if self.kernels == ELSEWHERE:
            return {"error": "LiteRT's C library has no reference kernels"}
        if any(np.asarray(value).dtype.kind in "SUO" for value in self.feed.values()):
            return {"error": "inputs of strings cannot be fed through LiteRT's C library"}
        files = {}
        for place, (name, value) in enumerate(self.feed.items()):
            files[name] = str(self.folder / f"input{place}.bin")
            np.ascontiguousarray(value).tofile(files[name])
        request = {
            "library": str(Path(ai_edge_litert.__file__).parent / "libLiteRt.so"),
            "model": str(self.model),
            "signature": self.signature,
            "threads": self.threads,
            "kernels": self.kernels,
            "inputs": files,
            "shapes": {name: list(np.asarray(self.feed[name]).shape) for name in sorted(self.free)},
            "runs": runs,
        }
        return self._run(request)

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        asked, answered = self.folder / "litert_request.json", self.folder / "litert_answer.json"
        answered.unlink(missing_ok=True)
        asked.write_text(json.dumps(request))
        command = [sys.executable, "-I", "-S", profiled_process.__file__, str(asked), str(answered)]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"the process that measures had not ended after {SECONDS:g} s"}
        if not answered.exists():
            return {"error": f"the process that measures ended with code {done.returncode}"}
        found: dict[str, Any] = json.loads(answered.read_text())
        return found


def profile(
    inquiry: ProfileRequest, model: Model, placement: DelegatePlacement | None, version: str
) -> dict[str, Json]:
    """`operators`, slowest first, and how they were had; or `why` there are none."""
    answer = inquiry.ask(RUNS)
    if "error" in answer:
        return {"how": "", "why": answer["error"], "operators": []}
    runs = [list(run) for run in answer["profiles"]]
    threads = "1 thread" if answer["threads"] == 1 else f"{answer['threads']} threads"
    how = (
        f"LiteRT's profiler (C API of ai-edge-litert {version}) in a process of its own with {threads}, each entry cut"
        f" to whole microseconds, the mean of the middle half of {len(runs)} runs"
    )
    shapes = {tuple((kind, tag, node, graph) for kind, tag, node, graph, _ in run) for run in runs}
    if len(shapes) != 1 or not entries_of(runs[0]):
        return {"how": "", "why": "the profiler's entries differ from run to run, or are none", "operators": []}
    mean = [[*event[:4], middle_mean([run[place][4] for run in runs])] for place, event in enumerate(runs[0])]
    entries = trace(entries_of(mean), model, placement)
    invoke = sum(event[4] for event in mean if event[0] == INVOKE and event[1] == "Invoke")
    return {
        "how": how,
        "why": "",
        "runs": len(runs),
        "threads": answer["threads"],
        "resolution_us": RESOLUTION_US,
        "invoke_us": invoke,
        "entries_us": sum(entry.us for entry in entries),
        "operators": [asdict(entry) for entry in sorted(entries, key=lambda one: -one.us)],
    }


def middle_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of values, so that interrupted runs do not count."""
    ordered, edge = sorted(values), len(values) // 4
    middle = ordered[edge : len(ordered) - edge]
    return sum(middle) / len(middle)


def entries_of(events: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Return the events of operators, in the order in which they ran."""
    return [event for event in events if event[0] in (OPERATOR, DELEGATED)]


def trace(events: Sequence[Sequence[Any]], model: Model, placement: DelegatePlacement | None) -> list[ProfileEntry]:
    """Return profile entries with their layers. Events are [type, tag, node, subgraph, microseconds]."""
    total = sum(event[4] for event in events)
    layers: dict[int, int] = {}  # place of an event of a delegate -> index of the operator in subgraph 0
    pieces = pieces_of(events)
    if placement is not None and len(pieces) == len(placement.pieces) and ran_the_same(events, placement):
        for places, members in zip(pieces, placement.pieces, strict=True):
            layers |= match([(place, events[place][1]) for place in places], members, model.subgraphs[0])
    found = []
    for place, (kind, tag, node, number, us) in enumerate(events):
        index, graph = (layers.get(place, -1), 0) if kind == DELEGATED else (node, number)
        op, layer = name_of(model, graph, index)
        percent = 100 * us / total if total else 0.0
        found.append(ProfileEntry(op, layer, index, tag, kind == DELEGATED, us, percent))
    return found


def ran_the_same(events: Sequence[Sequence[Any]], placement: DelegatePlacement) -> bool:
    """Return whether the library left the same operators to the CPU as the interpreter from which `placement` comes."""
    ran = {event[2] for event in events if event[0] == OPERATOR and event[3] == 0}
    return set(placement.left) <= ran <= {*placement.left, *placement.unknown}


def pieces_of(events: Sequence[Sequence[Any]]) -> list[list[int]]:
    """Return the positions of the delegate's events, one list for each partition. In each their numbers start at 0."""
    pieces: list[list[int]] = []
    for place, event in enumerate(events):
        if event[0] != DELEGATED:
            continue
        if event[2] == 0 or not pieces:
            pieces.append([])
        pieces[-1].append(place)
    return pieces


def match(entries: Sequence[tuple[int, str]], members: Sequence[int], graph: Subgraph) -> dict[int, int]:
    """Return position of an entry -> index of its operator, for kinds with equal numbers of entries and operators."""
    found: dict[int, int] = {}
    for ops in set(KINDS.values()):
        places = [place for place, tag in entries if kind_of(tag) == ops]
        indices = [index for index in members if graph.ops[index].name in ops]
        if len(places) == len(indices):
            found |= dict(zip(places, indices, strict=True))
    return found


def kind_of(tag: str) -> tuple[str, ...]:
    """Return the operators to which an entry of this name may belong, () if they are unknown."""
    return KINDS.get(tag.partition(" (")[0], ())


def name_of(model: Model, number: int, index: int) -> tuple[str, str]:
    """Return the name of an operator and of its layer."""
    if number >= len(model.subgraphs) or not 0 <= index < len(model.subgraphs[number].ops):
        return "", ""
    graph = model.subgraphs[number]
    op = graph.ops[index]
    return op.name, graph.tensors[op.outputs[0]].name if op.outputs else ""
