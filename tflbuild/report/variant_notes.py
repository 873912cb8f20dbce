"""What a person should know of an artifact: what stays wide, why it is hardly smaller, what depends on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.report.cpu_dependence_text import note_cpu_dependence

NOTED_SHARE = 0.1  # of the constants' bytes: less is in the manifest alone
NEARLY_FLOAT = 0.9  # of the float model's bytes
MOSTLY_STRUCTURE = 0.5  # of the file: fewer constants cannot make it much smaller
SHOWN = 3


def variant_notes(manifest: Mapping[str, Json]) -> list[str]:
    """Return the notes on one variant."""
    return [*constant_notes(manifest), *note_cpu_dependence(manifest)]


def constant_notes(manifest: Mapping[str, Json]) -> list[str]:
    """Return a line for each thing that a person should know about the constants of a quantized artifact."""
    artifact = manifest["artifact"]
    constants = artifact["contents"].get("constants")
    random = artifact["contents"].get("random_operators")
    found = [f"outputs differ from call to call: {', '.join(random)} draws random numbers"] if random else []
    if constants is None:
        return found
    nearly = artifact["bytes"] > NEARLY_FLOAT * artifact["float_bytes"]
    silent = [one for one in constants["wider"] if not one["by_rule"]]
    wider = constants["wider"] if nearly else silent
    if sum(one["bytes"] for one in wider) > NOTED_SHARE * constants["bytes"]:
        found.append(show_wider(wider, constants["bytes"]))
    if sum(copy["bytes"] for copy in constants["copies"]) > NOTED_SHARE * constants["bytes"]:
        found.append(show_copies(constants["copies"]))
    if nearly:
        found.insert(0, show_size(artifact, constants))
    return found


def show_wider(wider: Sequence[Mapping[str, Json]], total: int) -> str:
    """Return the constants that stay wide, the largest first, each with its reason."""
    many = f"{len(wider)} constants stay" if len(wider) > 1 else "1 constant stays"
    parts = [
        f"{one['name']} {one['type']} {show_bytes(one['bytes'])}, {one['bytes'] / total:.0%} of all constants"
        f" ({one['reason'] or 'read by ' + one['operators']})"
        for one in wider[:SHOWN]
    ]
    return f"{many} wider than the scheme says: {'; '.join(parts)}{_more(len(wider))}"


def show_copies(copies: Sequence[Mapping[str, Json]]) -> str:
    """Tables that are stored twice, since their readers need different scales."""
    parts = [f"{copy['name']} {show_bytes(copy['bytes'])} ({', '.join(copy['kinds'])})" for copy in copies[:SHOWN]]
    return f"stored twice, since their readers need different scales: {'; '.join(parts)}{_more(len(copies))}"


def show_size(artifact: Mapping[str, Json], constants: Mapping[str, Json]) -> str:
    """Return why a quantized artifact is hardly smaller than the float model."""
    size = f"{artifact['bytes'] / artifact['float_bytes']:.0%} of the float model's bytes: "
    if constants["bytes"] < MOSTLY_STRUCTURE * artifact["bytes"]:
        held, whole = show_bytes(constants["bytes"]), show_bytes(artifact["bytes"])
        return f"{size}constants above 1 KiB are only {held} of {whole}, the rest is the structure of the file"
    return f"{size}{len(constants['wider'])} of {constants['count']} constants above 1 KiB stay wide"


def _more(count: int) -> str:
    return f"; and {count - SHOWN} more" if count > SHOWN else ""
