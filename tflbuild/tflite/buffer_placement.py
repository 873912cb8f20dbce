"""Where the buffers of a .tflite lie: inside its flatbuffer, or behind it at offsets of the file.

Runtimes before TFLite 2.14 and TensorFlow Lite Micro read the flatbuffer alone: a tensor whose values lie behind it is
empty there. The LiteRT quantizer writes them behind it from 256 KiB on. Only a file of 2 GB or more needs that.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tflbuild.tflite.model_editing import parse_model

ALIGNMENT = 16  # `force_align` of Buffer.data in the schema
# A flatbuffer's offsets are signed 32-bit integers: https://flatbuffers.dev/internals
MOST_BYTES = 2**31 - 1
IDENTIFIER = b"TFL3"
# model_modifier.py of litert-quantizer 0.11: buffers of LEAST_PACKED bytes count, and make a model large together.
LEAST_PACKED = 1024
LARGE = 256 * 1024
COMPILED = {"DISPATCH_OP"}  # compiled code lies behind the flatbuffer, at places that its own options name
KEPT_BEHIND = (
    "weights stay behind the flatbuffer, which ends below 2 GB and cannot hold them:"
    " TFLite 2.13 and older, and TensorFlow Lite Micro, cannot read this file"
)


class AlignedBuffer:
    """A buffer of the model that writes itself at a multiple of 16 bytes, as the schema asks."""

    def __init__(self, data: Any) -> None:
        self.data = None if data is None else memoryview(bytes(data) if isinstance(data, list) else data).cast("B")

    def Pack(self, builder: Any) -> Any:  # noqa: N802, the generated classes' name for it
        place = None
        if self.data is not None:
            size = len(self.data)
            builder.StartVector(1, size, ALIGNMENT)
            builder.head -= size
            builder.Bytes[builder.head : builder.head + size] = self.data
            place = builder.EndVector()
        schema.BufferStart(builder)
        if place is not None:
            schema.BufferAddData(builder, place)
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
    """Return whether values of any tensor lie behind the flatbuffer."""
    root = schema.Model.GetRootAsModel(model, 0)
    return any(bool(root.Buffers(index).Offset() > 1) for index in range(root.BuffersLength()))


def has_large_buffers(model: bytes) -> bool:
    """Return whether the LiteRT quantizer counts a model as large: it then writes buffers behind the flatbuffer."""
    root = schema.Model.GetRootAsModel(model, 0)
    buffers = [root.Buffers(index) for index in range(root.BuffersLength())]
    sizes = [buffer.DataLength() or buffer.Size() for buffer in buffers]
    packed = sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes if size >= LEAST_PACKED)
    return bool(packed >= LARGE)


def is_compiled(root: Any) -> bool:
    """Return whether a ModelT was compiled ahead of time: its code lies at fixed places of the file."""
    return bool(COMPILED & {bytes(code.customCode or b"").decode("utf-8", "replace") for code in root.operatorCodes})


def store_buffers_inside(model: bytes) -> bytes:
    """Return the model with every buffer inside the flatbuffer at a multiple of 16 bytes, and its archive behind it.

    The same model gives the same bytes. A model whose flatbuffer would reach 2 GB, and one that is compiled ahead of
    time, are returned unchanged.
    """
    root = parse_model(model)
    if len(model) > MOST_BYTES or is_compiled(root):
        return model
    try:
        made = write_aligned(root, min(len(model) + len(model) // 16 + 4096, MOST_BYTES))
    except flatbuffers.builder.BuilderSizeError:
        return model
    return append_archive(made, model)


def move_buffers_inside(path: Path) -> str:
    """Move buffers that lie behind the flatbuffer of a file into it. Return a note where they must stay, else "".

    A file that has none behind it keeps its bytes.
    """
    model = path.read_bytes()
    if not has_buffers_behind(model):
        return ""
    made = store_buffers_inside(model)
    if has_buffers_behind(made):
        return KEPT_BEHIND
    path.write_bytes(made)
    return ""


def append_archive(made: bytes, source: bytes) -> bytes:
    """Return the flatbuffer `made` followed by the archive of associated files that follows the one of `source`."""
    if not zipfile.is_zipfile(io.BytesIO(source)):
        return made
    with zipfile.ZipFile(io.BytesIO(source)) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    whole = io.BytesIO()
    whole.write(made)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for member, data in members:
            archive.writestr(member, data)
    return whole.getvalue()
