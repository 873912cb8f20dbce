"""Declared signatures, held against what a model has. Knows no framework."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tflbuild.workers.contract import WorkerError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Spec:
    """A tensor at a model's border. `shape` is None when even its rank is free; a size is None when free."""

    shape: Shape | None
    dtype: str

    def show(self) -> str:
        """`float32[None, 28, 28, 1]`."""
        return f"{self.dtype}{'' if self.shape is None else list(self.shape)}"


Specs = Mapping[str, Spec]


def declare(has: Specs, declared: Any, label: str) -> dict[str, Spec]:
    """What the artifact's inputs shall be: as declared where declared, else the model's own.

    `declared` is the recipe's signature as JSON. Raises WorkerError that shows both sides.
    """
    if not declared["inputs"]:
        return {name: Spec(pin(spec, declared["batch"], name), spec.dtype) for name, spec in has.items()}
    wanted = {spec["name"]: Spec(tuple(spec["shape"]), spec["dtype"]) for spec in declared["inputs"]}
    if wanted.keys() != has.keys():
        close = {n: difflib.get_close_matches(n, has, n=1) for n in wanted if n not in has}
        hints = "".join(f"; did you mean '{c[0]}' for '{n}'?" for n, c in close.items() if c)
        shown = "; ".join(f"{name}: {spec.show()}" for name, spec in has.items())
        raise WorkerError(
            f"the inputs declared are {', '.join(wanted)}, and the model's are {', '.join(has)}",
            where="signature.inputs",
            why=f"'{label}' takes {shown}{hints}",
            next_step="declare the inputs under the model's own names",
        )
    for name, spec in wanted.items():
        _require_fit(name, has[name], spec, label)
    return {name: wanted[name] for name in has}


def _require_fit(name: str, has: Spec, wanted: Spec, label: str) -> None:
    told = f"'{label}' has {name}: {has.show()}, declared is {wanted.show()}"
    if has.dtype != wanted.dtype:
        raise WorkerError(
            f"input '{name}' is declared {wanted.dtype}, and the model takes {has.dtype}",
            where=f"signature.inputs.{name}.dtype",
            why=told,
        )
    if has.shape is None or wanted.shape is None:
        return
    fits = len(has.shape) == len(wanted.shape) and all(
        size is None or size == want for size, want in zip(has.shape, wanted.shape, strict=True)
    )
    if not fits:
        batch = "; the batch comes first" if len(wanted.shape) == len(has.shape) - 1 else ""
        raise WorkerError(
            f"input '{name}' cannot have the declared shape {list(wanted.shape)}",
            where=f"signature.inputs.{name}.shape",
            why=told + batch,
        )


def pin(spec: Spec, batch: int | None, name: str) -> Shape:
    """A model's own shape with its free batch pinned. Raises WorkerError when the rank is free."""
    if spec.shape is None:
        raise WorkerError(
            f"input '{name}' has no shape in the model",
            where="signature.inputs",
            next_step=f"declare it: signature.inputs.{name}={{shape: [1, ...], dtype: {spec.dtype}}}",
        )
    return (batch, *spec.shape[1:]) if spec.shape and spec.shape[0] is None else spec.shape


def describe(specs: Specs) -> list[dict[str, Any]]:
    """Tensors as JSON, by name, as signature.json holds them."""
    return [
        {"name": name, "shape": None if spec.shape is None else list(spec.shape), "dtype": spec.dtype}
        for name, spec in sorted(specs.items())
    ]


def require_key(key: str, keys: Collection[str], label: str) -> None:
    """Raises WorkerError, with what there is, when a model lacks the declared signature."""
    if key in keys:
        return
    close = difflib.get_close_matches(key, keys, n=1)
    raise WorkerError(
        f"'{label}' has no signature '{key}'",
        where="signature.key",
        why=f"it has: {', '.join(keys) or 'none'}" + (f"; did you mean '{close[0]}'?" if close else ""),
        next_step="set signature.key" if keys else "export the model with a signature",
    )


def signature_json(key: str, inputs: Specs, outputs: Specs, predict_key: str) -> dict[str, Any]:
    """What signature.json holds: the declared signature, and the one that reference outputs are made with."""
    return {"key": key, "inputs": describe(inputs), "outputs": describe(outputs), "predict_key": predict_key}
