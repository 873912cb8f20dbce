"""Damage whole files in many ways: every parser of foreign bytes ends with a message, quickly, in little memory.

1,000 cases a parser; TFLBUILD_FUZZ_CASES says how many instead, and TFLBUILD_FUZZ_SEED which. A case that breaks a
parser goes to corpus/<parser>/ as a file, and is damaged further from then on.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import time

import pytest
from forking import MOST_SECONDS, Slow, run_forked
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from parsers import PARSERS, Parser

CASES = int(os.environ.get("TFLBUILD_FUZZ_CASES", "1000"))
SEED = int(os.environ.get("TFLBUILD_FUZZ_SEED", "0"))
EDGES = (0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
WIDTHS = ("<B", "<H", "<I", ">I", "<Q")


def damage(parser: Parser, seeds: list[bytes], chance: random.Random) -> bytes:
    """One case: a whole example, changed in up to eight places, and wrapped."""
    raw = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        place = chance.randrange(len(raw) + 1)
        kind = chance.randrange(8)
        if kind == 0 and raw:
            raw[place % len(raw)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            form = chance.choice(WIDTHS)
            value = chance.choice(EDGES) % 256 ** struct.calcsize(form)
            raw[place : place + struct.calcsize(form)] = struct.pack(form, value)
        elif kind == 2:
            del raw[place : place + chance.choice((1, 4, 40, len(raw)))]
        elif kind == 3:
            raw[place:place] = raw[place : place + chance.randrange(200)] * chance.choice((1, 2, 50))
        elif kind == 4:
            raw[place:place] = chance.randbytes(chance.randrange(20))
        elif kind == 5:
            other = chance.choice(seeds)
            raw[place:] = other[chance.randrange(len(other) + 1) :]
        elif parser.words:
            raw[place : place + chance.choice((0, 0, 1, 8))] = chance.choice(parser.words)
    return chance.choice(parser.wraps)(bytes(raw[: 1 << 20]))


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_damaged_files_end_with_a_message(parser):
    seeds, allowed = parser.examples(), parser.errors()

    def run_cases(begin):
        def read(case):
            folder = begin(case)
            signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS if parser.name != "hdf5" else 0)
            try:
                parser.read(case, folder)
            except allowed as error:
                assert str(error).strip(), case
                str(error).encode()
            except Slow:
                raise AssertionError(f"more than {MOST_SECONDS} s: {case!r}") from None
            except BaseException as error:
                raise AssertionError(f"{type(error).__name__} for {case!r}") from error
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        for whole in seeds:
            for wrap in parser.wraps:
                read(wrap(whole))

        @seed(SEED)
        @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.randoms(use_true_random=False))
        def fuzz(chance):
            read(damage(parser, seeds, chance))

        fuzz()

    start = time.monotonic()
    problem = run_forked(run_cases, seconds=60 + CASES * 0.2)
    print(f"{parser.name}: {CASES} cases, {time.monotonic() - start:.1f} s")
    assert not problem, problem


def test_a_crash_a_hang_and_a_lack_of_memory_are_seen():
    def crash(begin):
        begin(b"crash")
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(begin):
        begin(b"hang")
        time.sleep(60)

    def fill(begin):
        begin(b"fill")
        bytes(2 << 30)

    assert "SIGSEGV; the last case is b'crash'" in run_forked(crash, 10)
    assert "no end after 0 s; the last case is b'hang'" in run_forked(hang, 0.3)
    assert "MemoryError" in run_forked(fill, 10)
