"""Errors of a failed conversion: the unsupported operators, where they are in the user's model, and fixes.

The converter reports only some of the operators. A second conversion in which all operators are allowed finds the rest.
Fixes are in the order in which they should be tried: fix a shape, rewrite the operator, allow TensorFlow (Flex)
operators, allow custom operators.
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
MAX_LISTED = 6
UNSUPPORTED = re.compile(r"'tf\.([A-Za-z0-9_]+)' op is neither a custom op nor a flex op")
TENSOR_LIST = re.compile(r"'tf\.(TensorList\w+)' op requires element_shape to be static|tf\.(TensorList\w+)")

# Common replacements that are mathematically equal or similar, and that consist of builtin operators.
REWRITES = {
    "Erf": "write GELU as tf.nn.gelu(x, approximate=True)",
    "Erfc": "approximate it with tanh",
    "Svd": "compute it outside the model, or factorize the matrix before",
    "Lgamma": "compute it outside the model",
    "Einsum": "write it with tf.matmul, tf.transpose and tf.reshape",
    "MatrixInverse": "if the matrix is a constant, invert it before",
    "Cross": "write it with slices and multiplications",
    "Roll": "write it with tf.concat of two slices",
    "AvgPool3D": "write it as two poolings, or a depthwise convolution of ones",
    "MaxPool3D": "write it as two poolings with two dimensions",
    "StringNGrams": "move the preprocessing of text out of the model",
    "StringSplitV2": "move the preprocessing of text out of the model",
    "StaticRegexReplace": "move the preprocessing of text out of the model",
    "DecodeJpeg": "feed pixels: decode the image in the app",
    "DecodePng": "feed pixels: decode the image in the app",
    "Unique": "move it out of the model; its output has no fixed shape",
    "ResizeBicubic": "resize with method='bilinear'",
}


@dataclass(frozen=True)
class UnsupportedOperator:
    """An operator that is not a builtin operator of TensorFlow Lite.

    Attributes:
        operator: The name of the TensorFlow operator.
        flex: Whether the Flex delegate supports it.
        locations: Its locations in the source, as `find_places` returns them.
    """

    operator: str
    flex: bool
    locations: tuple[str, ...]

    def show(self) -> str:
        """Return a line such as `Svd x2: bad/Svd (model.py:3 in call: ...); the Flex delegate has none either`."""
        count = f" x{len(self.locations)}" if len(self.locations) > 1 else ""
        location = self.locations[0] if self.locations else "its location is not known"
        return f"{self.operator}{count}: {location}" + ("" if self.flex else "; the Flex delegate has none either")


@dataclass(frozen=True)
class ConversionFix:
    """A fix: its text, and the overrides that try it. `overrides` is "" if the user must change the model."""

    text: str
    overrides: str = ""


def explain(error: Exception, request: StepRequest, survey: Callable[[], Mapping[str, int]]) -> WorkerError:
    """Return the error for a failed conversion.

    Args:
        error: The exception of the converter.
        request: The request of the step.
        survey: Returns all operators that are not builtin, with their counts. It is called only if the converter
            reports unsupported operators.
    """
    text = str(error)
    reported = set(UNSUPPORTED.findall(text))
    lists = {name for pair in TENSOR_LIST.findall(text) for name in pair if name}
    if lists and not reported - lists:
        return explain_lists(sorted(lists), request)
    if not reported:
        return explain_other(text, request)
    unsupported = find_unsupported(reported, survey(), request)
    fixes = list(list_fixes(unsupported, request))
    names = ", ".join(operator.operator for operator in unsupported)
    flex_note = ", nor has Flex" if request.params["select_tf"] else ""
    lines = [operator.show() for operator in unsupported[:MAX_LISTED]]
    if len(unsupported) > MAX_LISTED:
        lines.append(f"and {len(unsupported) - MAX_LISTED} more")
    return make_error(f"TFLite has no operator for {names}{flex_note}", "\n".join(lines), fixes)


def make_error(what: str, why: str, fixes: list[ConversionFix]) -> WorkerError:
    """Return an error whose next step is a numbered list of fixes. `tflbuild doctor` tries those with overrides."""
    lines = [f"{number}. {fix.text}" for number, fix in enumerate(fixes, 1)]
    overrides = [fix.overrides for fix in fixes if fix.overrides]
    if overrides:
        lines.append("`tflbuild doctor` with the same arguments tries them and says what works")
    return WorkerError(what, kind="build", why=why, next_step="\n".join(lines), fixes=overrides)


def find_unsupported(
    reported: set[str], surveyed: Mapping[str, int], request: StepRequest
) -> list[UnsupportedOperator]:
    """Return the unsupported operators: those that the converter reported, and those that only the survey found.

    Args:
        reported: The names in the converter's message.
        surveyed: The names with their counts; Flex operators start with `Flex`.
        request: The request of the step.
    """
    flex = {name[len(FLEX) :] for name in surveyed if name.startswith(FLEX)}
    custom = {name for name in surveyed if not name.startswith(FLEX)}
    names = reported | custom | (set() if request.params["select_tf"] else flex)
    locations = find_locations(names, request.inputs["snapshot"])
    return [
        UnsupportedOperator(name, name in flex, tuple(locations.get(name, ())))
        for name in sorted(names, key=lambda name: (name in flex, name))
    ]


def find_locations(names: set[str], snapshot: Path) -> dict[str, list[str]]:
    """Find operators in a snapshot.

    Returns:
        Operator -> locations. A location is the name of the node, which starts with the names of its layers, and the
        line of user code that made it, if this is known.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    origins = read_origins(snapshot)
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((snapshot / "saved_model.pb").read_bytes())
    locations: dict[str, list[str]] = {}
    for meta in saved.meta_graphs:
        bodies = [meta.graph_def.node, *(function.node_def for function in meta.graph_def.library.function)]
        for node in (node for body in bodies for node in body if node.op in names):
            line = f" ({origins[node.name]})" if node.name in origins else ""
            location = f"{node.name}{line}"
            if location not in locations.setdefault(node.op, []):
                locations[node.op].append(location)
    return locations


