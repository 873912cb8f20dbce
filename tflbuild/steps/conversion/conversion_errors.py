"""Why a conversion failed: the operators, where in the user's model they come from, and what may help.

The converter reports some of them with their call stacks (`ConverterError.errors`); a second
conversion with everything allowed finds the rest. Fixes stand in the order in which they should be
tried: pin a shape, rewrite, TensorFlow (Flex) operators, custom operators.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.sources.tf_snapshot import read_origins
from tflbuild.tflite.signature_checks import each_signature

FLEX = "Flex"
SHOWN = 6
UNSUPPORTED = re.compile(r"'tf\.([A-Za-z0-9_]+)' op is neither a custom op nor a flex op")
TENSOR_LIST = re.compile(r"'tf\.(TensorList\w+)' op requires element_shape to be static|tf\.(TensorList\w+)")

# Rewrites that people use; what is mathematically the same, or near, and made of builtin operators.
REWRITES = {
    "Erf": "write GELU as tf.nn.gelu(x, approximate=True)",
    "Erfc": "approximate it with tanh",
    "Svd": "compute it outside of the model, or factorise ahead of time",
    "Lgamma": "compute it outside of the model",
    "Einsum": "write it with tf.matmul, tf.transpose and tf.reshape",
    "MatrixInverse": "invert ahead of time, where the matrix is a constant",
    "Cross": "write it with slices and multiplications",
    "Roll": "write it with tf.concat of two slices",
    "AvgPool3D": "write it as two poolings, or a depthwise convolution of ones",
    "MaxPool3D": "write it as two poolings of two dimensions",
    "StringNGrams": "move the text's preprocessing out of the model",
    "StringSplitV2": "move the text's preprocessing out of the model",
    "StaticRegexReplace": "move the text's preprocessing out of the model",
    "DecodeJpeg": "feed pixels: decode the image in the app",
    "DecodePng": "feed pixels: decode the image in the app",
    "Unique": "move it out of the model; its output has no fixed shape",
    "ResizeBicubic": "resize with method='bilinear'",
}


@dataclass(frozen=True)
class UnsupportedOperator:
    """An operator that TFLite's builtins lack. `flex`: whether TensorFlow's Flex delegate has it."""

    operator: str
    flex: bool
    places: tuple[str, ...]

    def show(self) -> str:
        """`Svd x2: bad/Svd (model.py:3 in call: ...); Flex has none either`."""
        count = f" x{len(self.places)}" if len(self.places) > 1 else ""
        place = self.places[0] if self.places else "its place is not known"
        return f"{self.operator}{count}: {place}" + ("" if self.flex else "; the Flex delegate has none either")


@dataclass(frozen=True)
class ConversionFix:
    """What may help: the overrides that try it, "" where it is the user's hand that must move."""

    text: str
    overrides: str = ""


def explain(error: Exception, request: StepRequest, survey: Callable[[], Mapping[str, int]]) -> WorkerError:
    """The error that a person reads. `survey` finds every operator in one go; it is asked where one is missing."""
    text = str(error)
    reported = set(UNSUPPORTED.findall(text))
    lists = {name for pair in TENSOR_LIST.findall(text) for name in pair if name}
    if lists and not reported - lists:
        return explain_lists(sorted(lists), request)
    if not reported:
        return explain_other(text, request)
    culprits = find_culprits(reported, survey(), request)
    fixes = list(fixes_for(culprits, request))
    names = ", ".join(culprit.operator for culprit in culprits)
    allowed = ", nor has Flex" if request.params["select_tf"] else ""
    shown = [culprit.show() for culprit in culprits[:SHOWN]]
    if len(culprits) > SHOWN:
        shown.append(f"and {len(culprits) - SHOWN} more")
    return make_error(f"TFLite has no operator for {names}{allowed}", "\n".join(shown), fixes)


def make_error(what: str, why: str, fixes: list[ConversionFix]) -> WorkerError:
    """Fixes numbered in their order, and carried along for `tflbuild doctor` to try."""
    told = [f"{number}. {fix.text}" for number, fix in enumerate(fixes, 1)]
    tried = [fix.overrides for fix in fixes if fix.overrides]
    if tried:
        told.append("`tflbuild doctor` with the same arguments tries them and says what works")
    return WorkerError(what, kind="build", why=why, next_step="\n".join(told), fixes=tried)


def find_culprits(reported: set[str], surveyed: Mapping[str, int], request: StepRequest) -> list[UnsupportedOperator]:
    """All of them: those that the converter named and those that only the survey found."""
    flex = {name[len(FLEX) :] for name in surveyed if name.startswith(FLEX)}
    custom = {name for name in surveyed if not name.startswith(FLEX)}
    names = reported | custom | (set() if request.params["select_tf"] else flex)
    places = find_places(names, request.inputs["snapshot"])
    return [
        UnsupportedOperator(name, name in flex, tuple(places.get(name, ())))
        for name in sorted(names, key=lambda name: (name in flex, name))
    ]


