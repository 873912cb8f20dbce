"""Refuse what a user's code reads outside its declared files: no key has it, so its change would rebuild nothing.

An audit hook sees what Python opens, lists and connects to. Native libraries (HDF5, TensorFlow, OpenCV) open files
themselves: Landlock stops them, where the kernel has it (Linux 5.19). Both last until the step's process ends.
Allowed are the step's folder, declared files at their own place, installed packages, the system's folders, and
caches below the home folder whose owners verify what they hold.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from tflbuild.runtime.confinement import (
    CODE,
    allowed_folders,
    below,
    code_folders,
    code_root,
    list_caches,
    list_listed,
    original_files,
)
from tflbuild.runtime.landlock import LandlockAccess, restrict_access
from tflbuild.runtime.step_contract import StepRequest, WorkerError, kept_errors, own_folder

IMPORTED = (".py", ".pyc", ".so")
OPENS = ("open", "sqlite3.connect", "ctypes.dlopen")
LISTS = ("os.listdir", "os.scandir")
DENIED = re.compile(r"permission ?denied|errno = 13", re.I)
PATH = re.compile(r"(/[^\s'\":;,()]+)")


@dataclass
class ReadGuard:
    """What one step's code may read. `key` declares files, `entry` is the code; `listed` are folders of modules."""

    request: StepRequest
    key: str
    entry: str
    folders: tuple[str, ...] = ()
    code_folders: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """Return where copies of the declared files lie; a place that does not exist for an installed module."""
        return code_root(self.request)

    @property
    def origin(self) -> str:
        """Return the folder that the declared files were copied from, "" where it is not known."""
        return self.request.origins.get(CODE, "")

    def copy_of(self, path: str) -> str:
        """Return where the copy of a path of the user's project lies, or would lie; "" for other paths."""
        return os.path.join(self.root, os.path.relpath(path, self.origin)) if below(path, self.origin) else ""

    def require_file(self, path: str) -> None:
        """Raise WorkerError for a file that is not declared. A missing one that the user's project has counts.

        What Python compiled in the user's project is not there for a step: FileNotFoundError has Python compile the
        declared source instead.
        """
        if is_bytecode(path) and (below(path, self.root) or self.copy_of(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if below(path, self.root) and not os.path.lexists(path):
            self.require_absent(path, "reads '{}'", os.path.isfile)
            return
        copy = self.copy_of(path)
        if self.is_allowed(path) or (copy and os.path.isfile(copy)) or not os.path.exists(path):
            return
        if path.endswith(IMPORTED) and any(below(path, folder) for folder in self.code_folders):
            return
        raise self.refuse(f"reads '{path}'", path)

    def require_folder(self, path: str, frame: FrameType) -> None:
        """Raise WorkerError for listing a folder that is not declared as a whole."""
        if below(path, self.root) and not os.path.lexists(path):
            self.require_absent(path, "lists the folder '{}'", os.path.isdir)
            return
        if is_import(frame) or path in self.listed or self.is_allowed(path):
            return
        copy = self.copy_of(path)
        if os.path.isdir(path) and not (copy and os.path.isdir(copy) and holds_all(copy, path)):
            raise self.refuse(f"lists the folder '{path}'", path)

    def require_absent(self, path: str, what: str, is_there: Callable[[str], bool]) -> None:
        """Raise WorkerError where a path that was not copied is in the user's project: it is not declared."""
        inside = os.path.relpath(path, self.root)
        if self.origin and is_there(os.path.join(self.origin, inside)):
            raise self.refuse(what.format(inside), inside)

    def is_allowed(self, path: str) -> bool:
        """Return whether a path lies where everything may be read."""
        real = os.path.realpath(path)
        return any(below(real, folder) for folder in self.folders)

    def refuse(self, what: str, path: str) -> WorkerError:
        """Make the error for a read, and keep it: the code may swallow what is raised."""
        error = WorkerError(
            f"'{self.entry}' {what}, which is not declared",
            where=self.key,
            why="undeclared files are in no key: when they change, nothing is built again",
            next_step=f"declare it: {self.key}=[{path}]; temporary files belong in Python's `tempfile` folder",
        )
        kept_errors.append(error)
        return error


_guards: list[ReadGuard] = []


def guard_reads(request: StepRequest, entry: str, key: str) -> None:
    """From here on refuse what user code reads undeclared. `key` is the recipe's list of declared files.

    Only a process that was forked for a step is guarded: it cannot be undone.
    """
    if _guards or not own_folder:
        return
    listed = tuple(os.path.abspath(path) for path in sys.path)
    folders = (*allowed_folders(request), *list_caches())
    guard = ReadGuard(request, key, entry, folders, tuple(code_folders()), listed)
    _guards.append(guard)
    sys.addaudithook(_watch)
    _watch_missing(guard)
    readable = [*guard.folders, *guard.code_folders, *original_files(request)]
    restrict_access(LandlockAccess(readable, list_listed(request)))


def denied_read(error: BaseException) -> WorkerError | None:
    """Return the error for a file that a native library was not allowed to open; None for any other exception."""
    text = str(error)
    if not _guards or not (isinstance(error, PermissionError) or DENIED.search(text)):
        return None
    named = [getattr(error, "filename", None), *PATH.findall(text)]
    path = next(
        (str(one) for one in named if one and os.path.exists(str(one)) and not os.access(str(one), os.W_OK)), ""
    )
    path = path or next((str(one) for one in named if one and os.path.exists(str(one))), "")
    if not path or _guards[0].is_allowed(path):
        return None
    return _guards[0].refuse(f"reads '{path}'", path)


def holds_all(copy: str, original: str) -> bool:
    """Return whether a copied folder has all that its original has."""
    return set(os.listdir(original)) - {"__pycache__"} <= set(os.listdir(copy))


def is_bytecode(path: str) -> bool:
    """Return whether a file is one in which Python keeps a compiled module."""
    return path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__"


def is_import(frame: FrameType | None) -> bool:
    """Return whether a frame is one of Python's import system."""
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Check one audit event: https://docs.python.org/3/library/audit_events.html."""
    if event not in _EVENTS or _busy:
        return
    _busy.append(event)
    try:
        guard = _guards[0]
        if event == "socket.connect":
            _require_no_connection(guard, *arguments)
        elif event in OPENS and (path := _path_of(arguments[0])) and _reads(event, arguments):
            guard.require_file(path)
        elif event in LISTS and (path := _path_of("." if arguments[0] is None else arguments[0])):
            guard.require_folder(path, sys._getframe(1))
    finally:
        _busy.clear()


_EVENTS = frozenset((*OPENS, *LISTS, "socket.connect"))
_busy: list[str] = []


def _path_of(value: Any) -> str:
    """Return an absolute path without `..`; "" for a descriptor, a database in memory, a library by its bare name."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        return ""
    text = os.fsdecode(value)
    return "" if not text or text.startswith(":memory:") else os.path.abspath(text)


def _reads(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether opening reads what was there before. A library by its bare name is the system's."""
    if event == "ctypes.dlopen":
        return "/" in os.fsdecode(arguments[0])
    if event == "sqlite3.connect":
        return True
    _, mode, flags = arguments
    if isinstance(mode, str):
        return mode[:1] not in "wx" and (mode[:1] != "a" or "+" in mode)
    return isinstance(flags, int) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & (os.O_TRUNC | os.O_PATH)


def _require_no_connection(guard: ReadGuard, connecting: Any, address: Any) -> None:
    """Raise WorkerError for a connection, except where Keras fetches a file whose hash it verifies."""
    if getattr(connecting, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "get_file" and (frame.f_locals.get("file_hash") or frame.f_locals.get("md5_hash")):
            return
        frame = frame.f_back
    host = ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)
    error = WorkerError(
        f"'{guard.entry}' connects to {host}",
        where=guard.key,
        why="data from the network is in no key: when it changes, nothing is built again",
        next_step=f"download it once, keep the file, and declare it: {guard.key}=[FILE]",
    )
    kept_errors.append(error)
    raise error


def _watch_missing(guard: ReadGuard) -> None:
    """Refuse when the user's own lines ask whether an undeclared file of their project exists: here it never does."""
    original = os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        try:
            return original(path, *arguments, **options)
        except FileNotFoundError:
            place = _path_of(path)
            if place and not _busy and guard.origin and below(place, guard.root) and _asked_by_user(guard):
                guard.require_absent(place, "looks for '{}'", os.path.lexists)
            raise

    os.stat = stat


def _asked_by_user(guard: ReadGuard) -> bool:
    """Return whether a line of the user's files asks, directly or through the standard library."""
    frame: FrameType | None = sys._getframe(2)
    library = os.path.dirname(os.path.realpath(os.__file__))
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and (not below(os.path.realpath(file), library) or "-packages" in file):
            return below(os.path.realpath(file), guard.root)
        frame = frame.f_back
    return False
