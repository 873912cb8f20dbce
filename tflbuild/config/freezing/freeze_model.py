"""Freeze the sections of a recipe that describe the model: source, signatures, op set, converter."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.schema import schema_model as schema
from tflbuild.core.digest import Json, canonical_json, plain_json
from tflbuild.core.recipe import LOCATORS, Opset, Preprocess, Signature, Source, TensorSpec

NUMBERS = ("float32", "float16", "int8", "uint8", "int16", "int32")
REFERENCE = re.compile(r"(?P<file>.+\.py|[A-Za-z_][\w.]*):[A-Za-z_][\w.]*")
CHOICES = {
    "experimental_supported_backends": ("GPU",),
    "_experimental_full_integer_quantization_bias_type": ("int32", "int64"),
    "_experimental_supported_accumulation_type": ("float16", "float32"),
}


def freeze_source(source: schema.SourceConfig, refusals: RecipeErrors) -> Source:
    """Return the source, with its digest and its references checked for their form.

    Raises:
        RecipeError: for a source without a locator, and for a digest or reference that is not valid.
    """
    pinned = source.sha256.lower()
    if pinned:
        hexadecimal = bool(re.fullmatch(r"[0-9a-f]{64}", pinned))
        refusals.require(hexadecimal, "source.sha256", f"'{source.sha256}'", "64 hex digits")
    require_read(source, refusals)
    path = "" if "path" in type(source).unused else source.path
    common: dict[str, Any] = {"kind": source.kind, "path": path, "sha256": pinned}
    common |= {"allow": tuple(sorted(getattr(source, "allow", ())))}
    if isinstance(source, schema.KerasSource):
        objects = tuple(sorted(source.custom_objects.items()))
        for name, reference in objects:
            require_reference(reference, f"source.custom_objects.{name}", refusals)
        common |= {"custom_objects": objects, "files": tuple(source.files)}
        return Source(**common, fused_lstm=source.fused_lstm)
    if isinstance(source, schema.SavedModelSource):
        return Source(**common, tags=tuple(source.tags))
    if isinstance(source, schema.HubSource):
        return Source(**common, handle=source.handle, tags=tuple(source.tags))
    if isinstance(source, schema.FunctionSource):
        return freeze_function(source, common, refusals)
    return Source(**common)


def require_read(source: schema.SourceConfig, refusals: RecipeErrors) -> None:
    """Raise RecipeError for an empty locator of the model, and for files that nothing would use."""
    locator = LOCATORS.get(source.kind, "path")
    if source.kind != "function":  # a reference is held to its form
        refusals.require(bool(getattr(source, locator)), f"source.{locator}", "empty", "set")
    if isinstance(source, schema.KerasSource) and source.files and not source.custom_objects:
        raise refusals.refuse(
            f"'source.files' is not used by source={source.kind}", "source.files", next_step="leave it out"
        )


def freeze_function(source: schema.FunctionSource, common: Mapping[str, Any], refusals: RecipeErrors) -> Source:
    """Return a source that is a function call. Its arguments must be JSON values."""
    require_reference(source.call, "source.call", refusals)
    arguments = plain_json(source.arguments)
    try:
        canonical_json(arguments)
    except (TypeError, ValueError) as error:
        raise refusals.refuse(
            "source.arguments cannot be passed on",
            "source.arguments",
            why=str(error),
            next_step="arguments are numbers, strings, true, false, null, and lists and mappings of them",
        ) from None
    return Source(
        **common,
        call=source.call,
        arguments=arguments,
        weights=source.weights,
        files=tuple(source.files),
        fused_lstm=source.fused_lstm,
    )


def require_reference(text: str, key: str, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a text other than `file.py:name` or `module:name`."""
    refusals.require(bool(REFERENCE.fullmatch(text)), key, f"'{text}'", "'file.py:name' or 'module:name'")


def freeze_signature(key: str, entry: schema.SignatureBaseConfig, place: str, refusals: RecipeErrors) -> Signature:
    """Return one signature. `place` is its key in the recipe."""
    refusals.require(bool(key), f"{place}.key", "empty", "a name")
    if entry.batch is not None:
        refusals.require(entry.batch >= 1, f"{place}.batch", entry.batch, "at least 1, or null")
    for name, tensor in entry.inputs.items():
        for size in tensor.shape:
            told = f"{place}.inputs.{name}.shape"
            fits = size is None or size >= 1
            refusals.require(fits, told, tensor.shape, "made of sizes from 1, and null where free")
    inputs = tuple(
        TensorSpec(name=name, shape=tuple(tensor.shape), dtype=tensor.dtype.value)
        for name, tensor in sorted(entry.inputs.items())
    )
    preprocess = tuple(
        freeze_preprocess(name, one, f"{place}.preprocess.{name}", refusals)
        for name, one in sorted(entry.preprocess.items())
    )
    outputs = tuple(sorted(entry.outputs.items()))
    return Signature(
        key=key, entry=entry.entry, inputs=inputs, batch=entry.batch, outputs=outputs, preprocess=preprocess
    )


