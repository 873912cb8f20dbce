"""Validation of downloaded records: the record must match its cache key, and its paths must stay in their folder."""

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
MAX_RECORD_BYTES = MOST_JSON_BYTES
# Linux file systems accept names of at most 255 bytes. Paths may have 4096 bytes, including the folder of the store.
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 2048


def read_incoming(key: str, raw: bytes, names: Collection[str]) -> ActionRecord | None:
    """Return the record in downloaded bytes, None if it is not a valid record of this cache key.

    Args:
        key: The cache key.
        raw: The bytes of the record file.
        names: The names of the outputs that the record must have.
    """
    record = parse_record(key, raw)
    if record is None:
        return None
    try:
        # The origin that the server states is untrusted.
        record = replace(record, origins=())
        matches = hash_action(record.action) == key and set(record.outputs) == set(names)
        return record if matches and all(_is_valid(name, output) for name, output in record.outputs.items()) else None
    except (TypeError, ValueError, AttributeError):
        # The JSON has another shape.
        return None


def _is_valid(name: str, output: ActionOutput) -> bool:
    """Return whether all digests are well-formed, and the files of a folder match its digest and stay below it."""
    if not isinstance(output.size, int) or output.size < 0:
        return False
    if not name.endswith(TREE_SUFFIX):
        return not output.files and output.digest != EMPTY_FOLDER and bool(DIGEST.fullmatch(output.digest))
    safe = all(_stays_below(path) and DIGEST.fullmatch(digest) for path, digest in output.files.items())
    return safe and _is_folder(output.files) and hash_tree(output.files) == output.digest


def _is_folder(files: Collection[str]) -> bool:
    """Return whether a folder can contain all these files: no file is also the folder of another one."""
    folders = {parent.as_posix() for path in files for parent in PurePosixPath(path).parents}
    return folders.isdisjoint(files)


def _stays_below(path: str) -> bool:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        return False
    # Each file must have a single spelling, so that no two paths are the same file.
    normalized = PurePosixPath(path).as_posix() == path
    return (
        normalized
        and all(len(part.encode()) <= MAX_NAME_BYTES for part in parts)
        and len(path.encode()) <= MAX_PATH_BYTES
    )
