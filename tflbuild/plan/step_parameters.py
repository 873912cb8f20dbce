"""What steps depend on besides their inputs: a part of the recipe, without what a kind of step has no use for."""

from __future__ import annotations

from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Optimize, Quantization, Recipe, Signature
from tflbuild.resolve.input_digests import ResolvedRecipe

SAMPLES = "samples/"  # the output of every step that samples


def source_params(resolved: ResolvedRecipe) -> dict[str, Json]:
    """What importing depends on besides bytes, and nothing that this kind of source has no use for."""
    source = resolved.recipe.source
    params: dict[str, Json] = {"kind": "saved_model" if source.kind == "hub" else source.kind}
    if source.tags or params["kind"] == "saved_model":
        params["tags"] = source.tags
    entries = list(resolved.entries)
    if source.call:
        params |= {"call": entries.pop(0), "arguments": source.arguments}
    if source.custom_objects:
        params["custom_objects"] = {n: e for (n, _), e in zip(source.custom_objects, entries, strict=True)}
    if resolved.packages:
        params["packages"] = dict(resolved.packages)
    large = dict(resolved.recipe.converter).get("_experimental_use_buffer_offset", False)
    optional = {"allow": source.allow, "fused_lstm": source.fused_lstm, "large": large}
    return params | {name: value for name, value in optional.items() if value}


def signature_params(recipe: Recipe) -> list[Json]:
    """Return the declared signatures, each with the names that the recipe's metadata gives its tensors."""
    described = {} if recipe.metadata is None else recipe.metadata.described
    others = described.get("more", {})
    signatures: list[Json] = []
    for index, signature in enumerate((recipe.signature, *recipe.more_signatures)):
        metadata = described if index == 0 else others.get(signature.key, {})
        names = {side: sorted(metadata[side]) for side in ("inputs", "outputs") if metadata.get(side)}
        signatures.append({**asdict(signature), **({"described": names} if names else {})})
    return signatures


def training_params(optimize: Optimize, signature: Signature) -> dict[str, Json]:
    """How a model is trained, and the signature that its samples feed."""
    told = {name: value for name, value in asdict(optimize).items() if name != "dataset" and value is not None}
    return {**told, "key": signature.key, "preprocess": [asdict(one) for one in signature.preprocess]}


def list_scheme_parameters(quantization: Quantization) -> dict[str, Json]:
    """What refines a scheme, where something does: an option left alone is no part of a key."""
    told: dict[str, Json] = {"rules": [asdict(rule) for rule in quantization.rules]}
    told |= {"algorithm": quantization.algorithm, "granularity": quantization.granularity}
    told |= {"symmetric": quantization.symmetric}
    usual = {"rules": [], "algorithm": "min_max", "granularity": "per_channel", "symmetric": False}
    return {name: value for name, value in told.items() if value != usual[name]}
