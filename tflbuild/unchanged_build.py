"""Unchanged builds: end at once if nothing has changed that the last build read or wrote.

A successful build writes a note with the stat record (device, inode, size, mtime, ctime) of every file and folder on
which its answer depends: configuration, recipes, inputs, tflbuild's own code, packages and outputs. If the same command
finds all of them unchanged, it has nothing to do. This module imports only the standard library, because an unchanged
build loads nothing else.

Several machines may share a store and outputs. If an answer is valid for one CPU or one host only, the note says so.
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
    """Return the path of the note of a command. Its name is a digest of the arguments, the folder and the Python."""
    command = [FORMAT, list(arguments), os.getcwd(), sys.prefix, sys.version, str(PACKAGE)]
    name = hashlib.blake2b(json.dumps(command).encode(), key=identity_key(), digest_size=32).hexdigest()
    return store_root() / "plans" / f"{name}.json"


def observe(path: str) -> Stat | None:
    """Return the stat record of a path, None if it does not exist."""
    try:
        return list(stat_record(path))
    except OSError:
        return None


def read_unchanged_answer(arguments: Sequence[str]) -> tuple[str, str] | None:
    """Return the answer of the last build by this command and its warnings, None if anything has changed since."""
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
    """Return a keyed hash of an environment variable's value, which may be a password."""
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
    """Write the note of a build, unless a file has changed since it was observed.

    It waits until every stat record is older than a tick of the file system's clock, so that any later change changes
    the stat record.

    Args:
        arguments: The arguments of the command.
        before: The stat records of the files that the build has read, observed before it read them.
        written: The paths that the build has written.
        environment: The environment variables on which the answer depends.
        answer: The answer on standard output.
        warnings: The text on standard error.
        machine: The parts of this machine (`cpu`, `host`) on which the answer depends.
    """
    from tflbuild.storage.atomic_files import replace_bytes

    stats = {**before, **{path: observe(path) for path in written}}
    newest = max((stat[4] for stat in stats.values() if stat), default=0)
    outlast_tick(newest)
    if any(observe(path) != stat for path, stat in stats.items()):
        return
    seals = {name: _seal(value) for name, value in environment.items()}
    dependences = {"environment": seals, "stats": stats, "machine": _describe_machine(machine)}
    note = {**dependences, "answer": answer, "warnings": warnings}
    try:
        replace_bytes(note_file(arguments), json.dumps(note).encode(), durable=False)
    except OSError:
        # Without a note, the next build looks up every step in the store.
        return
