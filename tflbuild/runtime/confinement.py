"""What a step's process may touch: its own folder and what it has to read, no network, no other process.

Landlock keeps it from files, `seccomp` from sockets, and the kernel's limits from memory. A step that fetches keeps the
network and the user's credentials; one that runs a call of the recipe keeps the network and Keras's cache, where Keras
puts weights that it downloads, unless confinement is required. A step that drives a device keeps everything.
"""

from __future__ import annotations

import glob
import os
import resource
import site
import sys
from collections.abc import Iterator
from pathlib import Path

from tflbuild.core.worker_protocol import CONFINEMENT, REQUIRED, TURNED_OFF
from tflbuild.runtime.landlock import LEAST_VERSION, LandlockAccess, landlock_version, restrict_access
from tflbuild.runtime.seccomp import can_filter, drop_capabilities, filter_calls
from tflbuild.runtime.step_contract import StepRequest, WorkerError

CODE = "code"
PACKAGE = Path(__file__).resolve().parents[1]
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/sys", "/nix"),
    # Of /dev, what computes, measures and draws random numbers. Disks, terminals and shared memory are not in it.
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/dri", "/dev/kfd", "/dev/dxg"),
    *("/run/opengl-driver", "/run/current-system", "/var/cache/fontconfig"),
)
# Of /etc, what libraries read while they load. Keys, passwords and mail are not in it.
SETTINGS = (
    *("alternatives", "ca-certificates", "debian_version", "fonts", "gai.conf", "glvnd", "group", "host.conf"),
    *("hostname", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "locale.alias"),
    *("locale.conf", "localtime", "lsb-release", "machine-id", "magic", "magic.mime", "matplotlibrc", "mime.types"),
    *("nsswitch.conf", "nvidia", "OpenCL", "os-release", "passwd", "pki/ca-trust", "pki/tls/cert.pem"),
    *("pki/tls/certs", "pki/tls/openssl.cnf", "protocols", "python3", "resolv.conf", "services", "ssl/cert.pem"),
    *("ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "vulkan"),
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/dri", "/dev/kfd", "/dev/dxg", "/dev/mali0")
GPU_DEVICES = "/dev/nvidia*"
SHARED_MEMORY = "/dev/shm"  # where locks between Python processes lie
CACHES = (".cache", ".config/matplotlib", ".keras", ".matplotlib")  # below the home folder
DOWNLOADED = (".keras", ".cache/kagglehub")  # of these, where verified downloads are put
NAMING_FILES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
NAMING_FOLDERS = ("PATH", "LD_LIBRARY_PATH")
FREE = ("steps.benchmarking.android_benchmark",)  # modules of steps that drive a device, through a server of the user's
CALL = "call"
NAMES_CODE = (CALL, "custom_objects", "metrics")  # parameters


def find_missing_confinement() -> str:
    """Return why steps cannot be confined here; "" where they can, or where nobody asks for it."""
    if os.environ.get(CONFINEMENT) == TURNED_OFF:
        return ""
    if landlock_version() < LEAST_VERSION:
        return "the kernel has no Landlock (Linux 5.19 or later, and not disabled)"
    return "" if can_filter() else "the kernel takes no seccomp filter for this architecture"


def confine(request: StepRequest, module: str, memory: int) -> list[str]:
    """Confine this process for a step, for good, and return what is in force: `files`, `network`, `memory`.

    Args:
        request: The step's; its folder stays writable.
        module: The worker module that will run.
        memory: The most that the process may allocate, in bytes.

    Raises:
        WorkerError: Confinement is required and the kernel does not do it.
    """
    modes = (request.confinement, os.environ.get(CONFINEMENT, ""))  # of who builds, and of this machine
    strict = REQUIRED in modes
    if module in FREE or (TURNED_OFF in modes and not strict):
        return []
    runs_code = any(request.params.get(name) for name in NAMES_CODE)
    online = request.network or (bool(request.params.get(CALL)) and not strict)
    access = LandlockAccess(
        readable=["/"] if request.network else list(list_readable(request, runs_code=runs_code)),
        listed=list_listed(request),
        writable=list(list_writable(request, downloads=online, shared_memory=runs_code)),
        network=online,
    )
    if not runs_code and not request.network:
        os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
        os.environ["HOME"] = str(request.folder)  # compilers keep files there, and fail where they cannot
    drop_capabilities()
    done = {
        "files": restrict_access(access),
        "network": filter_calls(network=online, local_sockets=online or runs_code) and not online,
        "memory": limit_memory(memory),
    }
    if strict and not (done["files"] and (done["network"] or online)):
        raise WorkerError(
            "the step's process cannot be confined",
            kind="environment",
            where=CONFINEMENT,
            why=find_missing_confinement() or "the kernel refused the rules",
            next_step=f"build on another machine, or without {CONFINEMENT}={REQUIRED}",
        )
    return [name for name, in_force in done.items() if in_force]


def limit_memory(limit: int) -> bool:
    """Have allocations beyond `limit` bytes fail. Address space that is only reserved does not count."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return True


def list_readable(request: StepRequest, *, runs_code: bool) -> Iterator[str]:
    """Yield what a step may read: its folder and inputs, packages, code, the system, drivers and tools."""
    yield from allowed_folders(request)
    yield from original_files(request)
    for name in NAMING_FILES:
        yield from _split(name)
    tools = [os.path.realpath(path) for name in NAMING_FOLDERS for path in _split(name)]
    modules = list(code_folders())
    if runs_code:
        yield from (*modules, *list_caches())
    home = os.path.realpath(os.path.expanduser("~"))
    yield from (path for path in (*modules, *tools) if not below(home, path))


def list_writable(request: StepRequest, *, downloads: bool, shared_memory: bool) -> Iterator[str]:
    """Yield what a step may change: its folder, devices that compute, and where downloads are kept."""
    yield os.path.realpath(request.folder)
    yield from DEVICES
    yield from glob.glob(GPU_DEVICES)
    if downloads:
        yield from (os.path.realpath(os.path.join(os.path.expanduser("~"), cache)) for cache in DOWNLOADED)
    if shared_memory:
        yield SHARED_MEMORY


def list_listed(request: StepRequest) -> list[str]:
    """Return folders that may be listed: where modules are looked for, and those of the declared files."""
    places = dict.fromkeys(os.path.dirname(path) for path in original_files(request))
    return ["/dev", *(os.path.abspath(path) for path in sys.path), *places]


def allowed_folders(request: StepRequest) -> Iterator[str]:
    """Yield the real paths of what any step may read: its folder and inputs, packages and the system."""
    yield os.path.realpath(request.folder)
    yield from (os.path.realpath(path) for name, path in request.inputs.items() if name != CODE)
    for path in request.inputs.values():
        if path.is_dir() and not path.is_symlink():
            yield from (os.path.realpath(one) for one in files_below(str(path)) if os.path.islink(one))
    settings = (f"/etc/{name}" for name in SETTINGS)
    for folder in (sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE), *site.getsitepackages(), *SYSTEM):
        yield os.path.realpath(folder)
    yield from (os.path.realpath(path) for path in settings)
    yield from glob.glob(GPU_DEVICES)
    if site.ENABLE_USER_SITE:
        yield os.path.realpath(site.getusersitepackages())


def list_caches() -> Iterator[str]:
    """Yield the caches below the home folder that a recipe's code may read: their owners verify what they hold."""
    yield from (os.path.realpath(os.path.join(os.path.expanduser("~"), cache)) for cache in CACHES)
    yield SHARED_MEMORY


def code_folders() -> Iterator[str]:
    """Yield further folders of modules: PYTHONPATH and editable installs, whose digests are in the key."""
    yield from (
        os.path.realpath(path) for path in sys.path if path and os.path.isdir(path) and path != str(PACKAGE.parent)
    )
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            yield from (os.path.realpath(path) for path in getattr(module, "MAPPING", {}).values())


def code_root(request: StepRequest) -> str:
    """Return where copies of the declared files lie; a place that does not exist for an installed module."""
    return os.path.realpath(request.inputs.get(CODE, Path("/nowhere")))


def original_files(request: StepRequest) -> list[str]:
    """Return the user's own files that were declared and copied."""
    root, origin = code_root(request), request.origins.get(CODE, "")
    return [origin + file.removeprefix(root) for file in files_below(root)] if origin else []


def files_below(folder: str) -> Iterator[str]:
    """Yield every file below a folder."""
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


def below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies below it."""
    return bool(folder) and (path == folder or path.startswith(folder.rstrip("/") + "/"))


def _split(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, "").split(os.pathsep) if path]
