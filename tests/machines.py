"""Other machines, emulated: x86-64 CPUs and 64-bit Arm. Each is a program that takes the place of Python.

What the emulated Arm machine needs (a Debian without its own programs run, and wheels) is made on first use below
`$TFLBUILD_MACHINES`, else in the user's cache folder: about 2 GB, for which it takes apt's and pip's sources.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from packaging.requirements import Requirement

from tflbuild.locations import cache_folder

NATIVE = "native"
ARM = "aarch64"
ARM_CPU = "neoverse-n1"  # with qemu 7.2's `max`, XNNPACK's int8 kernels give wrong values
X86_CPUS = ("Haswell", "EPYC", "Skylake-Server")
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
DEBIANS = {"python3.11": "bookworm", "python3.13": "trixie"}  # releases whose Python the wheels must be made for
DEBIAN_PACKAGES = (f"{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "libstdc++6", "libgomp1", "zlib1g")
GLIBCS = (17, 24, 26, 27, 28, 31, 34)  # minor versions that wheels are tagged with
PURE = {"antlr4-python3-runtime"}  # packages without wheels: Python alone, copied from this environment
EXTRAS = ("tensorflow-model-optimization",)  # which the models take without further packages
PROGRAM = "TFLBUILD_TEST_PYTHON"  # what a step starts Python with: this program, and not the one that it runs
SERVER = Path(__file__).with_name("emulated_server.py")
IN_ONE_PROCESS = f'if [ "$3" = tflbuild.runtime.worker_server ]; then shift 3; set -- {SERVER} "$@"; fi'  # behind -P -m
# LiteRT's cpuinfo library dereferences a null pointer where an Arm processor is described as an x86 one, as qemu does.
ARM_PROCESSOR = """processor\t: {number}
BogoMIPS\t: 125.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""


@dataclass(frozen=True)
class Machine:
    """A machine, and the program that is its Python."""

    name: str
    python: Path


def machines_folder() -> Path:
    """Return where machines are kept between runs."""
    return cache_folder("TFLBUILD_MACHINES", "tflbuild-machines")


def open_machine(name: str, folder: Path) -> Machine:
    """Return a machine, whose program is written into a folder."""
    if name == NATIVE:
        return Machine(name, Path(sys.executable))
    if name == ARM:
        root, wheels = make_arm_root(), fetch_arm_wheels()
        lines = [
            f'export PYTHONPATH="$PYTHONPATH:{wheels}"',
            f'exec {find_emulator("aarch64")} -cpu {ARM_CPU} -L {root} {root}/usr/bin/{PYTHON} "$@"',
        ]
    else:
        lines = [f'exec {find_emulator("x86_64")} -cpu {name} {sys.executable} "$@"']
    program = folder / f"python-on-{name}"
    program.write_text("\n".join(["#!/bin/sh", f"export {PROGRAM}={program}", IN_ONE_PROCESS, *lines, ""]))
    program.chmod(0o755)
    return Machine(name, program)


def find_emulator(architecture: str) -> str:
    """Return the path of an emulator. Raises FileNotFoundError where it is not installed."""
    found = shutil.which(f"qemu-{architecture}") or shutil.which(f"qemu-{architecture}-static")
    if found is None:
        raise FileNotFoundError(f"qemu-{architecture} is missing: apt-get install qemu-user")
    return found


def why_not(name: str) -> str:
    """Return what a machine lacks here, "" where it can be tried."""
    if name == NATIVE:
        return ""
    if name != ARM and platform.machine() != "x86_64":
        return "a CPU of x86-64 below the emulated one, since its Python is this machine's"
    try:
        find_emulator("aarch64" if name == ARM else "x86_64")
    except FileNotFoundError as error:
        return str(error)
    if name == ARM and PYTHON not in DEBIANS:
        return f"a Debian with {PYTHON}; there are those with {', '.join(DEBIANS)}"
    if name == ARM and shutil.which("mmdebstrap") is None:
        return "mmdebstrap"
    return ""


def make_arm_root() -> Path:
    """Return the root of a Debian for Arm, made where it is missing. No program of it is run for that."""
    root = machines_folder() / f"arm64-{DEBIANS[PYTHON]}"
    for scratch in fill_once(root):
        words = ["mmdebstrap", "--quiet", "--variant=extract", "--architectures=arm64"]
        subprocess.run([*words, f"--include={','.join(DEBIAN_PACKAGES)}", DEBIANS[PYTHON], scratch], check=True)
        (scratch / "proc").mkdir(exist_ok=True)
    processors = [ARM_PROCESSOR.format(number=number) for number in range(os.cpu_count() or 1)]
    (root / "proc" / "cpuinfo").write_text("".join(processors))
    return root


def fetch_arm_wheels() -> Path:
    """Return the folder of Python packages for Arm, in the versions of this environment."""
    pinned = {name: importlib.metadata.version(name) for name in sorted(list_packages())}
    folder = machines_folder() / f"wheels-{PYTHON}"
    wanted = "".join(f"{name}=={version}\n" for name, version in pinned.items())
    if folder.exists() and (folder / "pinned.txt").read_text() != wanted:
        shutil.rmtree(folder)
    for scratch in fill_once(folder):
        requirements = [f"{name}=={version}" for name, version in pinned.items() if name not in PURE]
        platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in GLIBCS]
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        where = ["--target", str(scratch), "--only-binary=:all:", *platforms, "--platform=manylinux2014_aarch64"]
        subprocess.run([*words, *where, *requirements], check=True)
        for name in PURE & pinned.keys():
            copy_package(name, scratch)
        (scratch / "pinned.txt").write_text(wanted)
    return folder


def fill_once(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder where `folder` is missing; once it is filled it takes that name."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return
        scratch = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            yield scratch
            scratch.chmod(0o755)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def list_packages() -> set[str]:
    """Return the names of the packages that tflbuild needs, and those that they need."""
    names: set[str] = set()
    waiting = ["tflbuild", *EXTRAS]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in names:
            continue
        names.add(name)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return names - {"tflbuild"}


def copy_package(name: str, target: Path) -> None:
    """Copy a package of this environment, with its metadata."""
    for file in importlib.metadata.files(name) or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), place)
