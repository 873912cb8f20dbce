"""What `tflbuild inspect` says of a model, and the recipe that it proposes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.core.recipe import LOCATORS
from tflbuild.report.metadata_text import metadata_text
from tflbuild.terminal.text_escaping import ESCAPED, show_line
from tflbuild.tflite.artifact_contents import fused_text, list_decisive_features, list_unknown_features

# Where a proposed recipe starts. The shipped model has 34.8 dB as int8; below 10 dB little is left of an output. A
# float model differs from its source by rounding alone.
LEAST_SNR_DB = {"int8": 15.0, "none": 60.0}
YAML_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
LEAST_COSINE = 0.9  # of whole numbers, such as class indices


def inspection_text(
    path: str, kind: str, signature: Json, contents: Mapping[str, Json], asks: Sequence[Mapping[str, str]] = ()
) -> str:
    """Source, inputs and outputs; of a .tflite also size, operators and scales. `asks` is what a build wants named."""
    lines = [f"{path}  {kind}" + (f"  {show_bytes(contents['bytes'])}" if contents else "")]
    lines += ["ran        this code, which the command names: nothing else tells what it makes"] * (kind == "function")
    if contents:
        lines.append("operators  " + ", ".join(f"{name} x{count}" for name, count in contents["operators"].items()))
        if fused := fused_text(contents):
            lines.append(f"fused      {fused}")
        lines.append("tensors    " + ", ".join(f"{name} x{count}" for name, count in contents["tensor_types"].items()))
        lines += [*runtime_lines(contents), *metadata_text(contents)]
    for entry in contents.get("signatures") or every_signature(signature):
        made = "" if contents.get("has_signatures", True) else "  the file has none: a build gives it this one"
        lines.append(f"signature  {entry['key']}{made}")
        tensors = [(side, tensor) for side in ("input", "output") for tensor in entry[f"{side}s"]]
        width = max((len(tensor["name"]) for _, tensor in tensors), default=0)
        lines += [f"  {side:<6}  {tensor['name']:<{width}}  {_tensor(side, tensor)}" for side, tensor in tensors]
        lines += [] if entry["inputs"] or contents else ["  input   to be declared: the model's own code decides them"]
    return "\n".join([*lines, *list_asks(asks)])


def list_asks(asks: Sequence[Mapping[str, str]]) -> list[str]:
    """Return a line for each part of a model that a build refuses unless the recipe names it."""
    parts = [f"{ask['why']}: '{ask['path']}'" if ask["path"] else ask["why"] for ask in asks]
    return [f"refused    unless {ask['key']} names it: {part}" for ask, part in zip(asks, parts, strict=True)]


def every_signature(signature: Json) -> list[Json]:
    """The main one, then the others that the source has."""
    return [signature, *signature.get("more", ())]


def runtime_lines(contents: Mapping[str, Json]) -> list[str]:
    """What a runtime must have: a version, and operators beyond the builtins."""
    lines = []
    if contents["least_runtime"]:
        decisive = _some(list_decisive_features(contents))
        lines.append(f"runtime    TFLite {contents['least_runtime']} or newer, for {decisive}")
    unknown = list_unknown_features(contents)
    if unknown:
        lines.append(f"unknown    which runtime has {_some(unknown)}")
    if contents["flex_operators"]:
        lines.append(f"needs      the Flex delegate, for {', '.join(contents['flex_operators'])}")
    if contents["custom_operators"]:
        lines.append(f"needs      kernels of the app's own, for {', '.join(contents['custom_operators'])}")
    if contents["state_tensors"]:
        lines.append("keeps      state from call to call: reset_all_variables() before each sequence")
    return lines


def _some(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _tensor(side: str, tensor: Mapping[str, Json]) -> str:
    if tensor["shape"] is None:
        return "to be declared" if side == "input" else f"{tensor['dtype']}  shape known when it is built".strip()
    shape = ", ".join("free" if _is_free(s) else str(s) for s in tensor["shape"])
    scale = tensor.get("scale")
    return f"{tensor['dtype']}[{shape}]" + (
        "" if scale is None else f"  scale {scale:.9g}, zero point {tensor['zero_point']}"
    )


def _is_free(size: int | None) -> bool:
    return size is None or size < 0


def proposed_recipe(path: str, kind: str, signature: Json, contents: Json | None = None) -> str:
    """A recipe in a few lines that makes an int8 artifact of the model.

    A float one where it takes text; the model itself where it is a .tflite whose `contents` are quantized already, or
    have custom operators. A .tflite keeps its shapes, free ones too.
    """
    stored = kind == "tflite"
    inputs = ", ".join(
        f"{_key(t['name'])}: {{shape: {_shape(t['shape'], stored)}, dtype: {t['dtype']}}}" for t in signature["inputs"]
    )
    name = re.sub(r"[^A-Za-z0-9_-]", "_", Path(path.rpartition(":")[2] if kind == "function" else path).stem)
    every = every_signature(signature)
    own = (contents or {}).get("custom_operators") or ()
    ready = stored and bool((contents or {}).get("quantized") or own)  # no Python package runs custom operators
    sampled = not ready and not any(t["dtype"] == "string" for entry in every for t in entry["inputs"])
    options = {"source": kind, "quantization": "none" if ready else "int8" if sampled else ""}
    options |= (
        {"signature": "dynamic"}
        if stored and any(_is_free((t["shape"] or [0])[0]) for t in signature["inputs"])
        else {}
    )
    options |= {"opset": "custom" if own else "", "dataset": "npz" if sampled else ""}
    options |= {"verify": "none" if ready else "parity"}
    defaults = ", ".join(f"{{override /{group}: {option}}}" for group, option in options.items() if option)
    more = ", ".join(f"{_key(entry['key'])}: {{}}" for entry in every[1:] if not stored)
    others = f", more: {{{more}}}" if more else ""
    told = f"arrays in the .npz files: {_names(signature['inputs'])}"
    return "\n".join(
        [
            f"# recipes/{name}.yaml; {'taken as it is' if ready else told}",
            f"defaults: [{defaults}]",
            f"source: {{{LOCATORS.get(kind, 'path')}: {_key(path)}}}",
            f"signature: {{key: {_key(signature['key'])}, inputs: {{{inputs}}}{others}}}",
            *([f"opset: {{custom: [{', '.join(map(_key, own))}]}}"] if own else []),
            *(["dataset: {path: data/calibration.npz}"] if sampled else []),
            *([] if ready else [gated_verify(signature["outputs"], LEAST_SNR_DB["int8" if sampled else "none"])]),
        ]
    )


def gated_verify(outputs: Sequence[Mapping[str, Json]], least: float) -> str:
    """Return the line of a recipe's `verify`, with a gate on the outputs that are real numbers."""
    real = [tensor["name"] for tensor in outputs if tensor["dtype"] in ("float32", "float16")]
    other = ("float32", "float16", "string", "bool", "")  # "": a type that nothing but a build tells
    whole = [tensor["name"] for tensor in outputs if tensor["dtype"] not in other]
    gate = f"snr_db: {least:g}" if real else f"cosine: {LEAST_COSINE:g}" if whole else ""
    if real and len(real) < len(outputs):
        gate = "outputs: {" + ", ".join(f"{_key(name)}: {{snr_db: {least:g}}}" for name in real) + "}"
    if not gate:
        return "verify: {dataset: {path: data/test.npz}}"
    return f"verify: {{dataset: {{path: data/test.npz}}, gates: {{{gate}}}}}  # set it near what a good build prints"


def _names(tensors: Sequence[Mapping[str, Json]]) -> str:
    return ", ".join(show_line(tensor["name"]) for tensor in tensors)


def _shape(shape: Sequence[int | None] | None, stored: bool) -> str:
    """The batch pinned to 1, unless it is `stored` so; other free sizes are left for the user to choose."""
    if shape is None:
        return "[1]"
    sizes = [1 if index == 0 and _is_free(size) and not stored else size for index, size in enumerate(shape)]
    return "[" + ", ".join("null" if _is_free(size) else str(size) for size in sizes) + "]"


def _key(text: str) -> str:
    if ESCAPED.search(text) or "\n" in text or "\t" in text:
        return json.dumps(text)  # YAML's double quotes take JSON's escapes
    plain = re.fullmatch(r"[A-Za-z_][\w./-]*", text) and text.lower() not in YAML_WORDS
    return text if plain else "'" + text.replace("'", "''") + "'"
