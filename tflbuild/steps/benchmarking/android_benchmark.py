"""The step `benchmark_android`: the artifact timed on an Android device over adb, by TFLite's own `benchmark_model`.

Everything that is told was measured and printed by that tool on that device. What it does not print is None.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tflbuild.core.digest import Json
from tflbuild.runtime.step_contract import Facts, StepRequest, WorkerError, end_with_parent
from tflbuild.steps.benchmarking.benchmark_output import BenchmarkRun, parse

FOLDER = "/data/local/tmp"
BINARY = f"{FOLDER}/benchmark_model"
SECONDS = 600.0  # for one command; benchmark_model ends its runs after 150 s by itself
DEVICE_STATES = {
    "unauthorized": "allow this computer on the device's screen, then again",
    "offline": "plug it in again, or `adb reconnect`",
}
DELEGATES = {
    "xnnpack": ("--use_xnnpack=true",),
    "none": ("--use_xnnpack=false",),
    "gpu": ("--use_xnnpack=false", "--use_gpu=true"),
}
PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.product.device",
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.product.cpu.abi",
)
BUILD_IT = (
    "give target.benchmark_binary the path of an Android build of benchmark_model (arm64-v8a for most phones), or"
    f" push one to {BINARY}"
)


@dataclass(frozen=True)
class AndroidDevice:
    """A line of `adb devices`. `state` is `device` for one that can be used."""

    serial: str
    state: str


@dataclass(frozen=True)
class Adb:
    """The program, and the device that it speaks to, "" before one is chosen."""

    program: str
    serial: str = ""

    def __call__(self, *arguments: str) -> str:
        """What a command printed, its errors too. Raises WorkerError when it failed."""
        chosen = ["-s", self.serial] if self.serial else []
        command = [self.program, *chosen, *arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                preexec_fn=end_with_parent,
                check=False,
                env={"HOME": str(Path.home()), **os.environ},  # where adb has the key that the device knows
            )
        except subprocess.TimeoutExpired as error:
            raise WorkerError(
                f"`adb {arguments[0]}` had not ended after {SECONDS:g} s", kind="environment", transient=True
            ) from error
        text = done.stdout.decode("utf-8", "replace").replace("\r", "")
        if done.returncode:
            raise WorkerError(
                f"`adb {arguments[0]}` failed with code {done.returncode}",
                kind="environment",
                why=next((line for line in reversed(text.split("\n")) if line.strip()), ""),
                next_step="`adb devices` says whether the device is still there",
            )
        return text

    def shell(self, *words: str) -> str:
        """A command on the device."""
        return self("shell", shlex.join(words))

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        return "yes" in self("shell", f"test -f {shlex.quote(path)} && echo yes || echo no")


def run(request: StepRequest) -> Facts:
    """Outputs benchmark.json; facts: the same.

    `params.target`: delegate (xnnpack | none | gpu), threads, benchmark_binary (a path here, "" for the one on the
    device), serial ("" for the only device), adb (a path, "" for the one on PATH). `params.runs` at least are timed.
    """
    target = request.params["target"]
    adb = open_device(target.get("adb", ""), target.get("serial", ""))
    binary = push_binary(adb, target.get("benchmark_binary", ""))
    model = f"{FOLDER}/tflbuild-{request.folder.name}.tflite"
    adb("push", str(request.inputs["model"]), model)
    try:
        flags = flags_of(model, target, request.params["runs"])
        timed = parse(adb.shell(binary, *flags))
        profiled = parse(adb.shell(binary, *flags, "--enable_op_profiling=true"))
    finally:
        with suppress(WorkerError):  # a device that is gone: what went wrong before is the reason
            adb.shell("rm", "-f", model)
    report = report_of(adb, target, timed, profiled)
    request.write_json("benchmark.json", report)
    return report


def find_adb(program: str) -> str:
    """The program. Raises WorkerError where there is none."""
    found = shutil.which(program or "adb")
    if found is None:
        raise WorkerError(
            "an Android device cannot be reached: there is no adb",
            kind="environment",
            why=f"{program} is no program" if program else "it is not on PATH",
            next_step="install Android's platform tools, plug a device in and allow USB debugging",
        )
    return found


def open_device(program: str, serial: str) -> Adb:
    """The device that is meant. Raises WorkerError where there is none, or several and none is named."""
    adb = Adb(find_adb(program))
    return Adb(adb.program, choose(attached(adb("devices")), serial))


def attached(text: str) -> list[AndroidDevice]:
    """What `adb devices` lists; lines of its daemon begin with an asterisk."""
    _, _, listed = text.partition("List of devices attached")
    found = [line.split() for line in listed.split("\n") if line.strip() and not line.startswith("*")]
    return [AndroidDevice(words[0], words[1]) for words in found if len(words) > 1]


def choose(devices: Sequence[AndroidDevice], serial: str) -> str:
    """The serial number of the device to use. Raises WorkerError where that is not clear."""
    usable = [one.serial for one in devices if one.state == "device"]
    named = [one for one in devices if one.serial == serial] if serial else list(devices)
    if serial and serial in usable:
        return serial
    if not serial and len(usable) == 1:
        return usable[0]
    if not serial and len(usable) > 1:
        raise WorkerError(
            f"{len(usable)} Android devices are attached",
            kind="recipe",
            why=f"which one is meant is not said: {', '.join(usable)}",
            next_step=f"target.serial={usable[0]}",
        )
    unusable = [one for one in named if one.state != "device"]
    if unusable:
        one = unusable[0]
        raise WorkerError(
            f"the Android device {one.serial} cannot be used",
            kind="environment",
            why=f"adb says: {one.state}",
            next_step=DEVICE_STATES.get(one.state, "`adb devices` must say `device`"),
        )
    raise WorkerError(
        f"no Android device {serial} is attached" if serial else "no Android device is attached",
        kind="environment",
        why=f"there are: {', '.join(usable)}" if usable else "adb lists none",
        next_step=f"target.serial={usable[0]}" if usable else "plug one in and allow USB debugging on it",
    )


def push_binary(adb: Adb, binary: str) -> str:
    """Where `benchmark_model` is on the device. Raises WorkerError where there is none."""
    if not binary:
        if adb.has(BINARY):
            return BINARY
        raise WorkerError(
            "there is no benchmark_model on the device",
            kind="environment",
            why=f"{BINARY} is not there, and target.benchmark_binary is not set",
            next_step=BUILD_IT,
        )
    if not Path(binary).is_file():
        raise WorkerError(f"{binary} is no file", kind="recipe", where="target.benchmark_binary", next_step=BUILD_IT)
    there = f"{FOLDER}/tflbuild-benchmark_model"
    adb("push", binary, there)
    adb.shell("chmod", "755", there)
    return there


def flags_of(model: str, target: dict[str, Json], runs: int) -> list[str]:
    """The tool's flags."""
    delegate = DELEGATES[target.get("delegate", "xnnpack")]
    return [f"--graph={model}", f"--num_threads={target.get('threads', 1)}", f"--num_runs={runs}", *delegate]


def device_name(adb: Adb) -> str:
    """`Google Pixel 7 (panther), Android 14, API 34, arm64-v8a`, as the device says."""
    told = {name: adb.shell("getprop", name).strip() for name in PROPERTIES}
    maker, model, code, release, api, abi = (told[name] for name in PROPERTIES)
    return f"{maker} {model} ({code}), Android {release}, API {api}, {abi}"


def report_of(adb: Adb, target: dict[str, Json], timed: BenchmarkRun, profiled: BenchmarkRun) -> dict[str, Json]:
    """The benchmark's report. Times are milliseconds."""
    return {
        "device": device_name(adb),
        "serial": adb.serial,
        "delegate": target.get("delegate", "xnnpack"),
        "threads": target.get("threads", 1),
        **timed.as_json(),
        "profile": {
            "how": "benchmark_model --enable_op_profiling=true on the device, in a run of its own",
            "why": "" if profiled.operators else "benchmark_model printed no profile",
            "operators": [entry.as_json() for entry in sorted(profiled.operators, key=lambda one: -one.ms)],
        },
    }
