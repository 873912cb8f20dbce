"""The runtimes that run a feature of a model correctly, as measured.

`runtime_evidence.py` has a row for each tested feature, with the result of each runtime. `tests/measure_runtimes.py`
writes it, and `tests/integration/test_old_runtimes.py` repeats it. A feature without a row is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from tflbuild.tflite.runtime_evidence import EVIDENCE, RUNTIMES
from tflbuild.tflite.runtime_features import FILE_FEATURES, count_features
from tflbuild.tflite.tflite_model import Model

RIGHT, WRONG, REFUSED, CRASHED = "right", "wrong", "refused", "crashed"
LETTERS = {"R": RIGHT, "w": WRONG, "-": REFUSED, "x": CRASHED}
RESULT_TEXTS = {  # what a runtime did with a feature, in an error
    WRONG: "computes it wrongly",
    REFUSED: "refuses it",
    CRASHED: "crashes on it",
    RIGHT: "runs it where some later one does not",
    "": "is older than all that were tried",
}
FILE = "file"  # in the evidence, in place of an operator's name


@dataclass(frozen=True)
class RuntimeRow:
    """The result of each runtime for a model with the feature: right, wrong, refused or crashed, oldest runtime first.

    Right means that the outputs equal those of the newest runtime up to rounding (an SNR of 25 dB).
    """

    feature: str
    results: Mapping[str, str]

    @property
    def first_runtime(self) -> str:
        """Return the first runtime from which on all are right, "" if the newest is not."""
        first = ""
        for runtime in reversed(list(self.results)):
            if self.results[runtime] != RIGHT:
                break
            first = runtime
        return first

    def result_on(self, runtime: str) -> str:
        """Return the result of the newest tested runtime up to this one, "" if all tested runtimes are newer."""
        older = [result for name, result in self.results.items() if parse_version(name) <= parse_version(runtime)]
        return older[-1] if older else ""


@dataclass(frozen=True)
class FeatureRequirement:
    """A feature of a model, how often it occurs, and the first runtime that runs it correctly, "" if unknown."""

    feature: str
    count: int
    runtime: str


@cache
def read_table() -> dict[str, RuntimeRow]:
    """Return every row by its feature."""
    return {row.feature: row for row in _parse(EVIDENCE)}


def _parse(text: str) -> Iterator[RuntimeRow]:
    results: dict[str, str] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("= "):
            results = {runtime: LETTERS[letter] for runtime, letter in zip(RUNTIMES, line[2:], strict=True)}
            continue
        owner, _, features = line.partition(": ")
        for feature in features.split("; "):
            yield RuntimeRow(feature if owner == FILE else f"{owner} {feature}", results)


def write_evidence(results: Mapping[str, Iterable[str]]) -> str:
    """Return results as the text that `read_table` reads.

    Args:
        results: Feature -> the results of RUNTIMES, in order.
    """
    letters = {result: letter for letter, result in LETTERS.items()}
    groups: dict[str, dict[str, list[str]]] = {}
    for feature, outcomes in sorted(results.items()):
        owner, _, rest = (FILE, "", feature) if feature in FILE_FEATURES else feature.partition(" ")
        groups.setdefault("".join(letters[outcome] for outcome in outcomes), {}).setdefault(owner, []).append(rest)
    lines = []
    for pattern in sorted(groups):
        lines.append(f"= {pattern}")
        for owner, features in groups[pattern].items():
            lines += _wrap(owner, features)
    return "\n".join(lines)


def _wrap(owner: str, features: Iterable[str]) -> Iterator[str]:
    line = ""
    for feature in features:
        longer = f"{line}; {feature}" if line else f"{owner}: {feature}"
        if line and len(longer) > 120:
            yield line
            longer = f"{owner}: {feature}"
        line = longer
    yield line


def parse_version(version: str) -> tuple[int, ...]:
    """Return a version as three numbers, which can be compared: `2.14` is (2, 14, 0)."""
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (3 - len(parts)))


def judge_features(features: Mapping[str, int]) -> list[FeatureRequirement]:
    """Return the first runtime for each feature, in the same order."""
    table = read_table()
    return [
        FeatureRequirement(feature, count, table[feature].first_runtime if feature in table else "")
        for feature, count in features.items()
    ]


def find_least_runtime(needs: Iterable[FeatureRequirement]) -> str:
    """Return the oldest runtime that runs every known feature correctly, "" if none is known."""
    return max((need.runtime for need in needs if need.runtime), key=parse_version, default="")


def find_newer_features(model: Model, newest: str) -> Iterator[str]:
    """Yield a text for each feature that the runtime `newest` was not measured to run correctly.

    TensorFlow and custom operators are part of the app, not of the runtime. They are allowed by kind and name.
    """
    for need in judge_features(count_features(model)):
        if not need.runtime:
            yield f"{need.feature}: no TFLite runtime was tried with it, so none is known to run it"
        elif parse_version(need.runtime) > parse_version(newest):
            result = RESULT_TEXTS[read_table()[need.feature].result_on(newest)]
            text = f"{need.feature} needs TFLite {need.runtime}, opset.max_runtime is {newest}, which {result}"
            yield text + _suggest_one_scale(need.feature, newest)


def _suggest_one_scale(feature: str, newest: str) -> str:
    """Return a suggestion for a scale per channel, "" if one scale for each tensor would not help."""
    owner, _, types = feature.replace("/channel", "").partition(" ")
    inputs, _, outputs = types.partition(" > ")
    merged = ", ".join(name for name, _ in groupby(inputs.split(", ")))
    row = read_table().get(f"{owner} {merged} > {outputs}")
    if "/channel" not in feature or row is None or parse_version(row.first_runtime) > parse_version(newest):
        return ""
    return " (quantization.granularity=per_tensor gives what it runs right)"
