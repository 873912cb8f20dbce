"""The page docs/runtimes.md: which TensorFlow Lite runtimes run what, from the table that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tflbuild.tflite.runtime_evidence import RUNTIMES
from tflbuild.tflite.runtime_table import RuntimeRow, parse_version, read_table

INTRODUCTION = f"""# Which runtimes run an artifact

Written from `tflbuild/tflite/runtime_evidence.py` by `python -m tflbuild.config.reference --write`.

`tflbuild inspect` and the manifest name the least TensorFlow Lite that runs an artifact, and the *features* that
decide. `opset.max_runtime: "2.10"` fails a build whose artifact asks for more. A feature is one of:

- an operator and the element types of its inputs and outputs, equal neighbours merged:
  `FULLY_CONNECTED int8, int8/channel, int32 > int8`. `/channel` marks a constant with a scale for each channel,
  `/block` one with a scale for each block, `/sparse` one without its zeros. Old kernels take some types that they
  compute wrongly, whatever version the operator has.
- an operator's version, as the file states it: a runtime refuses one that it does not have.
- a property of the file: buffers behind the flatbuffer, several signatures, free sizes.

Every row was run: a small model that has the feature, on each of TensorFlow Lite {", ".join(RUNTIMES)}. Its outputs
are compared with those of the newest, which is the LiteRT that tflbuild itself uses. `right` means the same but for
rounding (an SNR of 25 dB or more), `wrong` another result, `refused` an error, `crashed` the end of the process. The
first runtime is the one from which on all are right. A feature without a row is unknown: `inspect` lists it, and
`opset.max_runtime` fails on it. No runtime before {RUNTIMES[0]} was run: an older `opset.max_runtime` always fails.

Flex and custom operators have no rows: the app brings their kernels. The rows hold for the runtime's own kernels and
its default delegate on x86-64, not for GPU or NPU delegates.

Runtimes up to 2.14 are the packages `tflite-runtime`; 2.5, 2.6 and from 2.15 on they are those in `tensorflow-cpu`.
The tests run all rows again on 2.7 to 2.14, where Python 3.9 is installed, and on 2.14 everywhere.

Weights are stored inside the flatbuffer, which every runtime reads, as long as the file stays below 2 GB. A source
`.tflite` that has them behind it is rewritten so, with the same contents.
"""


def runtimes_page() -> str:
    """Return the page: what not all runtimes run right, and what all do."""
    rows = sorted(read_table().values(), key=lambda row: row.feature)
    newer = [row for row in rows if row.first_runtime != RUNTIMES[0]]
    newer.sort(key=lambda row: parse_version(row.first_runtime))
    lines = ["", "## What older runtimes do not run right", "", "| feature | first runtime | before it |"]
    lines.append("| --- | --- | --- |")
    lines += [f"| `{row.feature}` | {row.first_runtime} | {_show_before(row)} |" for row in newer]
    lines += ["", f"## What all runtimes from {RUNTIMES[0]} on run right", ""]
    lines += ["| operator | types and versions |", "| --- | --- |"]
    always = [row.feature for row in rows if row.first_runtime == RUNTIMES[0]]
    for operator, features in groupby(always, key=_operator_of):
        lines.append(f"| {operator} | {'; '.join(feature.removeprefix(f'{operator} ') for feature in features)} |")
    return INTRODUCTION + "\n".join(lines) + "\n"


def _operator_of(feature: str) -> str:
    operator = feature.partition(" ")[0]
    return operator if operator.isupper() else "the file"


def _show_before(row: RuntimeRow) -> str:
    return ", ".join(f"{result}: {span}" for span, result in _spans(row))


def _spans(row: RuntimeRow) -> Iterator[tuple[str, str]]:
    """Yield runs of runtimes that did the same, up to the first from which on all are right."""
    before = [name for name in row.results if parse_version(name) < parse_version(row.first_runtime)]
    for result, names in groupby(before, key=lambda name: row.results[name]):
        run = list(names)
        yield (run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}"), result