def find_places(names: set[str], snapshot: Path) -> dict[str, list[str]]:
    """Operator -> where it stands: the node's name, which starts with its layers, and the user's own line."""
    from tensorflow.core.protobuf import saved_model_pb2

    origins = read_origins(snapshot)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((snapshot / "saved_model.pb").read_bytes())
    found: dict[str, list[str]] = {}
    for meta in saved.meta_graphs:
        bodies = [meta.graph_def.node, *(function.node_def for function in meta.graph_def.library.function)]
        for node in (node for body in bodies for node in body if node.op in names):
            line = f" ({origins[node.name]})" if node.name in origins else ""
            place = f"{node.name}{line}"
            if place not in found.setdefault(node.op, []):
                found[node.op].append(place)
    return found


def free_sized(request: StepRequest) -> bool:
    """Whether a signature leaves a dimension free."""
    signatures = each_signature(request.read_json("signature"))
    return any(None in (spec["shape"] or [None]) for one in signatures for spec in one["inputs"])


def pin(request: StepRequest) -> ConversionFix:
    """Every size fixed: a free batch is 1; another free size is for the user to choose."""
    signature = request.read_json("signature")
    overrides, open_sizes = ["signature=static"], False
    for spec in signature["inputs"]:
        shape = spec["shape"] or [None]
        pinned = [1 if axis == 0 and size is None else size for axis, size in enumerate(shape)]
        open_sizes = open_sizes or None in pinned
        if None in shape:
            sizes = ",".join("null" if size is None else str(size) for size in pinned)
            overrides.append(f"signature.inputs.{spec['name']}={{shape:[{sizes}],dtype:{spec['dtype']}}}")
    told = " ".join(overrides if len(overrides) == len(signature["inputs"]) + 1 else overrides[:1])
    if open_sizes:
        return ConversionFix("fix every size: signature=static, and numbers for all sizes in signature.inputs")
    return ConversionFix(f"fix every size: {told}", told)


def fixes_for(culprits: list[UnsupportedOperator], request: StepRequest) -> Iterator[ConversionFix]:
    """In the order to be tried."""
    if free_sized(request):
        yield pin(request)
    for culprit in culprits:
        if culprit.operator in REWRITES:
            yield ConversionFix(f"rewrite {culprit.operator}: {REWRITES[culprit.operator]}")
    flexible = any(culprit.flex for culprit in culprits)
    stubborn = [culprit.operator for culprit in culprits if not culprit.flex]
    select = "" if request.params["select_tf"] else "opset=select_tf"
    if flexible and select and not stubborn:
        yield ConversionFix(f"{select} takes TensorFlow's own operators; the app must link the Flex delegate", select)
    if stubborn:
        custom = f"opset.custom=[{','.join(sorted(stubborn))}]"
        others = f"{select} " if flexible and select else ""
        yield ConversionFix(f"{others}{custom} leaves them to kernels that the app registers", f"{others}{custom}")


def explain_lists(names: list[str], request: StepRequest) -> WorkerError:
    """Tensor lists: a loop, most often a recurrent layer, whose state has a free size."""
    places = find_places(set(names), request.inputs["snapshot"])
    shown = "; ".join(place for name in names for place in places.get(name, ())[:1]) or ", ".join(names)
    fixes = []
    if free_sized(request):
        fixes.append(pin(request))
        single = "converter._experimental_default_to_single_batch_in_tensor_list_ops=true"
        fixes.append(ConversionFix(f"{single} takes the free batch inside the loop to be 1", single))
    fused = f"source.fused_lstm=true {pin(request).overrides}".strip()
    fixes.append(
        ConversionFix("source.fused_lstm=true, with a fixed batch, makes each LSTM layer of Keras one operator", fused)
    )
    flex = "opset=select_tf converter._experimental_lower_tensor_list_ops=false"
    fixes.append(ConversionFix(f"{flex} keeps the list as Flex operators", flex))
    return make_error(f"a loop keeps a list of unknown shape: {', '.join(names)}", f"in {shown}", fixes)


def explain_other(text: str, request: StepRequest) -> WorkerError:
    """What the converter itself says, its stack of locations left to the log."""
    line = re.sub(r"<unknown>:0: |loc\(.*?\)\)+: ", "", text.strip().split("\n")[0])[:400]
    fixes = [pin(request)] if free_sized(request) else []
    if not request.params["select_tf"]:
        fixes.append(ConversionFix("opset=select_tf may lower it another way", "opset=select_tf"))
    return make_error("TFLiteConverter cannot convert the model", line, fixes)
