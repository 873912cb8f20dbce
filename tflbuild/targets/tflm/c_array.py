"""A model as C and C++ source for a microcontroller: its bytes, inputs, outputs, and required operators."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.tflite_model import Model, Tensor

COLUMNS = 16
# element types -> what they are in TfLiteType
TFLITE_TYPES = {
    "float32": "kTfLiteFloat32",
    "float16": "kTfLiteFloat16",
    "int8": "kTfLiteInt8",
    "uint8": "kTfLiteUInt8",
    "int16": "kTfLiteInt16",
    "int32": "kTfLiteInt32",
    "int64": "kTfLiteInt64",
    "bool": "kTfLiteBool",
}
# the resolver's methods that are not the operator's words, each capitalized
METHODS = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}
CUSTOM_METHODS = {
    "CIRCULAR_BUFFER": "AddCircularBuffer",
    "TFLite_Detection_PostProcess": "AddDetectionPostprocess",
    "ethos-u": "AddEthosU",
}
WORDS = {"2D": "2D", "3D": "3D", "ND": "Nd"}


def resolver_method(name: str, custom: bool = False) -> str:
    """Return the method of `MicroMutableOpResolver` that registers an operator.

    The name is "" for a custom operator that the resolver does not have.
    """
    if custom:
        return CUSTOM_METHODS.get(name, "")
    return METHODS.get(name) or "Add" + "".join(WORDS.get(word, word.capitalize()) for word in name.split("_"))


def check_symbol(symbol: str) -> str:
    """Return the symbol if it is a valid C identifier.

    Raises:
        WorkerError: It is not.
    """
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", symbol):
        return symbol
    raise WorkerError(
        f"{symbol!r} is no name for C source",
        why="it is not a letter followed by letters, digits and underscores",
        next_step="set the target's `symbol` to such a name",
    )


def source(data: bytes, symbol: str) -> str:
    """Return `model.cc`, which is also valid C: the bytes, aligned as the interpreter requires."""
    rows = (data[start : start + COLUMNS] for start in range(0, len(data), COLUMNS))
    body = "\n".join("  " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    return f"""#include "model.h"

#ifdef __cplusplus
#define {symbol.upper()}_ALIGNED alignas({symbol.upper()}_ALIGNMENT)
#else
#define {symbol.upper()}_ALIGNED _Alignas({symbol.upper()}_ALIGNMENT)
#endif

{symbol.upper()}_ALIGNED const unsigned char {symbol}_data[{symbol.upper()}_BYTES] = {{
{body}
}};
const unsigned int {symbol}_bytes = {symbol.upper()}_BYTES;
"""


def header(model: Model, inputs: Sequence[Tensor], outputs: Sequence[Tensor], symbol: str, arena_bytes: int) -> str:
    """`model.h`. `arena_bytes` is what was found to be enough, `inputs` and `outputs` are in the model's order."""
    upper = symbol.upper()
    lines = [
        f"#ifndef {upper}_MODEL_H_",
        f"#define {upper}_MODEL_H_",
        "",
        f"#define {upper}_BYTES {model.bytes}",
        f"#define {upper}_ALIGNMENT 16",
        "/* the least arena found on a 64-bit host with the reference kernels; optimized ones may ask for more */",
        f"#define {upper}_ARENA_BYTES {arena_bytes}",
        "",
        *_tensors(f"{upper}_INPUT", inputs),
        *_tensors(f"{upper}_OUTPUT", outputs),
        *_operators(model, upper),
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        f"extern const unsigned char {symbol}_data[{upper}_BYTES];",
        f"extern const unsigned int {symbol}_bytes;",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        f"#endif /* {upper}_MODEL_H_ */",
    ]
    return "\n".join(lines) + "\n"


def _tensors(prefix: str, tensors: Sequence[Tensor]) -> Iterator[str]:
    yield f"#define {prefix}S {len(tensors)}"
    for number, tensor in enumerate(tensors):
        name = f"{prefix}_{number}"
        yield f"/* {_comment(tensor.name)} */"
        yield f"#define {name}_TYPE {TFLITE_TYPES.get(tensor.type, 'kTfLiteNoType')}"
        yield f"#define {name}_RANK {len(tensor.shape)}"
        yield f"#define {name}_SHAPE {{{', '.join(map(str, tensor.shape))}}}"
        yield f"#define {name}_ELEMENTS {tensor.elements}"
        if len(tensor.scales) == 1:
            yield f"#define {name}_SCALE {_float(tensor.scales[0])}"
            yield f"#define {name}_ZERO_POINT ({tensor.zero_points[0]})"
    yield ""


def _float(value: float) -> str:
    """The shortest literal with all digits that a float has."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _comment(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /").replace("/*", "/ *").replace("??/", "? ?/")


def _operators(model: Model, upper: str) -> Iterator[str]:
    """A count for the template `tflite::MicroMutableOpResolver<count>`, and a macro that registers each on one."""
    ops = sorted({(op.name, op.custom) for graph in model.subgraphs for op in graph.ops})
    known = [method for name, custom in ops if (method := resolver_method(name, custom))]
    foreign = [name for name, custom in ops if not resolver_method(name, custom)]
    calls = " && ".join(f"(resolver).{method}() == 0" for method in known) or "1"
    yield "/* tflite::MicroMutableOpResolver<" + f"{upper}_OPERATORS> resolver; kTfLiteOk is 0 */"
    yield f"#define {upper}_OPERATORS {len(ops)}"
    if foreign:
        yield f"/* custom operators that you register yourself: {_comment(', '.join(foreign))} */"
    yield f"#define {upper}_REGISTER_OPERATORS(resolver) ({calls})"
    yield ""
