"""The step `benchmark_android`: TFLite's own `benchmark_model` times the artifact on an Android device, through adb.

All figures were measured and printed by that tool on that device. A figure that it does not print is None.
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
# The time limit of one command. benchmark_model ends its runs after 150 s.
SECONDS = 600.0
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
    "set target.benchmark_binary to the path of an Android build of benchmark_model (arm64-v8a for most phones), or"
    f" push one to {BINARY}"
)


@dataclass(frozen=True)
class AndroidDevice:
    """A line of `adb devices`. A usable device has the state `device`."""

    serial: str
    state: str


@dataclass(frozen=True)
class Adb:
    """The program adb, and the serial number of its device, "" before one is chosen."""

    program: str
    serial: str = ""

    def __call__(self, *arguments: str) -> str:
        """Run a command, and return what it printed, including errors.

        Raises:
            WorkerError: The command failed.
        """
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
        """Run a command on the device."""
        return self("shell", shlex.join(words))

    def has(self, path: str) -> bool:
        """Return whether a file exists on the device."""
        return "yes" in self("shell", f"test -f {shlex.quote(path)} && echo yes || echo no")


def run(request: StepRequest) -> Facts:
    """Time and profile the artifact on the device, and write benchmark.json.

    Args:
        request: `params.target` has `delegate` (xnnpack, none or gpu), `threads`, `benchmark_binary` (a path on this
            host, "" for the one on the device), `serial` ("" for the only device) and `adb` (a path, "" for the one on
            PATH). `params.runs` is the smallest number of timed inferences.

    Returns:
        The content of benchmark.json.

    Raises:
        WorkerError: No device or tool is available, or the tool failed.
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
        # If the device is gone, the error before is the one to report.
        with suppress(WorkerError):
            adb.shell("rm", "-f", model)
    report = report_of(adb, target, timed, profiled)
    request.write_json("benchmark.json", report)
    return report


def find_adb(program: str) -> str:
    """Return the path of adb.

    Raises:
        WorkerError: It is not installed.
    """
    path = shutil.which(program or "adb")
    if path is None:
        raise WorkerError(
            "an Android device cannot be reached: there is no adb",
            kind="environment",
            why=f"{program} is not a program" if program else "it is not on PATH",
            next_step="install Android's platform tools, plug a device in and allow USB debugging",
        )
    return path


def open_device(program: str, serial: str) -> Adb:
    """Choose the device.

    Raises:
        WorkerError: There is none, or there are several and none is named.
    """
    adb = Adb(find_adb(program))
    return Adb(adb.program, choose(attached(adb("devices")), serial))


def attached(text: str) -> list[AndroidDevice]:
    """Return the devices in the output of `adb devices`. Lines of its daemon start with an asterisk."""
    _, _, listed = text.partition("List of devices attached")
    found = [line.split() for line in listed.split("\n") if line.strip() and not line.startswith("*")]
    return [AndroidDevice(words[0], words[1]) for words in found if len(words) > 1]


def choose(devices: Sequence[AndroidDevice], serial: str) -> str:
    """Return the serial number of the device to use.

    Raises:
        WorkerError: There is none, or there are several and none is named.
    """
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
    """Return the path of `benchmark_model` on the device, after copying it if a path is set.

    Raises:
        WorkerError: There is none.
    """
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
    remote_path = f"{FOLDER}/tflbuild-benchmark_model"
    adb("push", binary, remote_path)
    adb.shell("chmod", "755", remote_path)
    return remote_path


def flags_of(model: str, target: dict[str, Json], runs: int) -> list[str]:
    """Return the flags of the tool."""
    delegate = DELEGATES[target.get("delegate", "xnnpack")]
    return [f"--graph={model}", f"--num_threads={target.get('threads', 1)}", f"--num_runs={runs}", *delegate]


def device_name(adb: Adb) -> str:
    """Return the name of the device from its properties: `Google Pixel 7 (panther), Android 14, API 34, arm64-v8a`."""
    values = {name: adb.shell("getprop", name).strip() for name in PROPERTIES}
    vendor, model, code, release, api, abi = (values[name] for name in PROPERTIES)
    return f"{vendor} {model} ({code}), Android {release}, API {api}, {abi}"


def report_of(adb: Adb, target: dict[str, Json], timed: BenchmarkRun, profiled: BenchmarkRun) -> dict[str, Json]:
    """Return the content of benchmark.json, with times in milliseconds."""
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
