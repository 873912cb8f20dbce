"""Check the bytes of a .tflite before anything reads them: every offset, vector and index must be inside the file.

The readers of the flatbuffers package check nothing. A vector may claim four billion elements, and a million offsets
may refer to the same table, so that a small file needs more memory than there is. Native code reads beyond the buffer.
The checks are those of the C++ verifier of flatbuffers (https://flatbuffers.dev/internals), for TFLite's schema.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

# Table -> number of an offset field -> its target: a table by its name, `s` for a string, `u` for a union whose type is
# the field before, `[...]` for a vector of tables, or of numbers with this many bytes.
NUMBERS_8 = "[8]"
OFFSETS: dict[str, dict[int, str]] = {
    "Model": {
        1: "[OperatorCode]",
        2: "[SubGraph]",
        3: "s",
        4: "[Buffer]",
        5: "[4]",
        6: "[Metadata]",
        7: "[SignatureDef]",
        8: "[ExternalBufferGroup]",
        9: "[ExternalBuffer]",
    },
    "OperatorCode": {1: "s"},
    "SubGraph": {0: "[Tensor]", 1: "[4]", 2: "[4]", 3: "[Operator]", 4: "s"},
    "Tensor": {
        0: "[4]",
        3: "s",
        4: "QuantizationParameters",
        6: "SparsityParameters",
        7: "[4]",
        9: "[VariantSubType]",
    },
    "Operator": {1: "[4]", 2: "[4]", 4: "u", 5: "[1]", 7: "[1]", 8: "[4]", 12: "u"},
    "Buffer": {0: "[1]"},
    "ExternalBufferGroup": {0: "s"},
    "ExternalBuffer": {4: "s"},
    "Metadata": {0: "s"},
    "SignatureDef": {0: "[TensorMap]", 1: "[TensorMap]", 2: "s"},
    "TensorMap": {0: "s"},
    "QuantizationParameters": {0: "[4]", 1: "[4]", 2: "[4]", 3: "[8]", 5: "u"},
    "CustomQuantization": {0: "[1]"},
    "BlockwiseQuantization": {3: "[4]"},
    "MultiAxisQuantization": {3: "[4]"},
    "SparsityParameters": {0: "[4]", 1: "[4]", 2: "[DimensionMetadata]"},
    "DimensionMetadata": {3: "u", 5: "u"},
    "Int32Vector": {0: "[4]"},
    "Uint16Vector": {0: "[2]"},
    "Uint8Vector": {0: "[1]"},
    "VariantSubType": {0: "[4]"},
    "ConcatEmbeddingsOptions": {1: "[4]", 2: "[4]"},
    "FullyConnectedOptions": {5: "[1]"},
    "ReshapeOptions": {0: "[4]"},
    "SqueezeOptions": {0: "[4]"},
    "VarHandleOptions": {0: "s", 1: "s"},
    "BucketizeOptions": {0: "[4]"},
    "StableHLOCompositeOptions": {0: "s", 2: "[1]"},
    "StablehloBroadcastInDimOptions": {0: "[8]"},
    "StablehloCaseOptions": {0: "[4]"},
    "StablehloConvolutionOptions": {
        **dict.fromkeys((0, 1, 2, 3, 7, 10, 13), NUMBERS_8),
        4: "[1]",
        16: "[4]",
    },
    "StablehloCustomCallOptions": {0: "s", 2: "s", 4: "[4]", 5: "[1]"},
    "StablehloDotGeneralOptions": {0: "[8]", 1: "[8]", 2: "[8]", 3: "[8]", 4: "[4]"},
    "StablehloDynamicSliceOptions": {0: "[8]"},
    "StablehloGatherOptions": {0: "[8]", 1: "[8]", 2: "[8]", 4: "[8]"},
    "StablehloPadOptions": {0: "[8]", 1: "[8]", 2: "[8]"},
    "StablehloReduceOptions": {0: "[8]"},
    "StablehloReduceWindowOptions": {0: "[8]", 1: "[8]", 2: "[8]", 3: "[8]", 4: "[8]"},
    "StablehloScatterOptions": {1: "[8]", 2: "[8]", 3: "[8]"},
    "StablehloSliceOptions": {0: "[8]", 1: "[8]", 2: "[8]"},
    "StablehloTransposeOptions": {0: "[8]"},
}
# The union of a field -> the enumeration of the schema that names its tables.
UNIONS = {
    ("Operator", 4): "BuiltinOptions",
    ("Operator", 12): "BuiltinOptions2",
    ("QuantizationParameters", 5): "QuantizationDetails",
    ("DimensionMetadata", 3): "SparseIndexVector",
    ("DimensionMetadata", 5): "SparseIndexVector",
}
# A table needs about 1,000 bytes as Python objects. Writers write each table once.
TABLE_BYTES = 16
MOST_REPEATED = 4
ALWAYS_ALLOWED = 1 << 16


class OutOfBoundsError(ValueError):
    """An offset or a size in a flatbuffer is outside of its bytes. The message says which."""


def require_bounds(raw: bytes | bytearray, schema: Any) -> None:
    """Check that all tables, vectors and strings of a model are inside its bytes.

    Args:
        raw: The file, or the part that is read as a flatbuffer.
        schema: The module that flatc generated from TFLite's schema, for the names in its unions.

    Raises:
        OutOfBoundsError: Something is outside of the bytes, or needs much more memory than the file has bytes.
    """
    _Bounds(raw, schema).check()


class _Bounds:
    def __init__(self, raw: bytes | bytearray, schema: Any) -> None:
        self.raw = raw
        self.size = len(raw)
        self.left = MOST_REPEATED * len(raw) + ALWAYS_ALLOWED
        self.names: dict[str, dict[int, str]] = {
            union: {number: name for name, number in vars(getattr(schema, union)).items() if isinstance(number, int)}
            for union in set(UNIONS.values())
        }

    def check(self) -> None:
        self._table(self._follow(0, "Model"), "Model")

    def _refuse(self, what: str, place: int) -> NoReturn:
        raise OutOfBoundsError(f"{what} at byte {place:,} leads out of its {self.size:,} bytes")

    def _spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise OutOfBoundsError("it refers to the same bytes again and again, and would unpack to much more")

    def _number(self, form: str, place: int, what: str) -> int:
        try:
            return int(struct.unpack_from(form, self.raw, place)[0]) if place >= 0 else self._refuse(what, place)
        except struct.error:
            self._refuse(what, place)

    def _follow(self, place: int, what: str) -> int:
        """Return the position to which an offset refers."""
        target = place + self._number("<I", place, what)
        if target > self.size - 4 or target == place:
            self._refuse(what, place)
        return target

    def _table(self, place: int, kind: str) -> None:
        """Check a table and all its targets. No table of the schema contains itself, so the depth is limited."""
        vtable = place - self._number("<i", place, kind)
        vtable_bytes, table_bytes = self._number("<H", vtable, kind), self._number("<H", vtable + 2, kind)
        if vtable_bytes < 4 or vtable_bytes % 2 or table_bytes < 4:
            self._refuse(f"the layout of a {kind}", place)
        if vtable + vtable_bytes > self.size or place + table_bytes > self.size:
            self._refuse(kind, place)
        self._spend(TABLE_BYTES)
        fields = struct.unpack_from(f"<{vtable_bytes // 2 - 2}H", self.raw, vtable + 4)
        if fields and max(fields) >= table_bytes:
            self._refuse(f"a field of a {kind}", place)
        for number, form in OFFSETS.get(kind, {}).items():
            if number < len(fields) and fields[number]:
                if fields[number] + 4 > table_bytes:
                    self._refuse(f"a field of a {kind}", place)
                target = self._follow(place + fields[number], f"field {number} of a {kind}")
                self._field(target, form, kind, number, self._union(place, fields, kind, number))

    def _union(self, place: int, fields: tuple[int, ...], kind: str, number: int) -> str:
        """Return the table in a union, "" for another field and for a table that the schema does not have."""
        if (kind, number) not in UNIONS or not fields[number - 1]:
            return ""
        return self.names[UNIONS[kind, number]].get(self.raw[place + fields[number - 1]], "")

    def _field(self, place: int, form: str, kind: str, number: int, held: str) -> None:
        if form == "s":
            self._vector(place, 1, kind)
        elif form == "u":
            self._table(place, held)
        elif form[0] != "[":
            self._table(place, form)
        elif form[1:-1].isdigit():
            self._vector(place, int(form[1:-1]), kind)
        else:
            for index in range(self._vector(place, 4, kind)):
                self._table(self._follow(place + 4 + 4 * index, f"element {index} of a {kind}"), form[1:-1])

    def _vector(self, place: int, width: int, kind: str) -> int:
        """Check a vector, and return the number of its elements."""
        count = self._number("<I", place, kind)
        if place + 4 + count * width > self.size:
            self._refuse(f"a vector of {count:,} elements of a {kind}", place)
        self._spend(count * width)
        return count
