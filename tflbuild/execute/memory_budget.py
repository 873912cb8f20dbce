"""Memory budget of a run: the expected memory peak of each step, estimated first and then learned from real runs.

The peak of a step kind grows with the size of its inputs, so one peak is recorded for each power of two of that size.
"""

from __future__ import annotations

from pathlib import Path

from tflbuild.core.step_kind import Server
from tflbuild.core.untrusted_files import read_json
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import replace_json

# First estimate of a peak in bytes, before any step of the kind has run: the imports and a small model.
FIRST_ESTIMATE: dict[Server, int] = {"tensorflow": 1 << 30, "litert": 256 << 20}
# Bytes of memory for each byte of input, in a first estimate.
BYTES_PER_INPUT_BYTE = 8
# A recorded peak falls by at most this factor after a run with a lower peak.
PEAK_DECAY = 0.9


class MemoryBudget:
    """`total` bytes of memory for all steps that run at once. A single step may always run.

    Args:
        total: The budget in bytes.
        peaks_file: The JSON file with the learned peaks. It may be missing.
    """

    def __init__(self, total: int, peaks_file: Path) -> None:
        self.total = total
        self._file = peaks_file
        self._peaks = _read_peaks(peaks_file)
        self._changed = False
        self._reserved: dict[int, int] = {}

    def estimate(self, kind: str, input_bytes: int) -> int:
        """Return the expected memory peak of a step in bytes.

        Args:
            kind: The kind of the step.
            input_bytes: The total size of its inputs in bytes.
        """
        peaks = self._peaks.get(kind, {})
        if not peaks:
            return FIRST_ESTIMATE[KINDS[kind].server] + BYTES_PER_INPUT_BYTE * input_bytes
        size_bits = input_bytes.bit_length()
        nearest = min(peaks, key=lambda known_bits: (abs(known_bits - size_bits), -known_bits))
        # The peak is assumed to grow in proportion to larger inputs, and not to shrink with smaller ones.
        return peaks[nearest] << max(0, size_bits - nearest)

    def fits(self, peak: int) -> bool:
        """Return whether a step with this peak in bytes may start now, next to the steps that run."""
        return not self._reserved or sum(self._reserved.values()) + peak <= self.total

    def reserve(self, number: int, peak: int) -> None:
        """Reserve `peak` bytes for a started step. `number` identifies the step within the run."""
        self._reserved[number] = peak

    def release(self, number: int) -> None:
        """Release the memory reserved for a finished step."""
        self._reserved.pop(number, None)

    def learn(self, kind: str, input_bytes: int, peak: int) -> None:
        """Record the measured memory peak of a step, in bytes."""
        peaks = self._peaks.setdefault(kind, {})
        size_bits = input_bytes.bit_length()
        peaks[size_bits] = max(peak, int(PEAK_DECAY * peaks.get(size_bits, 0)))
        self._changed = True

    def save(self) -> None:
        """Write the learned peaks to their file. If another process writes them too, the last writer wins."""
        if not self._changed:
            return
        try:
            replace_json(
                self._file,
                {kind: {str(bits): peak for bits, peak in peaks.items()} for kind, peaks in self._peaks.items()},
            )
        except OSError:
            # The file only improves the estimates of later runs.
            return


def _read_peaks(file: Path) -> dict[str, dict[int, int]]:
    try:
        value = read_json(file)
        return {
            str(kind): {int(bits): int(peak) for bits, peak in peaks.items()}
            for kind, peaks in value.items()
            if kind in KINDS
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
