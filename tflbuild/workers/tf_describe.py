"""The step `describe`: what a source offers, every entry point of it, converted by nobody."""

from __future__ import annotations

from typing import Any

from tflbuild.workers.contract import Facts, Request, WorkerError
from tflbuild.workers.signatures import Spec, signature_json
from tflbuild.workers.tf_entries import Entry
from tflbuild.workers.tf_snapshot import AS_IT_IS, outputs_of, trace
from tflbuild.workers.tf_sources import load_source, source_label


def run(request: Request) -> Facts:
    """Outputs signature.json: the first entry point, the others under `more`; facts: a note, where there is one."""
    loaded = load_source(request)
    found = [describe_entry(name, loaded.entry(name, "")) for name in loaded.names]
    if not found:
        raise WorkerError(f"'{source_label(request)}' has no entry point", where="source")
    request.write_json("signature.json", {**found[0], "more": found[1:]})
    return {"note": loaded.note} if loaded.note else {}


def describe_entry(key: str, entry: Entry) -> dict[str, Any]:
    """Inputs as the model has them; outputs as far as tracing with free sizes tells them."""
    if entry.inputs is None:
        return signature_json(key, {name: Spec(None, "float32") for name in entry.parameters}, {}, key)
    concrete = trace(entry, entry.inputs, {}, AS_IT_IS).concrete
    return signature_json(key, entry.inputs, outputs_of(concrete), key)
