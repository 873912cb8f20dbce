"""Score calibration: a line for each class, `scale,slope,offset[,min_score]`, or an empty one.

A score x becomes scale / (1 + exp(-(slope * g(x) + offset))) where x is above min_score, else the default score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tflbuild.runtime.step_contract import WorkerError

Row = tuple[float, ...]  # (), or scale, slope, offset and maybe min_score
PARAMETERS = ("scale", "slope", "offset")


def calibration_rows(declared: Mapping[str, Any], classes: int, where: str, files: Mapping[str, bytes]) -> list[Row]:
    """The parameters of each class, from `declared.file` or from numbers; `classes` is -1 when that is free.

    `declared` has `file`, or `scale`, `slope`, `offset` and maybe `min_score`: one number each, or one a class.
    Raises WorkerError where they do not fit.
    """
    if declared.get("file"):
        rows = parse_rows(files[declared["file"]].decode("utf-8-sig", "replace"), f"{where}.file")
    else:
        names = [*PARAMETERS, *(["min_score"] if declared.get("min_score") not in (None, []) else [])]
        if lacking := [name for name in names if declared.get(name) in (None, [])]:
            raise WorkerError(f"a score calibration lacks {', '.join(lacking)}", where=where)
        columns = [_column(declared[name], classes, f"{where}.{name}") for name in names]
        rows = list(zip(*columns, strict=True))
    for row in rows:
        _require_sound(row, where)
    if classes not in (-1, len(rows)):
        raise WorkerError(
            f"a score calibration has {len(rows)} lines for {classes} classes",
            where=where,
            why="there is a line for each class, an empty one for a class without parameters",
        )
    return rows


def parse_rows(text: str, where: str) -> list[Row]:
    """The lines of a file. An empty one at its end, behind the last newline, is none.

    Raises WorkerError for a line that has no parameters.
    """
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        try:
            row = tuple(float(part) for part in line.split(",")) if line.strip() else ()
        except ValueError:
            row = (math.nan,)
        if len(row) not in (0, 3, 4) or not all(map(math.isfinite, row)):
            raise WorkerError(
                f"line {number} is no score calibration: {line.strip()[:60]}",
                where=where,
                why="a line has scale, slope, offset and maybe min_score, separated by commas, or is empty",
            )
        rows.append(row)
    return rows


def show_rows(rows: Sequence[Row]) -> bytes:
    """The file of these rows; numbers keep their float32 value.

    No newline ends it: MediaPipe (1.2.2) takes one for a further class, and refuses the model.
    """
    return "\n".join(",".join(f"{number:.9g}" for number in row) for row in rows).encode()


def _column(value: Any, classes: int, where: str) -> list[float]:
    if not isinstance(value, list):
        if classes < 0:
            raise WorkerError(
                "the number of classes is free, and so is that of the calibration's lines",
                where=where,
                next_step="give a list with a number for each class, or a file",
            )
        return [float(value)] * classes
    if classes not in (-1, len(value)):
        raise WorkerError(f"{len(value)} numbers for {classes} classes", where=where)
    return [float(one) for one in value]


def _require_sound(row: Row, where: str) -> None:
    if row and (row[0] < 0 or not all(map(math.isfinite, row))):
        raise WorkerError(
            "a scale of a score calibration is negative, or a number is not finite",
            where=where,
            why=",".join(f"{number:g}" for number in row),
        )
