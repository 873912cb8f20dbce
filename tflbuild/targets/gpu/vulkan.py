"""The Vulkan drivers of this machine, hardware or software, on which LiteRT's GPU delegate can run.

Only files are examined, and nothing is loaded. Whether a driver has a device that LiteRT supports is only known when a
step tries it. `VulkanDrivers.candidates` are tried in their order, hardware before software.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# The variables that the loader reads. The newer name has precedence.
NAMED_BY = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
ICD_FOLDERS = ("/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d")
HOME_FOLDERS = (".config/vulkan/icd.d", ".local/share/vulkan/icd.d")
SWIFTSHADER = "vk_swiftshader_icd.json"
BROWSERS = (
    *("/usr/lib/chromium", "/usr/lib64/chromium-browser", "/usr/lib/chromium-browser", "/usr/share/chromium"),
    *("/opt/google/chrome", "/opt/google/chrome-beta", "/opt/google/chrome-unstable", "/opt/chromium.org/chromium"),
    *("/opt/microsoft/msedge", "/opt/brave.com/brave"),
)
HOME_BROWSERS = (
    *(".cache/ms-playwright/chromium-*/chrome-linux*", ".cache/ms-playwright/chromium_headless_shell-*/chrome-linux*"),
    ".cache/puppeteer/chrome*/*/chrome*-linux*",
)
# Parts of file names of software drivers.
PROGRAMS = ("lvp_icd", "swiftshader", "lavapipe", "llvmpipe")
# A hardware driver needs one of these. Without it, its package is installed, but there is no device.
DEVICES = ("dev/dri/renderD*", "dev/nvidia[0-9]*", "dev/kgsl-3d0", "dev/mali0", "dev/dxg")
CHIPS = ("sys/class/drm/renderD*/device/vendor", "sys/class/drm/renderD*/device/device", "proc/driver/nvidia/version")
LOADER = "libvulkan.so.1"
LIBRARIES = (
    *("usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib64", "lib64", "usr/local/lib", "usr/local/lib64"),
    *("usr/lib", "lib", "usr/local/lib/*-linux-gnu", "usr/local/nvidia/lib64"),
)
INSTALL = "apt-get install libvulkan1 chromium (its SwiftShader runs Vulkan on any CPU), or a GPU's own Vulkan driver"


@dataclass(frozen=True)
class VulkanDriver:
    """A driver.

    Attributes:
        name: The name.
        icd: Its ICD file.
        library: Its library, "" if only the loader can find it.
        software: Whether it is software.
        digest: SHA-256 over the bytes of both files.
    """

    name: str
    icd: str
    library: str
    software: bool
    digest: str


@dataclass(frozen=True)
class VulkanDrivers:
    """The drivers of a machine.

    Attributes:
        candidates: The drivers, in the order in which they are tried.
        loader: The path of libvulkan.so.1.
        digest: The part of a step's cache key: the bytes of drivers, and the devices.
        lacks: What is missing, "" if the GPU target can be tried.
        install: What to install then.
    """

    candidates: tuple[VulkanDriver, ...]
    loader: str
    digest: str
    lacks: str = ""
    install: str = ""


def find_drivers(environment: Mapping[str, str] | None = None, root: Path = Path("/")) -> VulkanDrivers:
    """Find the drivers of the machine.

    If $VK_DRIVER_FILES or $VK_ICD_FILENAMES names drivers, only these are used, because the user chose them. Otherwise
    the loader's folders are searched, and those of browsers for SwiftShader, the first software driver. Libraries are
    read for the digest.

    Args:
        environment: Environment variables, by default those of this process.
        root: The root of the file system.
    """
    variables = os.environ if environment is None else environment
    named = next((variables[name] for name in NAMED_BY if variables.get(name)), "")
    if named:
        drivers = list(_named(named))
    else:
        found = [_driver(path, root) for path in _installed(variables, root)]
        known = [driver for driver in found if driver is not None]
        chips = [driver for driver in known if not driver.software] if _any(root, DEVICES) else []
        drivers = [*chips, *sorted((one for one in known if one.software), key=lambda one: SWIFTSHADER not in one.icd)]
    loader = _loader(drivers, variables, root)
    lacks = _lacks(named, drivers, loader)
    seen = [loader, *(f"{one.name} {one.digest}" for one in drivers), *_chips(root)]
    digest = hashlib.sha256("\n".join(seen).encode()).hexdigest()
    return VulkanDrivers(tuple(drivers), loader, digest, lacks, INSTALL if lacks else "")


def variables_for(driver: VulkanDriver, scratch: Path) -> dict[str, str]:
    """Return the environment variables that a process needs before its first GPU call.

    `scratch` is a writable folder.
    """
    return {"VK_DRIVER_FILES": driver.icd, "VK_ICD_FILENAMES": driver.icd, "XDG_RUNTIME_DIR": str(scratch)}


def _lacks(named: str, drivers: list[VulkanDriver], loader: str) -> str:
    if not drivers:
        return f"none of the Vulkan drivers that were named is there: {named}" if named else "no Vulkan driver is here"
    return "" if loader else f"a Vulkan driver is here, but not the loader of them, {LOADER}"


def _named(named: str) -> Iterator[VulkanDriver]:
    for path in named.split(os.pathsep):
        driver = _driver(Path(path), Path("/")) if path else None
        if driver is not None:
            yield driver


def _installed(variables: Mapping[str, str], root: Path) -> Iterator[Path]:
    home = root / variables["HOME"].lstrip("/") if variables.get("HOME") else None
    folders = [root / folder.lstrip("/") for folder in ICD_FOLDERS]
    browsers = [root / folder.lstrip("/") for folder in BROWSERS]
    if home is not None:
        folders += [home / folder for folder in HOME_FOLDERS]
        browsers += [path for pattern in HOME_BROWSERS for path in sorted(home.glob(pattern))]
    for folder in folders:
        yield from sorted(folder.glob("*.json"))
    yield from (folder / SWIFTSHADER for folder in browsers)


def _driver(icd: Path, root: Path) -> VulkanDriver | None:
    """None where the file is none, or its library is not there: the loader would pass over it."""
    try:
        text = icd.read_bytes()
        stated = str(json.loads(text)["ICD"]["library_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    library = _library(icd, stated, root)
    if library is None:
        return None
    digest = hashlib.sha256(text)
    if library.is_file():
        digest.update(library.read_bytes())
    software = any(mark in icd.name for mark in PROGRAMS)
    return VulkanDriver(icd.stem, str(icd), str(library) if library.is_file() else "", software, digest.hexdigest())


def _library(icd: Path, stated: str, root: Path) -> Path | None:
    """The file behind an ICD: beside it, at a path, or where libraries lie. A bare name may be the loader's to find."""
    if "/" in stated:
        path = root / stated.lstrip("/") if stated.startswith("/") else icd.parent / stated
        return path if path.is_file() else None
    places = (path / stated for pattern in LIBRARIES for path in sorted(root.glob(pattern)))
    return next((path for path in places if path.is_file()), Path(stated))


def _loader(drivers: list[VulkanDriver], variables: Mapping[str, str], root: Path) -> str:
    """Where libvulkan.so.1 is: browsers bring one along."""
    own = [Path(folder) for folder in variables.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    system = [path for pattern in LIBRARIES for path in sorted(root.glob(pattern))]
    beside = [Path(driver.icd).parent for driver in drivers]
    return next((str(folder / LOADER) for folder in (*own, *system, *beside) if (folder / LOADER).is_file()), "")


def _any(root: Path, patterns: tuple[str, ...]) -> bool:
    return any(True for pattern in patterns for _ in root.glob(pattern))


def _chips(root: Path) -> Iterator[str]:
    for pattern in CHIPS:
        for path in sorted(root.glob(pattern)):
            try:
                yield path.read_text(errors="replace").strip()
            except OSError:
                continue
