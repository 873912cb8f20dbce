"""Placement of the buffers of a .tflite: inside its flatbuffer, or after it at offsets of the file.

Runtimes before TFLite 2.14 and TensorFlow Lite Micro only read the flatbuffer. For them a tensor whose values are after
it is empty. The LiteRT quantizer writes buffers after the flatbuffer from 256 KiB on. Only a file of 2 GB or more needs
this.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.model_editing import parse_model

# `force_align` of Buffer.data in the schema.
ALIGNMENT = 16
# A flatbuffer's offsets are signed 32-bit integers: https://flatbuffers.dev/internals
MOST_BYTES = 2**31 - 1
IDENTIFIER = b"TFL3"
# model_modifier.py of litert-quantizer 0.11: a model is large if its buffers of at least SMALLEST_PACKED bytes have
# LARGE bytes in total.
SMALLEST_PACKED = 1024
LARGE = 256 * 1024
# Compiled code is stored after the flatbuffer, at offsets that the operator's options contain.
COMPILED = {"DISPATCH_OP"}
KEPT_BEHIND = (
    "weights stay behind the flatbuffer, which ends below 2 GB and cannot hold them:"
    " TFLite 2.13 and older, and TensorFlow Lite Micro, cannot read this file"
)


class AlignedBuffer:
    """A buffer of the model that is written at a multiple of 16 bytes, as the schema requires."""

    def __init__(self, data: Any) -> None:
        self.data = None if data is None else memoryview(bytes(data) if isinstance(data, list) else data).cast("B")

    def Pack(self, builder: Any) -> Any:  # noqa: N802, the generated classes' name for it
        vector = None
        if self.data is not None:
            size = len(self.data)
            builder.StartVector(1, size, ALIGNMENT)
            builder.head -= size
            builder.Bytes[builder.head : builder.head + size] = self.data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def write_aligned(root: Any, size: int = 1024) -> bytes:
    """Serialize a ModelT with all buffers inside the flatbuffer, each at a multiple of 16 bytes.

    Args:
        root: a ModelT as `model_editing.parse_model` returns it.
        size: bytes that the result will need at least; a good guess saves copies.

    Raises:
        flatbuffers.builder.BuilderSizeError: the flatbuffer would reach 2 GB.
    """
    root.buffers = [AlignedBuffer(buffer.data) for buffer in root.buffers]
    builder = flatbuffers.Builder(size)
    builder.Finish(root.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def has_buffers_behind(model: bytes) -> bool:
    """Return whether the values of any tensor are after the flatbuffer."""
    root = schema.Model.GetRootAsModel(model, 0)
    return any(bool(root.Buffers(index).Offset() > 1) for index in range(root.BuffersLength()))


def has_large_buffers(model: bytes) -> bool:
    """Return whether the LiteRT quantizer counts a model as large, and writes its buffers after the flatbuffer."""
    root = schema.Model.GetRootAsModel(model, 0)
    buffers = [root.Buffers(index) for index in range(root.BuffersLength())]
    sizes = [buffer.DataLength() or buffer.Size() for buffer in buffers]
    packed = sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes if size >= SMALLEST_PACKED)
    return bool(packed >= LARGE)


def is_compiled(root: Any) -> bool:
    """Return whether a ModelT was compiled ahead of time, so that its code is at fixed offsets of the file."""
    return bool(COMPILED & {bytes(code.customCode or b"").decode("utf-8", "replace") for code in root.operatorCodes})


def store_buffers_inside(model: bytes) -> bytes:
    """Move every buffer into the flatbuffer, at a multiple of 16 bytes. The archive of associated files follows.

    The same model results in the same bytes. A model whose flatbuffer would reach 2 GB, and one that is compiled ahead
    of time, are returned unchanged.
    """
    root = parse_model(model)
    if len(model) > MOST_BYTES or is_compiled(root):
        return model
    try:
        flatbuffer = write_aligned(root, min(len(model) + len(model) // 16 + 4096, MOST_BYTES))
    except flatbuffers.builder.BuilderSizeError:
        return model
    return append_archive(flatbuffer, model)


def move_buffers_inside(path: Path) -> str:
    """Move buffers of a file into its flatbuffer. Return a note if they must stay after it, else "".

    A file without buffers after the flatbuffer keeps its bytes.
    """
    model = path.read_bytes()
    if not has_buffers_behind(model):
        return ""
    moved_model = store_buffers_inside(model)
    if has_buffers_behind(moved_model):
        return KEPT_BEHIND
    path.write_bytes(moved_model)
    return ""


def append_archive(flatbuffer: bytes, source: bytes) -> bytes:
    """Return a flatbuffer, followed by the archive of associated files that `source` contains."""
    if not zipfile.is_zipfile(io.BytesIO(source)):
        return flatbuffer
    with zipfile.ZipFile(io.BytesIO(source)) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    whole = io.BytesIO()
    whole.write(flatbuffer)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for member, data in members:
            archive.writestr(member, data)
    return whole.getvalue()
