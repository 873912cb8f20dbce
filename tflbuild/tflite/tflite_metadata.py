"""TFLite Metadata in a .tflite: written into it, read out of it.

The metadata are a buffer of the model, named in `Model.metadata`; the files that belong to it are a ZIP archive behind
the model, so that the file is a flatbuffer from its start and an archive from its end. They are stored, not packed:
readers on phones map them.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.tflite.buffer_placement import COMPILED, MOST_BYTES, is_compiled, write_aligned
from tflbuild.tflite.metadata_codec import decode_metadata, encode_metadata
from tflbuild.tflite.metadata_schema import LABEL_TYPES
from tflbuild.tflite.model_editing import add_buffer, parse_model

Json = Any
ENTRY = b"TFLITE_METADATA"
MOST_LABELS = 10_000  # that are told, rather than counted
MOST_LABEL_BYTES = 16 * 2**20  # of all label files of an archive together, unpacked
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the first that an archive can hold
READABLE = 0o100644 << 16


def write_metadata(model: bytes, tree: Mapping[str, Json], files: Mapping[str, bytes]) -> bytes:
    """The model with these metadata and files, in place of any that it has; the same input gives the same bytes.

    `tree` is a ModelMetadata as JSON (`metadata_codec`). Operators, tensors, signatures and other metadata stay.
    Raises WorkerError for a model that is too large, or compiled ahead of time.
    """
    told = encode_metadata(tree)
    if len(model) + len(told) + sum(map(len, files.values())) > MOST_BYTES:
        raise _too_large(len(model))
    root = parse_model(model)
    if is_compiled(root):
        raise WorkerError(
            "metadata cannot be written into a model that is compiled ahead of time",
            kind="recipe",
            why=f"it has {', '.join(sorted(COMPILED))}: the compiled code lies at fixed places of the file",
            next_step="write them into the model before it is compiled",
        )
    _set_entry(root, told)
    try:
        made = write_aligned(root, len(model))
    except flatbuffers.builder.BuilderSizeError as error:
        raise _too_large(len(model)) from error
    return append_files(made, files)


def _too_large(size: int) -> WorkerError:
    return WorkerError(
        "the model is too large for metadata",
        kind="recipe",
        why=f"it has {size:,} bytes; a flatbuffer with a buffer added ends below {MOST_BYTES:,}",
        next_step="build it without metadata, or quantize it to be smaller",
    )


def _set_entry(root: Any, told: bytes) -> None:
    """Name a buffer with these bytes; an entry that was there before gives up its buffer."""
    entries = list(root.metadata or ())
    for old in [entry for entry in entries if entry.name == ENTRY]:
        entries.remove(old)
        used = {tensor.buffer for graph in root.subgraphs for tensor in graph.tensors or ()}
        if old.buffer not in used | {entry.buffer for entry in entries}:
            _drop_buffer(root, entries, int(old.buffer))
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, add_buffer(root, told)
    root.metadata = [*entries, entry]


def _drop_buffer(root: Any, entries: list[Any], gone: int) -> None:
    """Remove a buffer that nothing uses; those behind it move up. The first is empty by convention, and stays."""
    if gone == 0:
        return
    del root.buffers[gone]
    for owner in (*(tensor for graph in root.subgraphs for tensor in graph.tensors or ()), *entries):
        owner.buffer = int(owner.buffer) - (owner.buffer > gone)


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """The model with an archive of these files behind it, by name; without files it stays as it is."""
    if not files:
        return model
    whole = io.BytesIO()
    whole.write(model)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, FIXED_TIME)
            member.create_system, member.external_attr = 3, READABLE  # a Unix file, wherever it was packed
            archive.writestr(member, files[name])
    return whole.getvalue()


def read_metadata(path: Path) -> dict[str, Json]:
    """What a .tflite tells of itself: {} when nothing, else

    `model`: ModelMetadata as JSON; `files`: [{name, bytes, type, label_count, labels}] in the order of the archive,
    `type` as the metadata say ("" where they do not name the file), labels where it has such, up to 10,000; `missing`:
    files that the metadata name and the archive lacks; `damaged`: why either cannot be read, "" when both can.
    """
    raw = path.read_bytes()
    found, damaged = _find_metadata(raw)
    named = {file["name"]: file for file in named_files(found or {}) if "name" in file}
    files, broken = _read_archive(raw, named)
    if not (found or damaged or files or broken):
        return {}
    return {
        "model": found or {},
        "files": files,
        "missing": sorted(set(named) - {file["name"] for file in files}),
        "damaged": "; ".join(filter(None, (damaged, broken))),
    }


def _find_metadata(raw: bytes) -> tuple[dict[str, Json] | None, str]:
    """(the first metadata that are named as such, why they cannot be read)."""
    root = schema.Model.GetRootAsModel(raw, 0)
    for index in range(root.MetadataLength()):
        entry = root.Metadata(index)
        if entry.Name() != ENTRY:
            continue
        if entry.Buffer() >= root.BuffersLength():
            return None, "the metadata name a buffer that is not there"
        buffer = root.Buffers(entry.Buffer())
        behind = raw[buffer.Offset() : buffer.Offset() + buffer.Size()] if buffer.Offset() > 1 else b""
        try:
            return decode_metadata(buffer.DataAsNumpy().tobytes() if buffer.DataLength() else behind), ""
        except ValueError as error:
            return None, f"the metadata cannot be read: {error}"
    return None, ""


def _read_archive(raw: bytes, named: Mapping[str, Json]) -> tuple[list[dict[str, Json]], str]:
    """(the files behind the model, why they cannot be read). Only labels are unpacked."""
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        return [], ""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return _describe_files(archive, named), ""
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        return [], f"the archive of files cannot be read: {error}"


def _describe_files(archive: zipfile.ZipFile, named: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Describe the files in order. What comes after MOST_LABEL_BYTES of labels is not unpacked."""
    files: list[dict[str, Json]] = []
    left = MOST_LABEL_BYTES
    for member in archive.infolist():
        kind = named.get(member.filename, {}).get("type", "")
        described: dict[str, Json] = {"name": member.filename, "bytes": member.file_size, "type": kind}
        if kind in LABEL_TYPES and member.file_size <= left:
            left -= member.file_size
            labels = read_labels(archive.read(member))
            described |= {"label_count": len(labels), "labels": labels[:MOST_LABELS]}
        files.append(described)
    return files


def named_files(tree: Json) -> list[dict[str, Json]]:
    """Every associated file that the metadata name, wherever they do."""
    if isinstance(tree, list):
        return [file for one in tree for file in named_files(one)]
    if not isinstance(tree, dict):
        return []
    found = []
    for name, value in tree.items():
        if name in ("associated_files", "vocab_file", "sentencePiece_model"):
            found += list(value)
        else:
            found += named_files(value)
    return found


def read_labels(data: bytes) -> list[str]:
    """The lines of a label file; an empty one at its end is none."""
    lines = [line.rstrip("\r") for line in data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")]
    return lines[:-1] if lines[-1:] == [""] else lines