def freeze_preprocess(name: str, one: schema.PreprocessConfig, place: str, refusals: RecipeErrors) -> Preprocess:
    """Return the preprocessing of one input."""
    refusals.require(bool(one.mean), f"{place}.mean", one.mean, "one number, or one a channel")
    divides = bool(one.std) and 0.0 not in one.std
    refusals.require(divides, f"{place}.std", one.std, "one number, or one a channel, and none of them 0")
    for part, numbers in (("scale", [one.scale]), ("mean", one.mean), ("std", one.std)):
        finite = all(map(math.isfinite, numbers))
        refusals.require(finite, f"{place}.{part}", one.scale if part == "scale" else numbers, "a finite number")
    refusals.require(one.scale != 0, f"{place}.scale", one.scale, "another number than 0")
    refusals.require(one.dtype.value in NUMBERS, f"{place}.dtype", one.dtype.value, "a number's type")
    return Preprocess(
        input=name,
        dtype=one.dtype.value,
        scale=one.scale,
        mean=tuple(one.mean),
        std=tuple(one.std),
        layout=one.layout.value,
        resize=one.resize.value,
    )


def freeze_more(signature: schema.SignatureConfig, refusals: RecipeErrors) -> tuple[Signature, ...]:
    """Return the further signatures, sorted by name."""
    if signature.key in signature.more:
        raise refusals.refuse(
            f"the signature '{signature.key}' is declared twice",
            f"signature.more.{signature.key}",
            why="it is signature.key, and stands under signature.more too",
        )
    return tuple(
        freeze_signature(key, entry, f"signature.more.{key}", refusals) for key, entry in sorted(signature.more.items())
    )


def freeze_opset(opset: schema.OpsetConfig, refusals: RecipeErrors) -> Opset:
    """Return the op set. A runtime must be named by its version."""
    if opset.max_runtime:
        written = refusals.locations.written("opset.max_runtime")
        if re.fullmatch(r"\d+\.\d+", written) and written != opset.max_runtime:
            raise refusals.refuse(
                f"opset.max_runtime={written} is the number {opset.max_runtime}, which as a version is another",
                "opset.max_runtime",
                next_step=f"quote it: '{written}'",
            )
        version = bool(re.fullmatch(r"\d+(\.\d+){1,2}", opset.max_runtime))
        refusals.require(version, "opset.max_runtime", f"'{opset.max_runtime}'", "a version such as '2.14'")
    if isinstance(opset, schema.CustomOpset) and not opset.custom:
        raise refusals.refuse(
            "opset=custom allows no operator",
            "opset.custom",
            why="custom operators are allowed one by one, by name",
            next_step="name them: opset.custom=[MyOperator]",
        )
    for name in opset.custom:
        if name.startswith("Flex"):
            raise refusals.refuse(
                f"'{name}' is a TensorFlow (Flex) operator, not a custom one",
                "opset.custom",
                next_step="opset=select_tf allows Flex operators; opset.deny excludes single ones",
            )
    return Opset(
        select_tf=opset.select_tf,
        custom=tuple(sorted(opset.custom)),
        deny=tuple(sorted(opset.deny)),
        max_runtime=opset.max_runtime,
        arithmetic=opset.arithmetic.value,
    )


def freeze_converter(
    converter: schema.Converter, refusals: RecipeErrors, unread: Collection[str] = ()
) -> tuple[tuple[str, Json], ...]:
    """Return the converter options that were set, sorted by name, without the unused ones."""
    told: list[tuple[str, Json]] = []
    for name, value in vars(converter).items():
        if value is None or value == []:
            continue
        plain = value.value if isinstance(value, Enum) else plain_json(value)
        for one in plain if isinstance(plain, list) else [plain]:
            if name in CHOICES:
                refusals.require(one in CHOICES[name], f"converter.{name}", f"'{one}'", " or ".join(CHOICES[name]))
        if f"converter.{name}" not in unread:
            told.append((name, plain))
    return tuple(sorted(told))
