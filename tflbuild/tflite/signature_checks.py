"""Checks of declared signatures against those of a model. Independent of any framework."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tflbuild.runtime.step_contract import WorkerError

Shape = tuple[int | None, ...]
# Layout -> for each axis of the artifact's input, the axis of the model.
APP_AXES = {"keep": None, "nchw_to_nhwc": (0, 3, 1, 2), "nhwc_to_nchw": (0, 2, 3, 1)}


@dataclass(frozen=True)
class SourceTensorSpec:
    """An input or output of a model. `shape` is None if the rank is unknown. A dynamic size in it is None."""

    shape: Shape | None
    dtype: str

    def show(self) -> str:
        """Return the specification as text: `float32[None, 28, 28, 1]`."""
        return f"{self.dtype}{'' if self.shape is None else list(self.shape)}"


Specs = Mapping[str, SourceTensorSpec]


def declare(has: Specs | None, declared: Any, label: str, where: str = "signature") -> dict[str, SourceTensorSpec]:
    """Decide the inputs of the artifact: as declared, or like those of the model.

    Args:
        has: The inputs of the model, or None for a model that accepts any inputs.
        declared: The signature of the recipe, as JSON.
        label: The name of the source, for errors.
        where: The recipe key of the signature.

    Returns:
        Input name -> specification.

    Raises:
        WorkerError: Declared inputs do not match the model, or none are declared for a model that accepts any.
    """
    preprocess = {entry["input"]: entry for entry in declared.get("preprocess", ())}
    declared_specs = {
        spec["name"]: SourceTensorSpec(tuple(spec["shape"]), spec["dtype"]) for spec in declared["inputs"]
    }
    if has is None:
        if not declared_specs:
            raise WorkerError(
                f"'{label}' fixes no inputs, and the recipe declares none",
                where=f"{where}.inputs",
                why="a subclassed Keras model, or a function without an input signature, takes what it is given",
                next_step=f"declare them: {where}.inputs={{x: {{shape: [1, ...], dtype: float32}}}}",
            )
        has = declared_specs
    _require_known(preprocess, has, f"{where}.preprocess", label)
    if not declared_specs:
        return {
            name: raw_spec(
                SourceTensorSpec(pin(spec, declared["batch"], name, where), spec.dtype), preprocess.get(name)
            )
            for name, spec in has.items()
        }
    if declared_specs.keys() != has.keys():
        close = {n: difflib.get_close_matches(n, has, n=1) for n in declared_specs if n not in has}
        hints = "".join(f"; did you mean '{c[0]}' for '{n}'?" for n, c in close.items() if c)
        shown = "; ".join(f"{name}: {spec.show()}" for name, spec in has.items())
        raise WorkerError(
            f"the inputs declared are {', '.join(declared_specs)}, and the model's are {', '.join(has)}",
            where=f"{where}.inputs",
            why=f"'{label}' takes {shown}{hints}",
            next_step="declare the inputs under the model's own names",
        )
    for name, spec in declared_specs.items():
        if name not in preprocess:
            _require_fit(name, has[name], spec, label, where)
    return {name: declared_specs[name] for name in has}


def _require_known(names: Collection[str], has: Specs, where: str, label: str) -> None:
    for name in names:
        if name not in has:
            close = difflib.get_close_matches(name, has, n=1)
            raise WorkerError(
                f"'{label}' has no input '{name}'",
                where=where,
                why=f"its inputs: {', '.join(has)}" + (f"; did you mean '{close[0]}'?" if close else ""),
            )


def _require_fit(name: str, has: SourceTensorSpec, wanted: SourceTensorSpec, label: str, where: str) -> None:
    comparison = f"'{label}' has {name}: {has.show()}, declared is {wanted.show()}"
    if has.dtype != wanted.dtype:
        raise WorkerError(
            f"input '{name}' is declared {wanted.dtype}, and the model takes {has.dtype}",
            where=f"{where}.inputs.{name}.dtype",
            why=comparison,
            next_step=f"declare {has.dtype}; to feed another type, say what it means: {where}.preprocess.{name}",
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
            where=f"{where}.inputs.{name}.shape",
            why=comparison + batch,
        )


def pin(spec: SourceTensorSpec, batch: int | None, name: str, where: str = "signature") -> Shape:
    """Return the shape of an input with its dynamic batch dimension set to `batch`.

    Raises:
        WorkerError: The rank is unknown.
    """
    if spec.shape is None:
        raise WorkerError(
            f"input '{name}' has no shape in the model",
            where=f"{where}.inputs",
            next_step=f"declare it: {where}.inputs.{name}={{shape: [1, ...], dtype: {spec.dtype}}}",
        )
    return (batch, *spec.shape[1:]) if spec.shape and spec.shape[0] is None else spec.shape


def raw_spec(model: SourceTensorSpec, preprocess: Mapping[str, Any] | None) -> SourceTensorSpec:
    """Return the specification of an input before preprocessing.

    Raises:
        WorkerError: The layout does not match the rank.
    """
    if preprocess is None:
        return model
    axes = APP_AXES[preprocess["layout"]]
    if axes is not None and model.shape is not None and len(model.shape) != len(axes):
        raise WorkerError(
            f"input '{preprocess['input']}' is no image, and has the layout {preprocess['layout']}",
            where=f"signature.preprocess.{preprocess['input']}.layout",
            why=f"the model takes {model.show()}; a layout is that of {len(axes)} dimensions",
        )
    shape = model.shape if axes is None or model.shape is None else tuple(model.shape[axis] for axis in axes)
    return SourceTensorSpec(shape, preprocess["dtype"])


def require_outputs(declared: Any, own: Collection[str], label: str, where: str = "signature") -> None:
    """Check that the model has all outputs that the recipe declares.

    Args:
        declared: The signature of the recipe, as JSON.
        own: The names of the model's outputs.
        label: The name of the source, for the error.
        where: The recipe key of the signature.

    Raises:
        WorkerError: An output does not exist.
    """
    for name, source_name in declared.get("outputs", ()):
        if source_name not in own:
            close = difflib.get_close_matches(source_name, own, n=1)
            raise WorkerError(
                f"'{label}' has no output '{source_name}'",
                where=f"{where}.outputs.{name}",
                why=f"its outputs: {', '.join(own)}" + (f"; did you mean '{close[0]}'?" if close else ""),
            )


def require_described(declared: Any, inputs: Collection[str], outputs: Collection[str], label: str, where: str) -> None:
    """Check that the artifact has all inputs and outputs that the recipe's `metadata` names.

    Args:
        declared: The signature of the recipe as JSON. `described` has the names that the metadata uses.
        inputs: The names of the artifact's inputs.
        outputs: The names of its outputs.
        label: The name of the source, for the error.
        where: The recipe key of this signature's metadata.

    Raises:
        WorkerError: A name does not exist.
    """
    for side, names in (("inputs", inputs), ("outputs", outputs)):
        for name in declared.get("described", {}).get(side, ()):
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                raise WorkerError(
                    f"'{label}' has no {side[:-1]} '{name}'",
                    where=f"{where}.{side}.{name}",
                    why=f"its {side}: {', '.join(names)}" + (f"; did you mean '{close[0]}'?" if close else ""),
                )


def describe(specs: Specs) -> list[dict[str, Any]]:
    """Return specifications as JSON, sorted by name, as in signature.json."""
    return [
        {"name": name, "shape": None if spec.shape is None else list(spec.shape), "dtype": spec.dtype}
        for name, spec in sorted(specs.items())
    ]


def require_key(key: str, keys: Collection[str], label: str, where: str = "signature.key") -> None:
    """Check that a model has the declared signature.

    Raises:
        WorkerError: The model has no signature with this name.
    """
    if key in keys:
        return
    close = difflib.get_close_matches(key, keys, n=1)
    raise WorkerError(
        f"'{label}' has no signature '{key}'",
        where=where,
        why=f"it has: {', '.join(keys) or 'none'}" + (f"; did you mean '{close[0]}'?" if close else ""),
        next_step=f"set {where}" if keys else "export the model with a signature",
    )


def signature_json(
    key: str, inputs: Specs, outputs: Specs, predict_key: str, *, stateful: bool = False
) -> dict[str, Any]:
    """Return a signature as in signature.json, where the main signature has the others in the list `more`.

    Args:
        key: The signature name.
        inputs: The inputs.
        outputs: The outputs.
        predict_key: The entry point of the snapshot with which predictions are made.
        stateful: Whether calls change variables, so that their order matters.
    """
    return {
        "key": key,
        "inputs": describe(inputs),
        "outputs": describe(outputs),
        "predict_key": predict_key,
        "stateful": stateful,
    }


def each_signature(signature: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the main signature of a signature.json, then the others."""
    yield signature
    yield from signature.get("more", ())
