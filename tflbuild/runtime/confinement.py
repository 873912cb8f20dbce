"""Confinement of a step's process: it may use its own folder and its inputs, no network and no other process.

Landlock restricts files, `seccomp` restricts sockets, and a resource limit of the kernel restricts memory.

Some steps may use more:
- A step that fetches a source may use the network, and read all files, since the user's credentials are among them.
- A step that calls a function of the recipe (`call`) may use the network and Keras's cache, where Keras stores the
  weights that it downloads. Not if confinement is required.
- A step that drives a device (`UNCONFINED_MODULES`) is not confined.
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
    # The devices in /dev that compute and that generate random numbers. Disks, terminals and shared memory are not
    # included.
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/dri", "/dev/kfd", "/dev/dxg"),
    *("/run/opengl-driver", "/run/current-system", "/var/cache/fontconfig"),
)
# The entries of /etc that libraries read while they are loaded. Keys, passwords and mail are not included.
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
# Python's multiprocessing locks are files in this folder.
SHARED_MEMORY = "/dev/shm"
# Folders below the home folder.
CACHES = (".cache", ".config/matplotlib", ".keras", ".matplotlib")
# The caches into which libraries download files whose hashes they verify.
DOWNLOAD_CACHES = (".keras", ".cache/kagglehub")
FILE_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
FOLDER_VARIABLES = ("PATH", "LD_LIBRARY_PATH")
# Modules of steps that drive a device through a server that belongs to the user, such as the server of adb.
UNCONFINED_MODULES = ("steps.benchmarking.android_benchmark",)
CALL = "call"
# Parameters of a step that name user code.
CODE_PARAMETERS = (CALL, "custom_objects", "metrics")


def find_missing_confinement() -> str:
    """Return why steps cannot be confined on this machine; "" if they can be, or if confinement is turned off."""
    if os.environ.get(CONFINEMENT) == TURNED_OFF:
        return ""
    if landlock_version() < LEAST_VERSION:
        return "the kernel has no Landlock (it needs Linux 5.19 or later, and must not be disabled)"
    return "" if can_filter() else "the kernel has no seccomp filter for this architecture"


def confine(request: StepRequest, module: str, memory: int) -> list[str]:
    """Confine this process for a step. The confinement lasts until the process ends.

    Args:
        request: The request of the step. Its folder stays writable.
        module: The worker module that will run.
        memory: The maximum that the process may allocate, in bytes.

    Returns:
        The restrictions that are in force, of `files`, `network` and `memory`.

    Raises:
        WorkerError: Confinement is required, but the kernel does not support it.
    """
    # The first mode is the choice of the build, the second one is the choice of this machine.
    modes = (request.confinement, os.environ.get(CONFINEMENT, ""))
    strict = REQUIRED in modes
    if module in UNCONFINED_MODULES or (TURNED_OFF in modes and not strict):
        return []
    runs_code = any(request.params.get(name) for name in CODE_PARAMETERS)
    online = request.network or (bool(request.params.get(CALL)) and not strict)
    access = LandlockAccess(
        readable=["/"] if request.network else list(list_readable(request, runs_code=runs_code)),
        listed=list_listed(request),
        writable=list(list_writable(request, downloads=online, shared_memory=runs_code)),
        network=online,
    )
    if not runs_code and not request.network:
        os.environ.setdefault("PYTHONUSERBASE", site.getuserbase())
        # Compilers write files to the home folder, and fail if it is not writable.
        os.environ["HOME"] = str(request.folder)
    drop_capabilities()
    restrictions = {
        "files": restrict_access(access),
        "network": filter_calls(network=online, local_sockets=online or runs_code) and not online,
        "memory": limit_memory(memory),
    }
    if strict and not (restrictions["files"] and (restrictions["network"] or online)):
        raise WorkerError(
            "the step's process cannot be confined",
            kind="environment",
            where=CONFINEMENT,
            why=find_missing_confinement() or "the kernel refused the rules",
            next_step=f"build on another machine, or without {CONFINEMENT}={REQUIRED}",
        )
    return [name for name, in_force in restrictions.items() if in_force]


def limit_memory(limit: int) -> bool:
    """Let allocations beyond `limit` bytes fail. Address space that is only reserved does not count. Return True."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return True


