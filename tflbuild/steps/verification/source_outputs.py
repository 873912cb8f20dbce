"""Source outputs: what a source returns for a few random inputs in its own framework, before `import` wraps it.

`import` writes them. The snapshot from `import`, and the float model from `convert`, must return the same. The file is
a `.npz` with `call<i>:<signature>:in:<input>` and `call<i>:<signature>:out:<output>`, in the order of the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tflbuild.runtime.step_contract import WorkerError

Arrays = dict[str, np.ndarray]
Call = Callable[[Arrays], Arrays]

WITNESS = "witness.npz"
# The allowed error, relative to an output's largest magnitude. Frameworks sum in different orders and fuse different
# operators. Float models of up to 300 layers are within 1e-5.
ROUNDING = 1e-3
# The allowed fraction of values that differ. Rounding rarely changes the result of a comparison (arg max, threshold).
FEW = 0.01


@dataclass(frozen=True)
class SourceCall:
    """One call of a signature: the inputs and the source's outputs, by the names that the artifact has for them."""

    key: str
    feed: Arrays
    outputs: Arrays


def save_source_outputs(path: Path, calls: Sequence[SourceCall]) -> None:
    """Write calls to a file, in their order."""
    arrays: Arrays = {}
    for index, call in enumerate(calls):
        prefix = f"call{index}:{call.key}"
        arrays |= {f"{prefix}:in:{name}": make_plain(array) for name, array in sorted(call.feed.items())}
        arrays |= {f"{prefix}:out:{name}": make_plain(array) for name, array in sorted(call.outputs.items())}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def make_plain(array: np.ndarray) -> np.ndarray:
    """Return an array that can be read without pickling: strings as bytes of one width, and bfloat16 as float32."""
    if array.dtype.kind in "OU":
        return array.astype("S")
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def load_source_outputs(path: Path, keys: Sequence[str]) -> list[SourceCall]:
    """Read calls from a file, in their order. `keys` are the names of all signatures that it may contain."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    calls: list[SourceCall] = []
    while key := next((key for key in keys if select_prefix(arrays, f"call{len(calls)}:{key}:")), None):
        prefix = f"call{len(calls)}:{key}"
        calls.append(SourceCall(key, select_prefix(arrays, f"{prefix}:in:"), select_prefix(arrays, f"{prefix}:out:")))
    return calls


def select_prefix(arrays: Arrays, prefix: str) -> Arrays:
    """Return the arrays whose names start with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def compare_with_source_outputs(witness: Sequence[SourceCall], calls: Mapping[str, Call], model: str) -> None:
    """Repeat calls in their order on a model, and compare the outputs.

    Args:
        witness: The source's calls.
        calls: Signature name -> function that runs it. Signatures without a function are skipped.
        model: What is compared, for the error: `the float model`.

    Raises:
        WorkerError: An output differs from that of the source. Only the first one is reported.
    """
    for call in witness:
        if call.key in calls:
            outputs = {name: np.asarray(value) for name, value in calls[call.key](call.feed).items()}
            for name, reason in find_differences(call.outputs, outputs):
                raise make_difference_error(call.key, name, reason, model)


def find_differences(expected: Arrays, actual: Arrays) -> Iterator[tuple[str, str]]:
    """Yield (output, reason) for each output of a call that differs from that of the source."""
    for name, values in expected.items():
        if name not in actual:
            yield name, f"it is missing; there are {', '.join(actual)}"
            continue
        reason = describe_difference(values, actual[name])
        if reason:
            equal = [other for other, array in expected.items() if other != name and are_equal(array, actual[name])]
            yield name, reason + "".join(f"; it is the source's output '{other}'" for other in equal[:1])


def describe_difference(expected: np.ndarray, actual: np.ndarray) -> str:
    """Describe how an output differs from the source's by more than rounding, "" if it does not.

    Args:
        expected: The source's output.
        actual: The output of the model. Axes of size 1 may differ.
    """
    if expected.size != actual.size or squeeze_shape(expected) != squeeze_shape(actual):
        return f"its shape is {list(actual.shape)}, and the source's {list(expected.shape)}"
    actual = actual.reshape(expected.shape)
    if expected.dtype.kind not in "fc":
        is_different = (
            make_plain(actual) != make_plain(expected) if expected.dtype.kind in "SOU" else actual != expected
        )
        return f"{int(is_different.sum())} of {is_different.size} values differ" if is_different.mean() > FEW else ""
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max(initial=0.0)) or 1.0
    is_close = np.isclose(actual, expected, rtol=ROUNDING, atol=ROUNDING * scale, equal_nan=True)
    if (~is_close).mean() <= FEW if is_close.size else True:
        return ""
    is_invalid = np.isfinite(expected) & ~np.isfinite(actual)
    if is_invalid.any():
        return f"{int(is_invalid.sum())} of {is_invalid.size} values are NaN or infinite, and the source's are not"
    worst = float(np.nanmax(np.abs(actual.astype(np.float64) - expected)[~is_close], initial=0.0))
    return f"it differs by up to {worst:.3g}, where the source's values reach {scale:.3g}"


def are_equal(expected: np.ndarray, actual: np.ndarray) -> bool:
    """Return whether an output equals this output of the source."""
    return expected.dtype.kind == actual.dtype.kind and not describe_difference(expected, actual)


def squeeze_shape(array: np.ndarray) -> list[int]:
    """Return the shape of an array without axes of size 1."""
    return [size for size in array.shape if size != 1]


def make_difference_error(key: str, name: str, reason: str, model: str) -> WorkerError:
    """Return the error for an output that differs from the source's."""
    cause = "import" if model == SNAPSHOT else "conversion, or import before it,"
    return WorkerError(
        f"output '{name}' of {model} is not what the source itself gives (signature '{key}')",
        kind="build",
        why=f"on random inputs {reason}: {cause} changed the model",
        next_step="compare signature.outputs and signature.preprocess with the source; if they are correct, please"
        " report this as a bug of tflbuild or of the converter",
    )


SNAPSHOT = "the imported model"
