"""Verdicts of targets on an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from tflbuild.core.digest import Json, plain_json
from tflbuild.core.typed_json import from_json

PROVEN, LINTED, UNPROVEN = "proven", "linted", "unproven"


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """An operator that the delegate of a target does not support.

    Attributes:
        op: The operator.
        layer: The name of its first output.
        reason: The text of the support rule, or the message of the tool.
        fix: What to do about it, "" if no fix is known.
        index: Its position in its subgraph.
        subgraph: The index of its subgraph.
    """

    op: str
    layer: str
    reason: str
    fix: str = ""
    index: int = -1
    subgraph: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict of a target on an artifact.

    Attributes:
        target: The name of the target.
        proof: `proven` (compiled or run by the target's own tool or an equivalent), `linted` (compared with the support
            table only) or `unproven` (neither, or the outputs differ from those of the CPU).
        how: The tool with its version, or why there is no proof.
        device: The device on which, or for which, figures were measured or estimated.
        runs: Whether the target runs the artifact, possibly with fallbacks. None if unknown.
        agrees: Whether the outputs are equal to those of the CPU. None if they were not compared.
        ops: The number of operators.
        on_delegate: The number of operators that run on the delegate. None if unknown.
        partitions: The number of partitions. None if unknown.
        fallbacks: The operators that the delegate does not support.
        unknown: A text for each operator whose support is unknown.
        unmet: The operators that do not meet a requirement of the target (`targets.common.requirement_check`).
        figures: The figures, with units in their names.
        to_prove: What to install for a proof.
        notes: Human-readable notes.
    """

    target: str
    proof: str
    how: str
    device: str = ""
    runs: bool | None = None
    agrees: bool | None = None
    ops: int = 0
    on_delegate: int | None = None
    partitions: int | None = None
    fallbacks: tuple[Fallback, ...] = ()
    unknown: tuple[str, ...] = ()
    unmet: tuple[Fallback, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    to_prove: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> Json:
        """Return the verdict as plain JSON."""
        return plain_json(asdict(self))

    def measured(self) -> dict[str, float]:
        """Return the known figures by their names in gates."""
        counts: dict[str, float] = {}
        if self.unknown or self.on_delegate is not None:
            counts["unknown_ops"] = len(self.unknown)
        if not self.unknown and self.on_delegate is not None:
            counts["fallback_ops"] = self.ops - self.on_delegate
        if self.partitions is not None:
            counts["partitions"] = self.partitions
        return {**self.figures, **counts}


def read_verdict(value: Json) -> Verdict:
    """Return the verdict from its JSON.

    Raises:
        ValueError: The JSON is not a verdict.
    """
    return from_json(Verdict, value)


def short_verdict(verdict: Verdict) -> str:
    """Return a verdict as short text, such as `gpu 14/14`, or `npu 12/14 linted` without a proof."""
    count = "?" if verdict.on_delegate is None else verdict.on_delegate
    state = "cannot run" if verdict.runs is False else "needs unmet" if verdict.unmet else f"{count}/{verdict.ops}"
    return f"{verdict.target} {state}" + ("" if verdict.proof == PROVEN else f" {verdict.proof}")


def target_figures(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return the known figures of several verdicts, by `TARGET.FIGURE`."""
    return {
        f"{verdict.target}.{name}": float(value) for verdict in verdicts for name, value in verdict.measured().items()
    }