def list_readable(request: StepRequest, *, runs_code: bool) -> Iterator[str]:
    """Yield the paths that a step may read: its folder and inputs, packages, code, the system, drivers and tools."""
    yield from allowed_folders(request)
    yield from original_files(request)
    for variable in FILE_VARIABLES:
        yield from _split_variable(variable)
    tools = [os.path.realpath(path) for variable in FOLDER_VARIABLES for path in _split_variable(variable)]
    modules = list(code_folders())
    if runs_code:
        yield from (*modules, *list_caches())
    home = os.path.realpath(os.path.expanduser("~"))
    yield from (path for path in (*modules, *tools) if not below(home, path))


def list_writable(request: StepRequest, *, downloads: bool, shared_memory: bool) -> Iterator[str]:
    """Yield the paths that a step may change: its folder, devices that compute, and caches for downloads."""
    yield os.path.realpath(request.folder)
    yield from DEVICES
    yield from glob.glob(GPU_DEVICES)
    if downloads:
        yield from (os.path.realpath(os.path.join(os.path.expanduser("~"), cache)) for cache in DOWNLOAD_CACHES)
    if shared_memory:
        yield SHARED_MEMORY


def list_listed(request: StepRequest) -> list[str]:
    """Return the folders that a step may list: those of `sys.path`, and those of the declared files."""
    declared_folders = dict.fromkeys(os.path.dirname(path) for path in original_files(request))
    return ["/dev", *(os.path.abspath(path) for path in sys.path), *declared_folders]


def allowed_folders(request: StepRequest) -> Iterator[str]:
    """Yield the real paths that every step may read: its folder and inputs, packages and the system."""
    yield os.path.realpath(request.folder)
    yield from (os.path.realpath(path) for name, path in request.inputs.items() if name != CODE)
    for path in request.inputs.values():
        if path.is_dir() and not path.is_symlink():
            yield from (os.path.realpath(file) for file in files_below(str(path)) if os.path.islink(file))
    settings = (f"/etc/{name}" for name in SETTINGS)
    for folder in (sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE), *site.getsitepackages(), *SYSTEM):
        yield os.path.realpath(folder)
    yield from (os.path.realpath(path) for path in settings)
    yield from glob.glob(GPU_DEVICES)
    if site.ENABLE_USER_SITE:
        yield os.path.realpath(site.getusersitepackages())


def list_caches() -> Iterator[str]:
    """Yield the caches below the home folder that user code may read: the libraries verify the files in them."""
    yield from (os.path.realpath(os.path.join(os.path.expanduser("~"), cache)) for cache in CACHES)
    yield SHARED_MEMORY


def code_folders() -> Iterator[str]:
    """Yield further folders of modules: PYTHONPATH and editable installs. Their digests are in the cache key."""
    yield from (
        os.path.realpath(path) for path in sys.path if path and os.path.isdir(path) and path != str(PACKAGE.parent)
    )
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            yield from (os.path.realpath(path) for path in getattr(module, "MAPPING", {}).values())


def code_root(request: StepRequest) -> str:
    """Return the folder with the copies of the declared files; a missing path if the code is an installed module."""
    return os.path.realpath(request.inputs.get(CODE, Path("/nowhere")))


def original_files(request: StepRequest) -> list[str]:
    """Return the original paths of the declared files, which are in the user's project."""
    root, origin = code_root(request), request.origins.get(CODE, "")
    return [origin + file.removeprefix(root) for file in files_below(root)] if origin else []


def files_below(folder: str) -> Iterator[str]:
    """Yield every file below a folder."""
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


def below(path: str, folder: str) -> bool:
    """Return whether a path is `folder` or is below it."""
    return bool(folder) and (path == folder or path.startswith(folder.rstrip("/") + "/"))


def _split_variable(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, "").split(os.pathsep) if path]
