"""Parameters of steps: the parts of the recipe that a step uses. Unused parts must not enter its cache key."""

from __future__ import annotations

from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.recipe import CONVERTER_QUANTIZER_OPTIONS, Optimize, Quantization, Recipe, Signature
from tflbuild.resolve.input_digests import ResolvedRecipe

# The name of the output of every step that samples a dataset.
SAMPLES = "samples/"


def source_parameters(resolved: ResolvedRecipe) -> dict[str, Json]:
    """Return the parameters of a step that imports the source, without those that this kind of source does not use."""
    source = resolved.recipe.source
    params: dict[str, Json] = {"kind": "saved_model" if source.kind == "hub" else source.kind}
    if source.tags or params["kind"] == "saved_model":
        params["tags"] = source.tags
    entries = list(resolved.entries)
    if source.call:
        params |= {"call": entries.pop(0), "arguments": source.arguments}
    if source.custom_objects:
        objects = zip(source.custom_objects, entries, strict=True)
        params["custom_objects"] = {name: entry for (name, _), entry in objects}
    if resolved.packages:
        params["packages"] = dict(resolved.packages)
    large = dict(resolved.recipe.converter).get("_experimental_use_buffer_offset", False)
    optional = {"allow": source.allow, "fused_lstm": source.fused_lstm, "large": large}
    return params | {name: value for name, value in optional.items() if value}


def signature_parameters(recipe: Recipe) -> list[Json]:
    """Return the declared signatures, each with the names of the tensors that the recipe's metadata describes."""
    described = {} if recipe.metadata is None else recipe.metadata.described
    others = described.get("more", {})
    signatures: list[Json] = []
    for index, signature in enumerate((recipe.signature, *recipe.more_signatures)):
        metadata = described if index == 0 else others.get(signature.key, {})
        names = {side: sorted(metadata[side]) for side in ("inputs", "outputs") if metadata.get(side)}
        signatures.append({**asdict(signature), **({"described": names} if names else {})})
    return signatures


def training_parameters(optimize: Optimize, signature: Signature) -> dict[str, Json]:
    """Return the parameters of the training, and those of the signature whose inputs are the training samples."""
    params = {name: value for name, value in asdict(optimize).items() if name != "dataset" and value is not None}
    return {**params, "key": signature.key, "preprocess": [asdict(operation) for operation in signature.preprocess]}


def scheme_parameters(quantization: Quantization) -> dict[str, Json]:
    """Return the options of the scheme that differ from their defaults. Defaults do not enter the cache key."""
    params: dict[str, Json] = {"rules": [asdict(rule) for rule in quantization.rules]}
    params |= {"algorithm": quantization.algorithm, "granularity": quantization.granularity}
    params |= {"symmetric": quantization.symmetric}
    defaults = {"rules": [], "algorithm": "min_max", "granularity": "per_channel", "symmetric": False}
    return {name: value for name, value in params.items() if value != defaults[name]}


def converter_parameters(recipe: Recipe, *, quantizing: bool) -> dict[str, Json]:
    """Return the parameters of the converter.

    With `quantizing` false, options of its quantizer are left out, so that they do not enter the cache key of the
    float model.
    """
    options = {name: value for name, value in recipe.converter if quantizing or name not in CONVERTER_QUANTIZER_OPTIONS}
    params: dict[str, Json] = {"select_tf": recipe.opset.select_tf}
    if recipe.opset.custom:
        params["allow_custom"] = True
    return params | ({"options": options} if options else {})
