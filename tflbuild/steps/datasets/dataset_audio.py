"""WAV folders as datasets: linear PCM of 8 to 32 bits and floats, mixed to mono, -1 to 1."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tflbuild.steps.datasets.dataset_files import list_files, open_files
from tflbuild.steps.datasets.dataset_readers import ArrayHeader, DeclaredDataset, OpenDataset

SUFFIXES = (".wav", ".wave")
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
RIFF_BYTES = 12
CHUNK_BYTES = 8
FORMAT_BYTES = 16
SUBFORMAT_AT = 24
LONGEST_FORMAT = 40  # of the extensible form; more that a file announces is not read


@dataclass(frozen=True)
class WavHeader:
    """The head of a WAV file: `code` is PCM or FLOAT, `start` and `size` say where its data lies."""

    code: int
    channels: int
    rate: int
    bits: int
    start: int
    size: int

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return self.size // (self.channels * self.bits // 8)


def open_audio(declared: DeclaredDataset) -> OpenDataset:
    """Recordings as float values in the input's dtype, [samples] or, where the input has it so, [samples, 1]."""
    spec = declared.only_input()
    files = list_files(declared, SUFFIXES)
    heads = {name: head(declared, files.root / name) for name in files.names}
    require_rate(declared, heads)
    length = declared.options["length"]
    lengths = {length or wave.frames for wave in heads.values()}
    last = (1,) if len(spec["shape"]) == len(("batch", "time", "channel")) else ()
    shape = (len(files.names), *lengths, *last) if len(lengths) == 1 else None
    if shape is None:
        raise mixed_lengths(declared, heads)
    require_length(declared, spec, next(iter(lengths)))

    def read_one(path: Path) -> np.ndarray:
        name = path.relative_to(files.root).as_posix()
        values = read_wave(path, heads[name], length)
        if not np.isfinite(values).all():
            raise declared.refuse(f"'{declared.label}/{name}' holds NaN or infinity", "path")
        return values.reshape(len(values), *last)

    return open_files(files, ArrayHeader(np.dtype(np.float64), shape), read_one, untyped=True)


def head(declared: DeclaredDataset, path: Path) -> WavHeader:
    """The head of a file. Raises WorkerError, with its name, for what is no whole WAV file of a known kind."""
    name = f"{declared.label}/{path.relative_to(declared.path).as_posix()}"
    try:
        wave = parse_head(path)
    except (struct.error, ValueError) as error:
        why = "it is cut short" if isinstance(error, struct.error) else str(error)
        raise declared.refuse(
            f"'{name}' is not a WAV file that can be read",
            "path",
            why=why,
            next_step="write it as PCM of 8, 16, 24 or 32 bits, or as floats",
        ) from None
    return wave


def parse_head(path: Path) -> WavHeader:
    """Walks the chunks of a RIFF file. Raises ValueError or struct.error."""
    end = path.stat().st_size
    found: tuple[int, int, int, int] | None = None
    with path.open("rb") as file:
        riff, _, kind = struct.unpack("<4sI4s", file.read(RIFF_BYTES))
        if (riff, kind) != (b"RIFF", b"WAVE"):
            raise ValueError("it does not begin as a RIFF/WAVE file")
        while True:
            tag, size = struct.unpack("<4sI", file.read(CHUNK_BYTES))
            start = file.tell()
            if tag == b"fmt ":
                found = parse_format(file.read(min(size, LONGEST_FORMAT)))
            if tag == b"data":
                if found is None:
                    raise ValueError("its data comes before its format")
                if not size:
                    raise ValueError("it holds no sound: its data has no bytes")
                if size % (found[1] * found[3] // 8):
                    raise ValueError(f"its {size} bytes of data are not a whole number of samples")
                if start + size > end:
                    raise ValueError(f"it is cut short: {size} bytes of data are announced, {end - start} are there")
                return WavHeader(*found, start, size)
            file.seek(start + size + size % 2)


def parse_format(chunk: bytes) -> tuple[int, int, int, int]:
    """(code, channels, rate, bits). Raises ValueError for a compressed or unknown kind."""
    code, channels, rate, _, step, bits = struct.unpack("<HHIIHH", chunk[:FORMAT_BYTES])
    if code == EXTENSIBLE:
        (code,) = struct.unpack("<H", chunk[SUBFORMAT_AT : SUBFORMAT_AT + 2])
    if (code, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)} or not channels:
        raise ValueError(f"its format is {code} with {bits} bits and {channels} channels")
    if step != channels * bits // 8:
        raise ValueError(f"its header gives {step} bytes for a sample of {channels} channels with {bits} bits")
    return code, channels, rate, bits


def require_rate(declared: DeclaredDataset, heads: Mapping[str, WavHeader]) -> None:
    """Raises WorkerError for a file of another rate than declared or, where none is, than the first."""
    wanted = declared.options["sample_rate"] or next(iter(heads.values())).rate
    for name, wave in heads.items():
        if wave.rate != wanted:
            first = "" if declared.options["sample_rate"] else f", and '{next(iter(heads))}' {wanted} Hz"
            rates = sorted({one.rate for one in heads.values()})
            raise declared.refuse(
                f"'{declared.label}/{name}' has {wave.rate} Hz{first or f', and {wanted} Hz are declared'}",
                "sample_rate",
                why=f"rates in the folder: {', '.join(map(str, rates))}; a model hears another rate as another pitch",
                next_step="resample the files; tflbuild does not",
            )


def mixed_lengths(declared: DeclaredDataset, heads: Mapping[str, WavHeader]) -> Exception:
    """The error for recordings that differ in length."""
    shortest = min(heads, key=lambda name: heads[name].frames)
    longest = max(heads, key=lambda name: heads[name].frames)
    return declared.refuse(
        f"the recordings of '{declared.label}' differ in length",
        "length",
        why=f"'{shortest}' has {heads[shortest].frames} samples, '{longest}' {heads[longest].frames}",
        next_step=f"{declared.section}.length=N cuts them, or fills them up with zeros",
    )


def require_length(declared: DeclaredDataset, spec: Mapping[str, Any], length: int) -> None:
    """Raises WorkerError where the input wants another length."""
    wanted = spec["shape"][1] if len(spec["shape"]) > 1 else None
    if wanted not in (None, length):
        raise declared.refuse(
            f"a recording of '{declared.label}' has {length} samples, and input '{spec['name']}' takes {wanted}",
            "length",
            next_step=f"{declared.section}.length={wanted}",
        )


def read_wave(path: Path, wave: WavHeader, length: int | None) -> np.ndarray:
    """Mono, float64 [samples], -1 to 1, cut or filled up with zeros to `length`."""
    step = wave.channels * wave.bits // 8
    frames = wave.frames if length is None else min(wave.frames, length)
    with path.open("rb") as file:
        file.seek(wave.start)
        raw = np.frombuffer(file.read(frames * step), np.uint8)
    values = unpack(raw, wave).reshape(frames, wave.channels).mean(axis=1)
    return np.pad(values, (0, (length or frames) - frames))


def unpack(raw: np.ndarray, wave: WavHeader) -> np.ndarray:
    """Stored numbers as float64; integers are divided by the magnitude of the least one."""
    if wave.code == FLOAT:
        return raw.view(f"<f{wave.bits // 8}").astype(np.float64)
    if wave.bits == 8:  # the one width that is stored without a sign
        return (raw.astype(np.float64) - 128.0) / 128.0
    if wave.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return wide.reshape(-1).view("<i4").astype(np.float64) / 2.0**31
    return raw.view(f"<i{wave.bits // 8}").astype(np.float64) / 2.0 ** (wave.bits - 1)
