"""Datasets in folders of WAV files: linear PCM with 8 to 32 bits, or floats. They are mixed to mono, from -1 to 1."""

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
# The length of the extensible format. If a file states a greater length, the rest is not read.
MAX_FORMAT_BYTES = 40


@dataclass(frozen=True)
class WavHeader:
    """The header of a WAV file.

    Attributes:
        code: PCM or FLOAT.
        channels: The number of channels.
        rate: The sample rate in Hz.
        bits: The bits of one value.
        start: The position of the data in the file, in bytes.
        size: The length of the data, in bytes.
    """

    code: int
    channels: int
    rate: int
    bits: int
    start: int
    size: int

    @property
    def frames(self) -> int:
        """The number of values in each channel."""
        return self.size // (self.channels * self.bits // 8)


def open_audio(declared: DeclaredDataset) -> OpenDataset:
    """Open a folder of WAV files for the only input of the model.

    The shape of one recording is [values], or [values, 1] if the input has three dimensions.

    Raises:
        WorkerError: A file cannot be read, or the files differ in rate or length, or in that from the input.
    """
    spec = declared.only_input()
    files = list_files(declared, SUFFIXES)
    heads = {name: read_header(declared, files.root / name) for name in files.names}
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


def read_header(declared: DeclaredDataset, path: Path) -> WavHeader:
    """Read the header of a file. Raise WorkerError if it is not a complete WAV file of a supported format."""
    name = f"{declared.label}/{path.relative_to(declared.path).as_posix()}"
    try:
        wave = parse_header(path)
    except (struct.error, ValueError) as error:
        reason = "it is incomplete" if isinstance(error, struct.error) else str(error)
        raise declared.refuse(
            f"'{name}' is not a WAV file that can be read",
            "path",
            why=reason,
            next_step="write it as PCM with 8, 16, 24 or 32 bits, or as floats",
        ) from None
    return wave


def parse_header(path: Path) -> WavHeader:
    """Read the chunks of a RIFF file up to its data. Raise ValueError or struct.error if it is not supported."""
    end = path.stat().st_size
    audio_format: tuple[int, int, int, int] | None = None
    with path.open("rb") as file:
        riff, _, kind = struct.unpack("<4sI4s", file.read(RIFF_BYTES))
        if (riff, kind) != (b"RIFF", b"WAVE"):
            raise ValueError("it does not start with a RIFF/WAVE header")
        while True:
            tag, size = struct.unpack("<4sI", file.read(CHUNK_BYTES))
            start = file.tell()
            if tag == b"fmt ":
                audio_format = parse_format(file.read(min(size, MAX_FORMAT_BYTES)))
            if tag == b"data":
                if audio_format is None:
                    raise ValueError("its data comes before its format")
                if not size:
                    raise ValueError("it contains no sound: its data has no bytes")
                if size % (audio_format[1] * audio_format[3] // 8):
                    raise ValueError(f"its {size} bytes of data are not a whole number of samples")
                if start + size > end:
                    raise ValueError(f"it is incomplete: its header states {size} bytes of data, it has {end - start}")
                return WavHeader(*audio_format, start, size)
            file.seek(start + size + size % 2)


def parse_format(chunk: bytes) -> tuple[int, int, int, int]:
    """Return the code, channels, rate in Hz and bits of a format chunk. Raise ValueError if it is not supported."""
    code, channels, rate, _, step, bits = struct.unpack("<HHIIHH", chunk[:FORMAT_BYTES])
    if code == EXTENSIBLE:
        (code,) = struct.unpack("<H", chunk[SUBFORMAT_AT : SUBFORMAT_AT + 2])
    if (code, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)} or not channels:
        raise ValueError(f"its format is {code} with {bits} bits and {channels} channels")
    if step != channels * bits // 8:
        raise ValueError(f"its header states {step} bytes for a sample of {channels} channels with {bits} bits")
    return code, channels, rate, bits


def require_rate(declared: DeclaredDataset, heads: Mapping[str, WavHeader]) -> None:
    """Raise WorkerError if a file's rate is not the declared one. Without a declared rate, that of the first counts."""
    expected = declared.options["sample_rate"] or next(iter(heads.values())).rate
    for name, wave in heads.items():
        if wave.rate != expected:
            first = "" if declared.options["sample_rate"] else f", and '{next(iter(heads))}' has {expected} Hz"
            rates = sorted({header.rate for header in heads.values()})
            raise declared.refuse(
                f"'{declared.label}/{name}' has {wave.rate} Hz{first or f', and {expected} Hz are declared'}",
                "sample_rate",
                why=f"rates in the folder: {', '.join(map(str, rates))}; another rate changes the pitch for the model",
                next_step="resample the files: tflbuild does not resample",
            )


def mixed_lengths(declared: DeclaredDataset, heads: Mapping[str, WavHeader]) -> Exception:
    """Return the error for recordings of different lengths."""
    shortest = min(heads, key=lambda name: heads[name].frames)
    longest = max(heads, key=lambda name: heads[name].frames)
    return declared.refuse(
        f"the recordings of '{declared.label}' differ in length",
        "length",
        why=f"'{shortest}' has {heads[shortest].frames} samples, '{longest}' has {heads[longest].frames}",
        next_step=f"set {declared.section}.length=N, which cuts them, or pads them with zeros",
    )


def require_length(declared: DeclaredDataset, spec: Mapping[str, Any], length: int) -> None:
    """Raise WorkerError if the input needs another length."""
    expected = spec["shape"][1] if len(spec["shape"]) > 1 else None
    if expected not in (None, length):
        raise declared.refuse(
            f"a recording of '{declared.label}' has {length} samples, but input '{spec['name']}' needs {expected}",
            "length",
            next_step=f"set {declared.section}.length={expected}",
        )


def read_wave(path: Path, wave: WavHeader, length: int | None) -> np.ndarray:
    """Read a file as mono: float64 of shape [values], from -1 to 1.

    Args:
        path: The file.
        wave: Its header.
        length: The number of values, to which the recording is cut or padded with zeros. None: all values.
    """
    step = wave.channels * wave.bits // 8
    frames = wave.frames if length is None else min(wave.frames, length)
    with path.open("rb") as file:
        file.seek(wave.start)
        raw = np.frombuffer(file.read(frames * step), np.uint8)
    values = unpack(raw, wave).reshape(frames, wave.channels).mean(axis=1)
    return np.pad(values, (0, (length or frames) - frames))


def unpack(raw: np.ndarray, wave: WavHeader) -> np.ndarray:
    """Convert stored numbers to float64. Integers are divided by the magnitude of their minimum."""
    if wave.code == FLOAT:
        return raw.view(f"<f{wave.bits // 8}").astype(np.float64)
    # WAV files store values of 8 bits without a sign, and all others with one.
    if wave.bits == 8:
        return (raw.astype(np.float64) - 128.0) / 128.0
    if wave.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        return wide.reshape(-1).view("<i4").astype(np.float64) / 2.0**31
    return raw.view(f"<i{wave.bits // 8}").astype(np.float64) / 2.0 ** (wave.bits - 1)
