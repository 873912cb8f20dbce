"""The interpreter of TensorFlow Lite Micro, used in processes of its own: outputs, errors, and the required arena."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from tflite_micro.python.tflite_micro import runtime

from tflbuild.runtime.forked_process import ForkResult, in_fork

PACKAGE = "tflite-micro"
# The alignment of the arena and its parts, in bytes.
ALIGNMENT = 16
LEAST_ARENA = 64 * 1024
MOST_ARENA = 1 << 30
PAGE = 1024
# The factor from one tried arena size to the next.
STEP = 4
TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
SHORT_OF_MEMORY = re.compile(r"Failed to (?:allocate|resize)|missing: \d+|Failed to get memory|Arena size is too small")
NOISE = re.compile(r"out of range \(length is|^Node \S+ \(number|^Failed to get registration|^\[Recording")

Feed = Sequence[np.ndarray]


@dataclass(frozen=True)
class TflmRun:
    """The outputs of each call, in the model's order and types, and the size of the arena in bytes."""

    outputs: list[list[np.ndarray]]
    arena: int


def version() -> str:
    """Return the installed version."""
    return metadata.version(PACKAGE)


def call(model: bytes, feeds: Sequence[Feed], outputs: int, arena: int, log: Path) -> ForkResult[TflmRun]:
    """Run calls in an arena of this size. State is reset before each call.

    Args:
        model: The bytes of the artifact.
        feeds: For each call the inputs, in the model's order.
        outputs: The number of outputs.
        arena: The size of the arena in bytes.
        log: The file for the output of the process.
    """
    return in_fork(lambda: _call(model, feeds, outputs, arena), log)


def call_in_large_arena(model: bytes, feeds: Sequence[Feed], outputs: int, log: Path) -> ForkResult[TflmRun]:
    """Run calls in an arena that is large enough."""
    arena = max(LEAST_ARENA, len(model))
    while True:
        ended = call(model, feeds, outputs, arena, log)
        if ended.good or arena >= MOST_ARENA or not short_of_memory(ended):
            return ended
        arena = min(arena * STEP, MOST_ARENA)


def short_of_memory(ended: ForkResult[Any]) -> bool:
    """Return whether a run failed because the arena was too small."""
    return not ended.good and bool(SHORT_OF_MEMORY.search(ended.output))


def run_in_least(
    model: bytes, feeds: Sequence[Feed], right: TflmRun, guess: int, log: Path
) -> tuple[ForkResult[TflmRun], int]:
    """Find the smallest arena in which all calls have the same outputs as in a large one.

    Every size is tested. Most tests only allocate, which is fast.

    Args:
        model: The bytes of the artifact.
        feeds: For each call the inputs, in the model's order.
        right: The run in a large arena.
        guess: An estimate of the size.
        log: The file for the output of processes.

    Returns:
        The run in the smallest arena, and its size in bytes.
    """
    count = len(right.outputs[0])
    allocated = find_minimum(lambda size: in_fork(lambda: _allocate(model, size), log).good, guess, right.arena)
    first = TflmRun(right.outputs[:1], right.arena)
    least = find_minimum(lambda size: _same(call(model, feeds[:1], count, size, log), first), allocated, right.arena)
    ended = call(model, feeds, count, least, log)
    while not _same(ended, right) and least < right.arena:
        least = min(right.arena, least + PAGE)
        ended = call(model, feeds, count, least, log)
    return ended, least


def _same(ended: ForkResult[TflmRun], right: TflmRun) -> bool:
    """Return whether all outputs are equal."""
    if ended.value is None:
        return False
    pairs = zip(ended.value.outputs, right.outputs, strict=True)
    return all(
        one.tobytes() == other.tobytes() for found, known in pairs for one, other in zip(found, known, strict=True)
    )


def find_minimum(fits: Callable[[int], bool], guess: int, works: int) -> int:
    """Return the smallest multiple of the alignment that fits, by growing steps from `guess` and then bisection."""
    fails, works, tried, step = 0, _up(works), _up(guess), ALIGNMENT
    while fails < works - ALIGNMENT:
        tried = max(fails + ALIGNMENT, min(tried, works - ALIGNMENT))
        if fits(tried):
            works, tried = tried, tried - step
        else:
            fails, tried = tried, tried + step
        if step >= works - fails:
            tried = _up((fails + works) // 2)
        step *= 2
    return works


def last_words(ended: ForkResult[Any]) -> str:
    """Return the error message of a run, or how its process ended."""
    lines = [line.strip() for line in ended.output.splitlines() if line.strip()]
    messages = [line for line in lines if not NOISE.search(line)] or lines
    return messages[-1] if messages else ended.failure


def read_total(said: str) -> int:
    """Return the arena size that the allocator printed, 0 if it printed none."""
    match = TOTAL.search(said)
    return int(match[1]) if match else 0


def _up(size: int) -> int:
    return max(ALIGNMENT, -(-size // ALIGNMENT) * ALIGNMENT)


def _allocate(model: bytes, arena: int) -> None:
    runtime.Interpreter.from_bytes(model, arena_size=arena)


def _call(model: bytes, feeds: Sequence[Feed], outputs: int, arena: int) -> TflmRun:
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
    found = []
    for feed in feeds:
        interpreter.reset()
        for index, value in enumerate(feed):
            interpreter.set_input(np.asarray(value, order="C"), index)
        interpreter.invoke()
        found.append([np.array(interpreter.get_output(index)) for index in range(outputs)])
    interpreter.print_allocations()
    return TflmRun(found, arena)