def has_dynamic_shapes(request: StepRequest) -> bool:
    """Return whether an input of a signature has a dynamic dimension."""
    signatures = each_signature(request.read_json("signature"))
    return any(None in (spec["shape"] or [None]) for signature in signatures for spec in signature["inputs"])


def fix_shapes(request: StepRequest) -> ConversionFix:
    """Return the fix that makes all shapes static: a dynamic batch becomes 1, the user chooses other dimensions."""
    signature = request.read_json("signature")
    overrides, is_incomplete = ["signature=static"], False
    for spec in signature["inputs"]:
        shape = spec["shape"] or [None]
        fixed = [1 if axis == 0 and size is None else size for axis, size in enumerate(shape)]
        is_incomplete = is_incomplete or None in fixed
        if None in shape:
            sizes = ",".join("null" if size is None else str(size) for size in fixed)
            overrides.append(f"signature.inputs.{spec['name']}={{shape:[{sizes}],dtype:{spec['dtype']}}}")
    text = " ".join(overrides if len(overrides) == len(signature["inputs"]) + 1 else overrides[:1])
    if is_incomplete:
        return ConversionFix(
            "make all shapes static: signature=static, and numbers for all dimensions in signature.inputs"
        )
    return ConversionFix(f"make all shapes static: {text}", text)


def list_fixes(unsupported: list[UnsupportedOperator], request: StepRequest) -> Iterator[ConversionFix]:
    """Yield fixes for unsupported operators, in the order in which they should be tried."""
    if has_dynamic_shapes(request):
        yield fix_shapes(request)
    for operator in unsupported:
        if operator.operator in REWRITES:
            yield ConversionFix(f"rewrite {operator.operator}: {REWRITES[operator.operator]}")
    has_flex = any(operator.flex for operator in unsupported)
    custom_only = [operator.operator for operator in unsupported if not operator.flex]
    select = "" if request.params["select_tf"] else "opset=select_tf"
    if has_flex and select and not custom_only:
        yield ConversionFix(f"{select} allows TensorFlow's own operators; the app must link the Flex delegate", select)
    if custom_only:
        custom = f"opset.custom=[{','.join(sorted(custom_only))}]"
        others = f"{select} " if has_flex and select else ""
        yield ConversionFix(
            f"{others}{custom} makes them custom operators, whose kernels the app must register", f"{others}{custom}"
        )


def explain_lists(names: list[str], request: StepRequest) -> WorkerError:
    """Return the error for tensor lists: a loop, usually a recurrent layer, whose state has a dynamic dimension."""
    locations = find_locations(set(names), request.inputs["snapshot"])
    where = "; ".join(location for name in names for location in locations.get(name, ())[:1]) or ", ".join(names)
    fixes = []
    if has_dynamic_shapes(request):
        fixes.append(fix_shapes(request))
        single = "converter._experimental_default_to_single_batch_in_tensor_list_ops=true"
        fixes.append(ConversionFix(f"{single} sets the dynamic batch inside the loop to 1", single))
    fused = f"source.fused_lstm=true {fix_shapes(request).overrides}".strip()
    fixes.append(
        ConversionFix(
            "source.fused_lstm=true with a static batch makes one operator of each LSTM layer of Keras", fused
        )
    )
    flex = "opset=select_tf converter._experimental_lower_tensor_list_ops=false"
    fixes.append(ConversionFix(f"{flex} keeps the list as Flex operators", flex))
    return make_error(f"a loop keeps a list of unknown shape: {', '.join(names)}", f"in {where}", fixes)


def explain_other(text: str, request: StepRequest) -> WorkerError:
    """Return an error with the first line of the converter's message. The log has the rest."""
    line = re.sub(r"<unknown>:0: |loc\(.*?\)\)+: ", "", text.strip().split("\n")[0])[:400]
    fixes = [fix_shapes(request)] if has_dynamic_shapes(request) else []
    if not request.params["select_tf"]:
        fixes.append(ConversionFix("opset=select_tf may lower it another way", "opset=select_tf"))
    return make_error("TFLiteConverter cannot convert the model", line, fixes)
