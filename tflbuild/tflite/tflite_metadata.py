"""TFLite Metadata in a .tflite: writing and reading.

The metadata is a buffer of the model that `Model.metadata` lists. Associated files are a ZIP archive after the model,
so that the file is both a flatbuffer and an archive. The files are not compressed, because readers on phones map them.
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
# More labels are counted, not listed.
MOST_LABELS = 10_000
# The largest total size of all label files of an archive, uncompressed.
MOST_LABEL_BYTES = 16 * 2**20
# The earliest time that an archive can store.
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
READABLE = 0o100644 << 16


def write_metadata(model: bytes, tree: Mapping[str, Json], files: Mapping[str, bytes]) -> bytes:
    """Return the model with new metadata and associated files, in place of any that it has.

    The same arguments result in the same bytes. Operators, tensors, signatures and other metadata stay.

    Args:
        model: The bytes of a .tflite.
        tree: A ModelMetadata as JSON (`metadata_codec`).
        files: File name -> contents.

    Raises:
        WorkerError: The model is too large, or compiled ahead of time.
    """
    encoded = encode_metadata(tree)
    if len(model) + len(encoded) + sum(map(len, files.values())) > MOST_BYTES:
        raise _too_large(len(model))
    root = parse_model(model)
    if is_compiled(root):
        raise WorkerError(
            "metadata cannot be written into a model that is compiled ahead of time",
            kind="recipe",
            why=f"it has {', '.join(sorted(COMPILED))}: the compiled code is at fixed offsets of the file",
            next_step="write the metadata into the model before it is compiled",
        )
    _set_entry(root, encoded)
    try:
        new_model = write_aligned(root, len(model))
    except flatbuffers.builder.BuilderSizeError as error:
        raise _too_large(len(model)) from error
    return append_files(new_model, files)


def _too_large(size: int) -> WorkerError:
    return WorkerError(
        "the model is too large for metadata",
        kind="recipe",
        why=f"it has {size:,} bytes; a flatbuffer with a buffer added ends below {MOST_BYTES:,}",
        next_step="build it without metadata, or quantize it to be smaller",
    )


def _set_entry(root: Any, encoded: bytes) -> None:
    """Add a metadata entry with these bytes. The buffer of an old entry is removed if it is unused."""
    entries = list(root.metadata or ())
    for old in [entry for entry in entries if entry.name == ENTRY]:
        entries.remove(old)
        used = {tensor.buffer for graph in root.subgraphs for tensor in graph.tensors or ()}
        if old.buffer not in used | {entry.buffer for entry in entries}:
            _drop_buffer(root, entries, int(old.buffer))
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, add_buffer(root, encoded)
    root.metadata = [*entries, entry]


def _drop_buffer(root: Any, entries: list[Any], index: int) -> None:
    """Remove an unused buffer, except the first, which is empty by convention. Later indices decrease by one."""
    if index == 0:
        return
    del root.buffers[index]
    for owner in (*(tensor for graph in root.subgraphs for tensor in graph.tensors or ()), *entries):
        owner.buffer = int(owner.buffer) - (owner.buffer > index)


def append_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    """Return the model followed by an archive of these files, sorted by name. Without files it is unchanged."""
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
    """Read the metadata and the associated files of a .tflite.

    Returns:
        {} if there are none. Otherwise `model`, the ModelMetadata as JSON; `files`, a list of `name`, `bytes`, `type`
        ("" if the metadata does not list the file), `label_count` and up to 10,000 `labels`, in the order of the
        archive; `missing`, the files that the metadata lists and the archive lacks; and `damaged`, why metadata or
        archive cannot be read, "" if both can.
    """
    raw = path.read_bytes()
    tree, damaged = _find_metadata(raw)
    named = {file["name"]: file for file in named_files(tree or {}) if "name" in file}
    files, broken = _read_archive(raw, named)
    if not (tree or damaged or files or broken):
        return {}
    return {
        "model": tree or {},
        "files": files,
        "missing": sorted(set(named) - {file["name"] for file in files}),
        "damaged": "; ".join(filter(None, (damaged, broken))),
    }


def _find_metadata(raw: bytes) -> tuple[dict[str, Json] | None, str]:
    """Return the first TFLite Metadata, and the reason why it cannot be read."""
    root = schema.Model.GetRootAsModel(raw, 0)
    for index in range(root.MetadataLength()):
        entry = root.Metadata(index)
        if entry.Name() != ENTRY:
            continue
        if entry.Buffer() >= root.BuffersLength():
            return None, "the metadata name a buffer that is not there"
        buffer = root.Buffers(entry.Buffer())
        data_after = raw[buffer.Offset() : buffer.Offset() + buffer.Size()] if buffer.Offset() > 1 else b""
        try:
            return decode_metadata(buffer.DataAsNumpy().tobytes() if buffer.DataLength() else data_after), ""
        except ValueError as error:
            return None, f"the metadata cannot be read: {error}"
    return None, ""


def _read_archive(raw: bytes, named: Mapping[str, Json]) -> tuple[list[dict[str, Json]], str]:
    """Return the associated files, and the reason why they cannot be read. Only labels are extracted."""
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        return [], ""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return _describe_files(archive, named), ""
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        return [], f"the archive of files cannot be read: {error}"


def _describe_files(archive: zipfile.ZipFile, named: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Return the associated files as JSON. Labels after the first MOST_LABEL_BYTES are not extracted."""
    files: list[dict[str, Json]] = []
    remaining = MOST_LABEL_BYTES
    for member in archive.infolist():
        kind = named.get(member.filename, {}).get("type", "")
        described: dict[str, Json] = {"name": member.filename, "bytes": member.file_size, "type": kind}
        if kind in LABEL_TYPES and member.file_size <= remaining:
            remaining -= member.file_size
            labels = read_labels(archive.read(member))
            described |= {"label_count": len(labels), "labels": labels[:MOST_LABELS]}
        files.append(described)
    return files


def named_files(tree: Json) -> list[dict[str, Json]]:
    """Return all associated files that the metadata lists, at any level."""
    if isinstance(tree, list):
        return [file for element in tree for file in named_files(element)]
    if not isinstance(tree, dict):
        return []
    files = []
    for name, value in tree.items():
        if name in ("associated_files", "vocab_file", "sentencePiece_model"):
            files += list(value)
        else:
            files += named_files(value)
    return files


def read_labels(data: bytes) -> list[str]:
    """Return the lines of a label file, without an empty last one."""
    lines = [line.rstrip("\r") for line in data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")]
    return lines[:-1] if lines[-1:] == [""] else lines
