"""Witness: what a source gives for a few inputs, asked in its own framework before anything wraps it.

`import` writes it. The snapshot that `import` makes, and the float model that `convert` makes of that, must give the
same. A `.npz` with `call<i>:<signature>:in:<input>` and `call<i>:<signature>:out:<output>`, in the order of the calls.
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
# Of an output's greatest magnitude. Frameworks sum in other orders and fuse other operators: float models of up to
# 300 layers are within 1e-5.
ROUNDING = 1e-3
# Rounding may decide a comparison (an arg max, a threshold) otherwise, rarely.
FEW = 0.01


@dataclass(frozen=True)
class SourceCall:
    """One call of a signature: what was fed, and what the source gave, by the artifact's names."""

    key: str
    feed: Arrays
    outputs: Arrays


def save_witness(path: Path, calls: Sequence[SourceCall]) -> None:
    """Write the calls in their order."""
    arrays: Arrays = {}
    for index, call in enumerate(calls):
        place = f"call{index}:{call.key}"
        arrays |= {f"{place}:in:{name}": plain(array) for name, array in sorted(call.feed.items())}
        arrays |= {f"{place}:out:{name}": plain(array) for name, array in sorted(call.outputs.items())}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def plain(array: np.ndarray) -> np.ndarray:
    """Return strings as bytes of one width, and bfloat16 as float32: neither could be read back without pickling."""
    if array.dtype.kind in "OU":
        return array.astype("S")
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def load_witness(path: Path, keys: Sequence[str]) -> list[SourceCall]:
    """Return the calls in their order; `keys` are the signatures that there may be."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    calls: list[SourceCall] = []
    while key := next((key for key in keys if select_prefix(arrays, f"call{len(calls)}:{key}:")), None):
        place = f"call{len(calls)}:{key}"
        calls.append(SourceCall(key, select_prefix(arrays, f"{place}:in:"), select_prefix(arrays, f"{place}:out:")))
    return calls


def select_prefix(arrays: Arrays, start: str) -> Arrays:
    """Return the arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def compare_with_source_outputs(witness: Sequence[SourceCall], calls: Mapping[str, Call], model: str) -> None:
    """Make the witness's calls again, in their order, and compare.

    Args:
        witness: What the source gave.
        calls: By signature; those that are missing cannot be called here.
        model: What is compared, for people: `the float model`.

    Raises:
        WorkerError: For the first output that is not the source's.
    """
    for call in witness:
        if call.key in calls:
            made = {name: np.asarray(value) for name, value in calls[call.key](call.feed).items()}
            for name, why in differences(call.outputs, made):
                raise unlike_source(call.key, name, why, model)


def differences(expected: Arrays, made: Arrays) -> Iterator[tuple[str, str]]:
    """Yield (output, why) for each output of one call that is not what the source gave."""
    for name, wanted in expected.items():
        if name not in made:
            yield name, f"it is missing; there are {', '.join(made)}"
            continue
        why = difference(wanted, made[name])
        if why:
            others = [other for other, values in expected.items() if other != name and same(values, made[name])]
            yield name, why + "".join(f"; it is the source's output '{other}'" for other in others[:1])


def difference(wanted: np.ndarray, has: np.ndarray) -> str:
    """Return how an output differs from the source's by more than rounding, "" where it does not."""
    if wanted.size != has.size or squeezed(wanted) != squeezed(has):
        return f"its shape is {list(has.shape)}, and the source's {list(wanted.shape)}"
    has = has.reshape(wanted.shape)
    if wanted.dtype.kind not in "fc":
        unlike = plain(has) != plain(wanted) if wanted.dtype.kind in "SOU" else has != wanted
        return f"{int(unlike.sum())} of {unlike.size} values differ" if unlike.mean() > FEW else ""
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = float(finite.max(initial=0.0)) or 1.0
    close = np.isclose(has, wanted, rtol=ROUNDING, atol=ROUNDING * scale, equal_nan=True)
    if (~close).mean() <= FEW if close.size else True:
        return ""
    strange = np.isfinite(wanted) & ~np.isfinite(has)
    if strange.any():
        return f"{int(strange.sum())} of {strange.size} values are NaN or infinite, and the source's are not"
    worst = float(np.nanmax(np.abs(has.astype(np.float64) - wanted)[~close], initial=0.0))
    return f"it differs by up to {worst:.3g}, where the source's values reach {scale:.3g}"


def same(wanted: np.ndarray, has: np.ndarray) -> bool:
    """Return whether an output is another one of the source's."""
    return wanted.dtype.kind == has.dtype.kind and not difference(wanted, has)


def squeezed(array: np.ndarray) -> list[int]:
    """Return the shape without axes of one."""
    return [size for size in array.shape if size != 1]


def unlike_source(key: str, name: str, why: str, model: str) -> WorkerError:
    """Return the error for an output that is not the source's."""
    cause = "import" if model == SNAPSHOT else "conversion, or import before it,"
    return WorkerError(
        f"output '{name}' of {model} is not what the source itself gives (signature '{key}')",
        kind="build",
        why=f"on random inputs {why}: {cause} changed the model",
        next_step="compare signature.outputs and signature.preprocess with the source; if they are right, this is a"
        " fault of tflbuild or of the converter: please report it",
    )


SNAPSHOT = "the imported model"
