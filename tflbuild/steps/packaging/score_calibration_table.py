"""Tables of score calibration: a line `scale,slope,offset[,min_score]` for each class, or an empty one.

A score x above min_score becomes scale / (1 + exp(-(slope * g(x) + offset))). Any other becomes the default score.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tflbuild.runtime.step_contract import WorkerError

# (), or scale, slope, offset and possibly min_score.
Row = tuple[float, ...]
PARAMETERS = ("scale", "slope", "offset")


def calibration_rows(declared: Mapping[str, Any], classes: int, where: str, files: Mapping[str, bytes]) -> list[Row]:
    """Return the parameters of each class, from a file or from numbers.

    Args:
        declared: `file`; or `scale`, `slope`, `offset` and possibly `min_score`, each one number or one for each class.
        classes: The number of classes, -1 if it is dynamic.
        where: The recipe key, for errors.
        files: File name -> contents.

    Raises:
        WorkerError: The parameters are incomplete or not valid, or their number is not that of the classes.
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
    """Parse the lines of a file, without an empty last one.

    Raises:
        WorkerError: A line is not valid.
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
    """Return the file of these rows. Numbers keep their float32 value.

    The file does not end with a newline: MediaPipe (1.2.2) would count another class, and refuse the model.
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
