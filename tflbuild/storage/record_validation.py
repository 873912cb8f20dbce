"""A record that came from elsewhere: held against its key, and kept from leading outside of its place."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import PurePosixPath

from tflbuild.core.digest import hash_tree
from tflbuild.core.step import hash_action
from tflbuild.core.untrusted_files import MOST_JSON_BYTES
from tflbuild.storage.store import EMPTY_FOLDER, TREE_SUFFIX, ActionOutput, ActionRecord, parse_record

DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_RECORD = MOST_JSON_BYTES
LONGEST_NAME, LONGEST_PATH = 255, 2048  # bytes; file systems take no longer ones


def read_incoming(key: str, raw: bytes, names: Collection[str]) -> ActionRecord | None:
    """The record of a key with outputs of these names; None for anything else, however it came about."""
    record = parse_record(key, raw)
    if record is None:
        return None
    try:
        record = replace(record, origins=())  # what it says of its origin is a stranger's word
        fits = hash_action(record.action) == key and set(record.outputs) == set(names)
        return record if fits and all(_sound(name, output) for name, output in record.outputs.items()) else None
    except (TypeError, ValueError, AttributeError):  # JSON of another shape
        return None


def _sound(name: str, output: ActionOutput) -> bool:
    """Whether digests are digests, a folder's is over its files, and those stay below it."""
    if not isinstance(output.size, int) or output.size < 0:
        return False
    if not name.endswith(TREE_SUFFIX):
        return not output.files and output.digest != EMPTY_FOLDER and bool(DIGEST.fullmatch(output.digest))
    safe = all(_stays_below(path) and DIGEST.fullmatch(digest) for path, digest in output.files.items())
    return safe and _is_folder(output.files) and hash_tree(output.files) == output.digest


def _is_folder(files: Collection[str]) -> bool:
    """Whether a folder can have all these files: none lies below another one."""
    folders = {parent.as_posix() for path in files for parent in PurePosixPath(path).parents}
    return folders.isdisjoint(files)


def _stays_below(path: str) -> bool:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        return False
    plain = PurePosixPath(path).as_posix() == path  # one spelling, so that no two are the same file
    return plain and all(len(part.encode()) <= LONGEST_NAME for part in parts) and len(path.encode()) <= LONGEST_PATH
