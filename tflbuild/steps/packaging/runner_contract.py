"""The information that an app needs to feed an artifact: the tensors of its signatures, and their metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tflbuild.tflite.metadata_schema import LABEL_TYPES

INTEGERS = {
    "bool": (0, 1),
    "uint8": (0, 255),
    "int8": (-128, 127),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
# More labels are not written into a source file.
MOST_LABELS = 2000


@dataclass(frozen=True)
class RunnerTensor:
    """An input or output.

    Attributes:
        name: The name in the signature.
        dtype: The type.
        shape: The sizes, -1 for a dynamic dimension.
        scale: The scale, None if it is not quantized.
        zero_point: The zero point.
        mean: One number, or one for each channel. Empty if values are not normalized.
        std: As `mean`.
        labels: The names of the positions along the last dimension.
        threshold: The threshold of scores, or None.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    threshold: float | None = None


@dataclass(frozen=True)
class RunnerSignature:
    """A signature with its inputs and outputs."""

    key: str
    inputs: tuple[RunnerTensor, ...]
    outputs: tuple[RunnerTensor, ...]


@dataclass(frozen=True)
class RunnerContract:
    """The information from which runners are generated.

    Attributes:
        title: The name of the model.
        entries: The signatures.
        left_out: Sentences on what runners do not do.
        state: Whether values are kept from call to call. They are reset before each call, unless the app keeps them.
    """

    title: str
    entries: tuple[RunnerSignature, ...]
    left_out: tuple[str, ...] = ()
    state: bool = False


def read_contract(title: str, contents: Mapping[str, Any]) -> RunnerContract:
    """Return the contract of an artifact from its check.json. The main signature is the first."""
    told = contents.get("metadata") or {}
    graphs = {graph.get("name", ""): graph for graph in told.get("model", {}).get("subgraph_metadata", ())}
    files = {file["name"]: tuple(file["labels"]) for file in told.get("files", ()) if "labels" in file}
    entries: list[RunnerSignature] = []
    left_out: list[str] = []
    for signature in contents["signatures"]:
        graph = graphs.get(signature["key"], {})
        sides = []
        for side in ("input", "output"):
            described = {one.get("name", ""): one for one in graph.get(f"{side}_tensor_metadata", ())}
            ports = [_port(one, described.get(one["name"], {}), files, left_out) for one in signature[f"{side}s"]]
            sides.append(tuple(ports))
        entries.append(RunnerSignature(signature["key"], *sides))
    return RunnerContract(plain(title), tuple(entries), tuple(left_out), bool(contents.get("state_tensors")))


def _port(
    tensor: Mapping[str, Any], told: Mapping[str, Any], files: Mapping[str, tuple[str, ...]], left_out: list[str]
) -> RunnerTensor:
    units = {unit.get("options_type", ""): unit.get("options", {}) for unit in told.get("process_units", ())}
    normalization = units.get("NormalizationOptions", {})
    mean, std = tuple(normalization.get("mean", ())), tuple(normalization.get("std", ()))
    threshold = units.get("ScoreThresholdingOptions", {}).get("global_score_threshold")
    if not all(map(_is_number, (*mean, *std))) or len(std) not in (1, len(mean) or len(std)) or 0 in std:
        left_out.append(
            f"Tensor '{tensor['name']}': its values are not normalised, as the metadata ask for no numbers."
        )
        mean, std = (), ()
    if not (threshold is None or _is_number(threshold)):
        left_out.append(f"Output '{tensor['name']}': its threshold in the metadata is no number.")
        threshold = None
    if "ScoreCalibrationOptions" in units:
        left_out.append(f"Output '{tensor['name']}': its scores are not calibrated as the metadata ask for.")
    labels: tuple[str, ...] = ()
    for file in told.get("associated_files", ()):
        if file["type"] == LABEL_TYPES[0]:
            labels = labels or _labels(tensor, file["name"], files.get(file["name"], ()), left_out)
    return RunnerTensor(
        name=tensor["name"],
        dtype=tensor["dtype"],
        shape=tuple(tensor["shape"]),
        scale=tensor["scale"],
        zero_point=tensor["zero_point"] or 0,
        mean=mean,
        std=std,
        labels=labels,
        threshold=threshold,
    )


def _is_number(value: Any) -> bool:
    """Return whether a number of the metadata is finite. NaN and infinity are strings in JSON."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _labels(tensor: Mapping[str, Any], file: str, labels: tuple[str, ...], left_out: list[str]) -> tuple[str, ...]:
    if len(labels) > MOST_LABELS:
        left_out.append(f"Output '{tensor['name']}': {file} has {len(labels)} labels; model.tflite is a ZIP with it.")
        return ()
    if not tensor["shape"] or tensor["shape"][-1] not in (-1, len(labels)):
        left_out.append(f"Output '{tensor['name']}': {file} does not name its last dimension.")
        return ()
    return labels


def limit_types(contract: RunnerContract, types: Collection[str], why: str, *, bare: bool = True) -> RunnerContract:
    """Return the contract without signatures that a language's runner cannot feed. Each is mentioned in `left_out`.

    Args:
        contract: The contract.
        types: The types that the runner supports.
        why: The reason why it does not support others.
        bare: Whether it supports signatures without inputs.
    """
    kept, told = [], list(contract.left_out)
    for entry in contract.entries:
        odd = [port for port in (*entry.inputs, *entry.outputs) if port.dtype not in types]
        if odd:
            told.append(f"Signature '{entry.key}' is left out: '{odd[0].name}' is {odd[0].dtype}, and {why}.")
        elif not entry.inputs and not bare:
            told.append(f"Signature '{entry.key}' is left out: it takes no inputs, and this runtime wants some.")
        else:
            kept.append(entry)
    return RunnerContract(contract.title, tuple(kept), tuple(told), contract.state)


def fill(template: str, **values: str) -> str:
    """Return the template with each `@NAME@` replaced. The values are inserted unchanged."""
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], template)


def number(value: float) -> str:
    """Return a float32 as a literal for all languages: the digits that identify it, with a point."""
    text = f"{value:.9g}"
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def plain(text: str) -> str:
    """Return text for a comment: on one line, without invisible characters."""
    return "".join(one for one in " ".join(text.split()) if one.isprintable())


def comment(contract: RunnerContract, mark: str) -> str:
    """Return what is left out as a block of comment lines, "" if nothing is."""
    return "".join(f"{mark} {plain(line)}\n" for line in contract.left_out)
