"""How much memory steps take: guessed for the first, learned from all that ran, held within a budget.

A kind's peak grows with its inputs, so it is kept for each power of two of their size.
"""

from __future__ import annotations

from pathlib import Path

from tflbuild.core.step_kind import Server
from tflbuild.core.untrusted_files import read_json
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import replace_json

FIRST_GUESS: dict[Server, int] = {"tensorflow": 1 << 30, "litert": 256 << 20}  # imports and a small model
GROWTH = 8  # bytes of memory for a byte of input, in a first guess
FADE = 0.9  # how much of an earlier, higher peak is still believed after a lower one


class MemoryBudget:
    """`total` bytes for all steps that run at once; a single step may always run."""

    def __init__(self, total: int, learned: Path) -> None:
        self.total = total
        self._file = learned
        self._peaks = _read(learned)
        self._new = False
        self._held: dict[int, int] = {}

    def estimate(self, kind: str, input_bytes: int) -> int:
        """The peak to be expected of a step, in bytes."""
        known = self._peaks.get(kind, {})
        if not known:
            return FIRST_GUESS[KINDS[kind].server] + GROWTH * input_bytes
        size = input_bytes.bit_length()
        nearest = min(known, key=lambda one: (abs(one - size), -one))
        return known[nearest] << max(0, size - nearest)

    def fits(self, need: int) -> bool:
        """Whether a step may start beside those that run."""
        return not self._held or sum(self._held.values()) + need <= self.total

    def hold(self, number: int, need: int) -> None:
        """A step has started."""
        self._held[number] = need

    def release(self, number: int) -> None:
        """It has ended."""
        self._held.pop(number, None)

    def learn(self, kind: str, input_bytes: int, peak: int) -> None:
        """What a step really took."""
        known = self._peaks.setdefault(kind, {})
        size = input_bytes.bit_length()
        known[size] = max(peak, int(FADE * known.get(size, 0)))
        self._new = True

    def save(self) -> None:
        """Keep what was learned. Another process may do so too: the last one's word stands, and both are right."""
        if not self._new:
            return
        try:
            replace_json(
                self._file,
                {kind: {str(size): peak for size, peak in known.items()} for kind, known in self._peaks.items()},
            )
        except OSError:
            return  # it would only have helped


def _read(file: Path) -> dict[str, dict[int, int]]:
    try:
        value = read_json(file)
        return {
            str(kind): {int(size): int(peak) for size, peak in known.items()}
            for kind, known in value.items()
            if kind in KINDS
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
