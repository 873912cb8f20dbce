"""Memory and profile of a model, measured in a process of its own through LiteRT's C API.

    python -I -S profiled_process.py REQUEST ANSWER

The request is JSON with `library` (the path of libLiteRt.so), `model`, `signature` (its number in the file), `threads`,
`kernels`, `inputs` (name -> a file of its bytes), `shapes` (name -> sizes, for dynamic dimensions) and `runs` (the
largest number of profiled runs). `kernels` is `xnnpack` or `none`: this library has no reference kernels, and would
silently use the optimized ones. The answer has `error`, or `threads` and a result. `threads` is the actual number,
since the optimized kernels only use one here. With profiled runs the result is `profiles`: for each run [[type, tag,
node, subgraph, microseconds], ...]. Without them it is `peak_bytes`: the profiler needs 60 MB itself, so memory is
measured without it.

It only imports the standard library, so that the measured memory is that of the runtime and the model, and a crash of
the runtime affects nothing else. The declarations are those of litert/c/*.h of LiteRT 2.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from ctypes import byref, c_bool, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

CPU = 1  # LiteRtHwAccelerators
WRITE = 1  # LiteRtTensorBufferLockMode
KERNELS = {"xnnpack": "delegate", "none": "builtin"}  # how LiteRT calls them
WARMUPS = 5
LEAST_PROFILED, PROFILE_SECONDS = 5, 10.0  # runs are profiled until that time is over, but no fewer than those
TYPE_BYTES = 4096  # room for a LiteRtRankedTensorType, which is below 128 bytes
LAYOUT_START, LAYOUT_BYTES = 4, 68  # of the LiteRtLayout in it: rank, 8 sizes, 8 strides, 4 bytes each
PR_SET_PDEATHSIG = 1

Deleter = ctypes.CFUNCTYPE(None, c_void_p)


class MemoryUsage(ctypes.Structure):
    """LiteRtMemoryUsage."""

    _fields_ = (("total", c_size_t), ("in_use", c_size_t), ("private", c_size_t))


class Event(ctypes.Structure):
    """ProfiledEventData. `node` and `subgraph` are event_metadata1 and 2: an operator's index, its subgraph's."""

    _fields_ = (
        ("tag", c_char_p),
        ("type", c_int),
        ("start_us", c_uint64),
        ("elapsed_us", c_uint64),
        ("memory_before", MemoryUsage),
        ("memory_after", MemoryUsage),
        ("node", c_uint64),
        ("subgraph", c_uint64),
        ("source", c_int),
    )


class RefusedError(Exception):
    """A call of the C API that did not give kLiteRtStatusOk."""


class LiteRtLibrary:
    """The library. Calling it calls a function by name. Raises RefusedError when it is not content."""

    def __init__(self, library: str) -> None:
        self.library = ctypes.CDLL(library)
        self.kept: list[Any] = []  # what the library has pointers to

    def __call__(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            raise RefusedError(f"{name} gave status {status}")

    def handle(self, name: str, *arguments: Any) -> c_void_p:
        """A function whose last argument takes what it makes."""
        made = c_void_p()
        self(name, *arguments, byref(made))
        return made

    def count(self, name: str, *arguments: Any) -> int:
        """A function whose last argument takes a number."""
        found = c_size_t()
        self(name, *arguments, byref(found))
        return found.value

    def add_options(self, options: c_void_p, identifier: str, text: str) -> None:
        """Options that LiteRT knows by the identifier, as TOML."""
        stored, deleter = ctypes.create_string_buffer(text.encode()), Deleter(lambda _: None)
        self.kept += [stored, deleter]
        opaque = self.handle(
            "LiteRtCreateOpaqueOptions", c_char_p(identifier.encode()), ctypes.cast(stored, c_void_p), deleter
        )
        self("LiteRtAddOpaqueOptions", options, opaque)


class CompiledModel:
    """A model that is ready to run, its inputs set."""

    def __init__(self, runtime: LiteRtLibrary, environment: c_void_p, request: dict[str, Any]) -> None:
        self.runtime, self.environment = runtime, environment
        options = runtime.handle("LiteRtCreateOptions")
        runtime("LiteRtSetOptionsHardwareAccelerators", options, c_int(CPU))
        if request["runs"]:
            runtime.add_options(options, "runtime_options_string", "enable_profiling = true\n")
        kernels = f'num_threads = {request["threads"]}\nkernel_mode = "{KERNELS[request["kernels"]]}"\n'
        runtime.add_options(options, "xnnpack", kernels)
        model = runtime.handle("LiteRtCreateModelFromFile", environment, c_char_p(request["model"].encode()))
        self.number = c_size_t(request["signature"])
        self.signature = runtime.handle("LiteRtGetModelSignature", model, self.number)
        self.model = runtime.handle("LiteRtCreateCompiledModel", environment, model, options)
        names = self._input_names()
        for place, name in enumerate(names):
            self._resize(place, request["shapes"].get(name, []))
        self.inputs = self._buffers("Input")
        self.outputs = self._buffers("Output")
        for place, name in enumerate(names):
            self._write(self.inputs[place], Path(request["inputs"][name]).read_bytes())

    def run(self) -> None:
        """One inference."""
        given, made = (c_void_p * len(self.inputs))(*self.inputs), (c_void_p * len(self.outputs))(*self.outputs)
        sizes = c_size_t(len(given)), c_size_t(len(made))
        self.runtime("LiteRtRunCompiledModel", self.model, self.number, sizes[0], given, sizes[1], made)

    def profile(self, runs: int) -> list[list[list[Any]]]:
        """The events of so many runs, of fewer where they are long."""
        profiler = self.runtime.handle("LiteRtCompiledModelGetProfiler", self.model)
        found: list[list[list[Any]]] = []
        ends = time.monotonic() + PROFILE_SECONDS
        while len(found) < runs and (len(found) < LEAST_PROFILED or time.monotonic() < ends):
            self.runtime("LiteRtResetProfiler", profiler)
            self.runtime("LiteRtStartProfiler", profiler)
            self.run()
            self.runtime("LiteRtStopProfiler", profiler)
            found.append(self._events(profiler))
        return found

    def _events(self, profiler: c_void_p) -> list[list[Any]]:
        count = c_int()
        self.runtime("LiteRtGetNumProfilerEvents", profiler, byref(count))
        events = (Event * max(1, count.value))()
        self.runtime("LiteRtGetProfilerEvents", profiler, count, events)
        return [
            [event.type, (event.tag or b"").decode("utf-8", "replace"), event.node, event.subgraph, event.elapsed_us]
            for event in events[: count.value]
        ]

    def _input_names(self) -> list[str]:
        names = []
        for place in range(self._count("Input")):
            name = c_char_p()
            self.runtime("LiteRtGetSignatureInputName", self.signature, c_size_t(place), byref(name))
            names.append((name.value or b"").decode())
        return names

    def _count(self, side: str) -> int:
        return self.runtime.count(f"LiteRtGetNumSignature{side}s", self.signature)

    def _resize(self, place: int, sizes: list[int]) -> None:
        if sizes:
            given, count = (c_int * len(sizes))(*sizes), c_size_t(len(sizes))
            self.runtime("LiteRtCompiledModelResizeInputTensor", self.model, self.number, c_size_t(place), given, count)

    def _layouts(self, side: str) -> list[bytes]:
        """The LiteRtLayout of each tensor, with the sizes that it has now: the file tells of others."""
        count = self._count(side)
        room = ctypes.create_string_buffer(LAYOUT_BYTES * max(1, count))
        if side == "Output":
            name = "LiteRtGetCompiledModelOutputTensorLayouts"
            self.runtime(name, self.model, self.number, c_size_t(count), room, c_bool(True))
        for place in range(count if side == "Input" else 0):
            start = byref(room, LAYOUT_BYTES * place)
            self.runtime("LiteRtGetCompiledModelInputTensorLayout", self.model, self.number, c_size_t(place), start)
        return [room.raw[LAYOUT_BYTES * place : LAYOUT_BYTES * (place + 1)] for place in range(count)]

    def _buffers(self, side: str) -> list[int]:
        made = []
        for place, layout in enumerate(self._layouts(side)):
            index = c_size_t(place)
            tensor = self.runtime.handle(f"LiteRtGetSignature{side}TensorByIndex", self.signature, index)
            kind = ctypes.create_string_buffer(TYPE_BYTES)
            self.runtime("LiteRtGetRankedTensorType", tensor, kind)
            ctypes.memmove(byref(kind, LAYOUT_START), layout, LAYOUT_BYTES)
            needs = self.runtime.handle(
                f"LiteRtGetCompiledModel{side}BufferRequirements", self.model, self.number, index
            )
            name = "LiteRtCreateManagedTensorBufferFromRequirements"
            made.append(self.runtime.handle(name, self.environment, kind, needs).value or 0)
        return made

    def _write(self, buffer: int, values: bytes) -> None:
        room = self.runtime.count("LiteRtGetTensorBufferPackedSize", c_void_p(buffer))
        if room != len(values):
            raise RefusedError(f"an input takes {room} bytes, not {len(values)}")
        place = c_void_p()
        self.runtime("LiteRtLockTensorBuffer", c_void_p(buffer), byref(place), c_int(WRITE))
        ctypes.memmove(place, values, len(values))
        self.runtime("LiteRtUnlockTensorBuffer", c_void_p(buffer))


def status_figure(name: str) -> int:
    """A figure of /proc/self/status: VmRSS is what is resident now, VmHWM the most that ever was, both in KiB."""
    for line in Path("/proc/self/status").read_text().split("\n"):
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise RefusedError(f"the kernel does not tell {name}")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """All that is asked of this process. What is resident before the model comes is taken off its peak."""
    runtime = LiteRtLibrary(request["library"])
    environment = runtime.handle("LiteRtCreateEnvironment", c_int(0), None)
    before = status_figure("VmRSS")
    compiled = CompiledModel(runtime, environment, request)
    for _ in range(WARMUPS):
        compiled.run()
    threads = status_figure("Threads")
    if request["runs"]:
        return {"profiles": compiled.profile(request["runs"]), "threads": threads}
    return {"peak_bytes": (status_figure("VmHWM") - before) * 1024, "threads": threads}


def main() -> None:
    """Answer and end at once: the library's own ending is not what is asked for."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    request = json.loads(Path(sys.argv[1]).read_text())
    try:
        found = answer(request)
    except (RefusedError, AttributeError, OSError) as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    Path(sys.argv[2]).write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
