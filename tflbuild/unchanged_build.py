"""The no-op build: answer at once when nothing that the last build read or wrote has changed.

A build that ends well leaves a note of the stat record (device, inode, size, mtime, ctime) of every
file and folder that its answer rests on: configuration, recipes, inputs, tflbuild's own code, the
packages, the outputs. The same command finding all of them as they were has nothing to do. This
module imports the standard library alone, since it is all that a no-op build loads.

Store and outputs may be shared by machines. An answer that holds on one CPU or one host alone says so in the note.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tflbuild.core.untrusted_files import read_json
from tflbuild.locations import PACKAGE, identity_key, store_root
from tflbuild.storage.stat_record import outlast_tick, stat_record

FORMAT = 3
Stat = list[int]


def note_file(arguments: Sequence[str]) -> Path:
    """Where the note of a command lies: named by all that selects what it means."""
    selected = [FORMAT, list(arguments), os.getcwd(), sys.prefix, sys.version, str(PACKAGE)]
    name = hashlib.blake2b(json.dumps(selected).encode(), key=identity_key(), digest_size=32).hexdigest()
    return store_root() / "plans" / f"{name}.json"


def observe(path: str) -> Stat | None:
    """A stat record; None where there is nothing."""
    try:
        return list(stat_record(path))
    except OSError:
        return None


def read_unchanged_answer(arguments: Sequence[str]) -> tuple[str, str] | None:
    """Return the answer of the last build by this command and its warnings, when nothing has changed since."""
    try:
        note = read_json(note_file(arguments))
        if any(_seal(os.environ.get(name)) != seal for name, seal in note["environment"].items()):
            return None
        if note["machine"] and note["machine"] != _describe_machine(note["machine"]):
            return None
        if any(observe(path) != stat for path, stat in note["stats"].items()):
            return None
        return str(note["answer"]), str(note["warnings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _describe_machine(names: Iterable[str]) -> dict[str, str]:
    """Return the parts of this machine that have these names."""
    from tflbuild.resolve.machine_identity import PARTS

    return {name: PARTS[name]() for name in names}


def _seal(value: str | None) -> str | None:
    """What tells a variable's value from another, and does not tell the value: it may be a password."""
    return (
        None if value is None else hashlib.blake2b(os.fsencode(value), key=identity_key(), digest_size=32).hexdigest()
    )


def write_unchanged_note(
    arguments: Sequence[str],
    before: Mapping[str, Stat | None],
    written: Iterable[str],
    environment: Mapping[str, str | None],
    answer: str,
    warnings: str = "",
    machine: Iterable[str] = (),
) -> None:
    """Leave the note. `before` was observed ahead of reading; what has changed since then leaves none.

    `machine` are the parts of this machine (`cpu`, `host`) without which the answer would be another one.
    Waits until every record is older than the clock tick of a file system, so that a later change
    is sure to show.
    """
    from tflbuild.storage.atomic_files import replace_bytes

    stats = {**before, **{path: observe(path) for path in written}}
    newest = max((stat[4] for stat in stats.values() if stat), default=0)
    outlast_tick(newest)
    if any(observe(path) != stat for path, stat in stats.items()):
        return
    seals = {name: _seal(value) for name, value in environment.items()}
    rests_on = {"environment": seals, "stats": stats, "machine": _describe_machine(machine)}
    note = {**rests_on, "answer": answer, "warnings": warnings}
    try:
        replace_bytes(note_file(arguments), json.dumps(note).encode(), durable=False)
    except OSError:
        return  # without a note the next build looks everything up
