"""Write notes about an artifact: constants stored as float32, a size near that of float, and CPU dependence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.byte_sizes import show_bytes
from tflbuild.core.digest import Json
from tflbuild.report.cpu_dependence_text import note_cpu_dependence

# The fraction of the bytes of all constants above which a note is written. The manifest has the others.
NOTED_SHARE = 0.1
# The fraction of the float model's bytes above which an artifact is hardly smaller.
NEARLY_FLOAT = 0.9
# If constants are less than this fraction of the file, quantization cannot make it much smaller.
MOSTLY_STRUCTURE = 0.5
LISTED_CONSTANTS = 3


def variant_notes(manifest: Mapping[str, Json]) -> list[str]:
    """Return the notes on one variant."""
    return [*constant_notes(manifest), *note_cpu_dependence(manifest)]


def constant_notes(manifest: Mapping[str, Json]) -> list[str]:
    """Return a note for each fact about the constants of a quantized artifact that the user should know."""
    artifact = manifest["artifact"]
    constants = artifact["contents"].get("constants")
    random = artifact["contents"].get("random_operators")
    notes = [f"outputs differ from call to call: {', '.join(random)} draws random numbers"] if random else []
    if constants is None:
        return notes
    nearly = artifact["bytes"] > NEARLY_FLOAT * artifact["float_bytes"]
    silent = [constant for constant in constants["wider"] if not constant["by_rule"]]
    wider = constants["wider"] if nearly else silent
    if sum(constant["bytes"] for constant in wider) > NOTED_SHARE * constants["bytes"]:
        notes.append(show_wider(wider, constants["bytes"]))
    if sum(copy["bytes"] for copy in constants["copies"]) > NOTED_SHARE * constants["bytes"]:
        notes.append(show_copies(constants["copies"]))
    if nearly:
        notes.insert(0, show_size(artifact, constants))
    return notes


def show_wider(wider: Sequence[Mapping[str, Json]], total: int) -> str:
    """Return a note about constants that are stored in more bits than the scheme says, the largest first."""
    many = f"{len(wider)} constants stay" if len(wider) > 1 else "1 constant stays"
    parts = [
        f"{entry['name']} {entry['type']} {show_bytes(entry['bytes'])}, {entry['bytes'] / total:.0%} of all constants"
        f" ({entry['reason'] or 'read by ' + entry['operators']})"
        for entry in wider[:LISTED_CONSTANTS]
    ]
    return f"{many} wider than the scheme says: {'; '.join(parts)}{_more(len(wider))}"


def show_copies(copies: Sequence[Mapping[str, Json]]) -> str:
    """Return a note about constants that are stored twice, since their readers need different scales."""
    parts = [
        f"{entry['name']} {show_bytes(entry['bytes'])} ({', '.join(entry['kinds'])})"
        for entry in copies[:LISTED_CONSTANTS]
    ]
    return f"stored twice, since their readers need different scales: {'; '.join(parts)}{_more(len(copies))}"


def show_size(artifact: Mapping[str, Json], constants: Mapping[str, Json]) -> str:
    """Return why a quantized artifact is hardly smaller than the float model."""
    size = f"{artifact['bytes'] / artifact['float_bytes']:.0%} of the float model's bytes: "
    if constants["bytes"] < MOSTLY_STRUCTURE * artifact["bytes"]:
        constant_size, file_size = show_bytes(constants["bytes"]), show_bytes(artifact["bytes"])
        text = f"constants above 1 KiB are only {constant_size} of {file_size}, the rest is the structure of the file"
        return size + text
    return f"{size}{len(constants['wider'])} of {constants['count']} constants above 1 KiB stay wide"


def _more(count: int) -> str:
    return f"; and {count - LISTED_CONSTANTS} more" if count > LISTED_CONSTANTS else ""
