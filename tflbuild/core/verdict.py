"""What is known of an artifact on a target, and how it is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from tflbuild.core.digest import Json, plain_json
from tflbuild.core.typed_json import from_json

PROVEN, LINTED, UNPROVEN = "proven", "linted", "unproven"


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """An operator that the target's delegate does not take. `layer` is the name of its first output.

    `index` is its place in its subgraph's order, `reason` a rule's text or what the tool itself said, `fix` what to do
    about it, "" where nothing is known.
    """

    op: str
    layer: str
    reason: str
    fix: str = ""
    index: int = -1
    subgraph: int = 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target's verdict on one artifact.

    `proof`: proven (compiled or executed by what would do so there, or an equal of it), linted (held against published
    rules) or unproven (neither, or what was executed gave other results than the CPU). `how` says by what, with
    versions, or why not. `runs`: whether the target takes the artifact at all, with operators left to the CPU if it can
    do that; None where that is not known. `agrees`: whether its outputs were those of the CPU, None where they were
    not compared. `on_delegate` of `ops` operators run on the delegate, in `partitions` pieces; None is unknown.
    `unknown` are operators that nothing is known of, one text each. `unmet` is where the artifact is not what the
    profile needs (`targets.common.requirement_check`), however it was judged. `figures` were measured or estimated on
    or for `device`, units in their names; `to_prove` is what to install for a proof, `notes` are for a person.
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
        """Plain JSON."""
        return plain_json(asdict(self))

    def measured(self) -> dict[str, float]:
        """Every figure that is known, by the name that a gate has for it."""
        counts: dict[str, float] = {}
        if self.unknown or self.on_delegate is not None:
            counts["unknown_ops"] = len(self.unknown)
        if not self.unknown and self.on_delegate is not None:
            counts["fallback_ops"] = self.ops - self.on_delegate
        if self.partitions is not None:
            counts["partitions"] = self.partitions
        return {**self.figures, **counts}


def read_verdict(value: Json) -> Verdict:
    """The verdict that `as_json` wrote. Raises ValueError for what is none."""
    return from_json(Verdict, value)


def short_verdict(verdict: Verdict) -> str:
    """`gpu 14/14`; what is no proof is said."""
    taken = "?" if verdict.on_delegate is None else verdict.on_delegate
    told = "cannot run" if verdict.runs is False else "needs unmet" if verdict.unmet else f"{taken}/{verdict.ops}"
    return f"{verdict.target} {told}" + ("" if verdict.proof == PROVEN else f" {verdict.proof}")


def target_figures(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Every figure of several verdicts, as `<target>.<figure>`."""
    return {f"{one.target}.{name}": float(value) for one in verdicts for name, value in one.measured().items()}
