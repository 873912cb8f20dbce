"""Why a step runs: the leaves in which its action differs from an earlier one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.digest import Json, leaves

WORDS = {
    "params": "parameter",
    "inputs": "input",
    "toolchain": "package",
    "cpu": "CPU",
}
TOOLCHAIN_WORDS = {
    "implementation": "tflbuild's code of this step",
    "python": "Python",
    "platform": "platform",
}
SHOWN_DIGEST = 12


@dataclass(frozen=True)
class ActionChange:
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


def compare_actions(
    before: Mapping[str, Json], after: Mapping[str, Json], ignore: Sequence[str] = ()
) -> list[ActionChange]:
    """The leaves that differ between two actions, by name; `ignore` lists inputs that are not yet known."""
    old, new = leaves(before), leaves(after)
    hidden = {"inputs", *(f"inputs.{name}" for name in ignore)}  # "inputs" itself is a leaf while none is known
    return [
        ActionChange(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if name not in hidden and old.get(name) != new.get(name)
    ]


class ActionHistory:
    """Actions of the past, to be compared with many of today: of each, its leaves are looked at once."""

    def __init__(self, actions: Iterable[tuple[Mapping[str, Json], float]]) -> None:
        """`actions` are with their times, seconds since the epoch."""
        self._by_kind: dict[Json, list[tuple[frozenset[tuple[str, str]], float, Mapping[str, Json]]]] = {}
        for action, created in actions:
            self._by_kind.setdefault(action.get("kind"), []).append((_facets(action), created, action))

    def nearest(self, action: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """The one of the same kind that shares most leaves, newest first; None where there is none of it."""
        wanted = _facets(action)
        candidates = self._by_kind.get(action["kind"], [])
        return max(candidates, key=lambda one: (len(wanted & one[0]), one[1]))[2] if candidates else None


def _facets(action: Mapping[str, Json]) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in leaves(action).items())
