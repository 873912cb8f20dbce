"""Why a step runs: the leaves in which its action differs from an earlier one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json, leaves

WORDS = {
    "params": "parameter",
    "inputs": "input",
    "toolchain": "package",
}
TOOLCHAIN_WORDS = {
    "implementation": "tflbuild's code of this step",
    "python": "Python",
    "platform": "platform",
}
SHOWN_DIGEST = 12


@dataclass(frozen=True)
class Change:
    """One leaf that differs. `before` or `after` is None where the leaf is missing."""

    leaf: str
    before: Json
    after: Json

    def text(self) -> str:
        """`parameter scheme: float16 -> int8`."""
        part, _, name = self.leaf.partition(".")
        word = f"{WORDS.get(part, part)} {name}".strip()
        if part == "toolchain" and name in TOOLCHAIN_WORDS:
            word = TOOLCHAIN_WORDS[name]
        return f"{word}: {_show(self.before)} -> {_show(self.after)}"


def _show(value: Json) -> str:
    if value is None:
        return "(none)"
    text = str(value)
    is_digest = len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
    return text[:SHOWN_DIGEST] if is_digest else text


def differences(before: Mapping[str, Json], after: Mapping[str, Json], ignore: Sequence[str] = ()) -> list[Change]:
    """The leaves that differ between two actions, by name; `ignore` lists inputs that are not yet known."""
    old, new = leaves(before), leaves(after)
    hidden = {"inputs", *(f"inputs.{name}" for name in ignore)}  # "inputs" itself is a leaf while none is known
    return [
        Change(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if name not in hidden and old.get(name) != new.get(name)
    ]


def nearest_action(
    action: Mapping[str, Json], candidates: Iterable[tuple[Mapping[str, Json], float]]
) -> Mapping[str, Json] | None:
    """Of earlier actions and their times: the one of this kind that shares most leaves, newest first."""
    best: tuple[int, float] | None = None
    chosen = None
    wanted = leaves(action)
    for candidate, created in candidates:
        if candidate.get("kind") != action["kind"]:
            continue
        has = leaves(candidate)
        rank = (sum(1 for name, value in wanted.items() if name in has and has[name] == value), created)
        if best is None or rank > best:
            best, chosen = rank, candidate
    return chosen
