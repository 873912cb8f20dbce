"""Differences between two actions of a step kind, which explain why a step runs."""

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
    """A leaf whose value differs between two actions. `before` or `after` is None if that action lacks the leaf."""

    leaf: str
    before: Json
    after: Json

    def text(self) -> str:
        """Return the change as text, such as `parameter scheme: float16 -> int8`."""
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
    """Return the leaves that differ between two actions, in the order of their names.

    Args:
        before: The earlier action.
        after: The later action.
        ignore: The names of inputs of `after` that are not known yet.
    """
    old, new = leaves(before), leaves(after)
    # "inputs" itself is a leaf if an action has no known inputs.
    hidden = {"inputs", *(f"inputs.{name}" for name in ignore)}
    return [
        ActionChange(name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if name not in hidden and old.get(name) != new.get(name)
    ]


class ActionHistory:
    """Earlier actions, indexed for comparison with many current ones.

    Args:
        actions: The actions, each with its time in seconds since the epoch.
    """

    def __init__(self, actions: Iterable[tuple[Mapping[str, Json], float]]) -> None:
        self._by_kind: dict[Json, list[tuple[frozenset[tuple[str, str]], float, Mapping[str, Json]]]] = {}
        for action, created in actions:
            self._by_kind.setdefault(action.get("kind"), []).append((_make_leaf_set(action), created, action))

    def nearest(self, action: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """Return the earlier action of the same step kind with the most equal leaves, None if there is none.

        Of several such actions, the newest is returned.
        """
        leaf_set = _make_leaf_set(action)
        candidates = self._by_kind.get(action["kind"], [])
        if not candidates:
            return None
        _, _, earlier = max(candidates, key=lambda candidate: (len(leaf_set & candidate[0]), candidate[1]))
        return earlier


def _make_leaf_set(action: Mapping[str, Json]) -> frozenset[tuple[str, str]]:
    """Return the names and values of an action's leaves in a form that can be intersected."""
    return frozenset((name, repr(value)) for name, value in leaves(action).items())
