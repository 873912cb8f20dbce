"""What `tflbuild sensitivity` found: operators, the most damaged first."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tflbuild.core.digest import Json
from tflbuild.core.figure_rounding import show_ratio
from tflbuild.report.text_table import align, shorten

BAR = 20  # characters that stand for the greatest share
HEADINGS = ("SNR dB", "RMSE", "share", "", "operator", "name")


def sensitivity_text(found: Mapping[str, Json]) -> str:
    """The table, worst first, with a bar for each operator's share of the squared error."""
    most = max((one["share"] for one in found["operators"]), default=0.0)
    rows = [
        (
            show_ratio(one["snr_db"]),
            f"{one['rmse']:.3g}",
            f"{one['share']:.1%}",
            bar(one["share"], most),
            one["operator"],
            shorten(one["name"]),
        )
        for one in found["operators"]
    ]
    lines = align(HEADINGS, rows, right=HEADINGS[:3])
    lines.append(f"each of {len(rows)} operators alone as {found['scheme']}, {found['samples']:,} samples")
    if found["left"]:
        names = sorted({one["operator"] for one in found["left"]})
        lines.append(f"left in float, the scheme has nothing for them: {', '.join(names)}")
    if rows:
        worst = found["operators"][0]
        lines.append(f"to spare the worst: {rule(worst['name'])}")
    return "\n".join(lines)


def bar(share: float, most: float) -> str:
    """`####`, as long as the share beside the greatest one."""
    return "#" * round(share / most * BAR) if most else ""


def rule(name: str) -> str:
    """The override that leaves one operator in float."""
    first = re.escape(name.partition(";")[0])
    return f"'quantization.rules=[{{match: \"{first}\", scheme: float32}}]'"
