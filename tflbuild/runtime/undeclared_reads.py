"""Refusal of undeclared reads: a file that user code reads is not in the cache key unless the recipe declares it.

A change of such a file would rebuild nothing. An audit hook checks the files that Python opens, the folders that it
lists and its connections. Native libraries (HDF5, TensorFlow, OpenCV) open files without Python: Landlock prevents
that if the kernel has it (Linux 5.19 or later). Both restrictions last until the process of the step ends.

Code may read the folder of the step, the declared files at their original paths, installed packages, the folders of the
system, and caches below the home folder whose libraries verify the files in them.
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
    """The files and folders that the user code of one step may read.

    Attributes:
        request: The request of the step.
        key: The recipe key that declares files.
        entry: The reference to the user code in the recipe.
        folders: Real paths below which everything may be read.
        code_folders: Folders from which modules may be imported.
        listed: Folders that may be listed.
    """

    request: StepRequest
    key: str
    entry: str
    folders: tuple[str, ...] = ()
    code_folders: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def root(self) -> str:
        """Return the folder with the copies of the declared files; see `code_root`."""
        return code_root(self.request)

    @property
    def origin(self) -> str:
        """Return the folder that the declared files were copied from; "" if it is not known."""
        return self.request.origins.get(CODE, "")

    def copy_of(self, path: str) -> str:
        """Return the path that a file of the user's project has, or would have, as a copy; "" for other paths."""
        return os.path.join(self.root, os.path.relpath(path, self.origin)) if below(path, self.origin) else ""

    def require_file(self, path: str) -> None:
        """Check that a file is declared, or is in a location that may be read.

        Raises:
            WorkerError: The file is not declared. This includes a file that is missing in the folder of the step, but
                exists in the user's project.
            FileNotFoundError: The file is a module of the user's project that Python compiled. The error makes Python
                compile the declared source instead.
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
        """Raise WorkerError if a folder is listed that is not declared as a whole."""
        if below(path, self.root) and not os.path.lexists(path):
            self.require_absent(path, "lists the folder '{}'", os.path.isdir)
            return
        if is_import(frame) or path in self.listed or self.is_allowed(path):
            return
        copy = self.copy_of(path)
        if os.path.isdir(path) and not (copy and os.path.isdir(copy) and is_complete_copy(copy, path)):
            raise self.refuse(f"lists the folder '{path}'", path)

    def require_absent(self, path: str, access: str, exists: Callable[[str], bool]) -> None:
        """Raise WorkerError if a path that was not copied exists in the user's project: it is not declared.

        Args:
            path: A path below `root` that does not exist.
            what: The words of the message that say what the code does, with `{}` for the path.
            is_there: Whether the path exists in the user's project.
        """
        relative_path = os.path.relpath(path, self.root)
        if self.origin and exists(os.path.join(self.origin, relative_path)):
            raise self.refuse(access.format(relative_path), relative_path)

    def is_allowed(self, path: str) -> bool:
        """Return whether a path is in a folder in which everything may be read."""
        real = os.path.realpath(path)
        return any(below(real, folder) for folder in self.folders)

    def refuse(self, access: str, path: str) -> WorkerError:
        """Return the error for a read, and add it to `kept_errors`, since the code may catch the exception."""
        error = WorkerError(
            f"'{self.entry}' {access}, which is not declared",
            where=self.key,
            why="undeclared files are in no cache key, so nothing is rebuilt when they change",
            next_step=f"declare it: {self.key}=[{path}]; put temporary files into the folder of Python's `tempfile`",
        )
        kept_errors.append(error)
        return error


_guards: list[ReadGuard] = []


def guard_reads(request: StepRequest, entry: str, key: str) -> None:
    """Refuse undeclared reads of user code in this process, until it ends.

    This works only in a process that was forked for a step, since it cannot be undone. In other processes, the function
    does nothing.

    Args:
        request: The request of the step.
        entry: The reference to the user code in the recipe.
        key: The recipe key with the list of declared files.
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
    # Native libraries name the path in the text of the exception. A path that is not writable is more likely the cause.
    text = str(error)
    if not _guards or not (isinstance(error, PermissionError) or DENIED.search(text)):
        return None
    names = [getattr(error, "filename", None), *PATH.findall(text)]
    path = next(
        (str(name) for name in names if name and os.path.exists(str(name)) and not os.access(str(name), os.W_OK)), ""
    )
    path = path or next((str(name) for name in names if name and os.path.exists(str(name))), "")
    if not path or _guards[0].is_allowed(path):
        return None
    return _guards[0].refuse(f"reads '{path}'", path)


def is_complete_copy(copy: str, original: str) -> bool:
    """Return whether a copied folder has all entries of the original folder."""
    return set(os.listdir(original)) - {"__pycache__"} <= set(os.listdir(copy))


def is_bytecode(path: str) -> bool:
    """Return whether a file is a module that Python compiled."""
    return path.endswith(".pyc") and os.path.basename(os.path.dirname(path)) == "__pycache__"


def is_import(frame: FrameType | None) -> bool:
    """Return whether a frame belongs to Python's import system."""
    return frame is not None and frame.f_code.co_filename.startswith("<frozen importlib")


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Check one audit event: https://docs.python.org/3/library/audit_events.html."""
    # `_busy` suppresses the events that the check itself causes.
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
    """Return an absolute path without `..`; "" for a file descriptor or a database in memory."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        return ""
    text = os.fsdecode(value)
    return "" if not text or text.startswith(":memory:") else os.path.abspath(text)


def _reads(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether an open call can read existing content. A library without a path belongs to the system."""
    if event == "ctypes.dlopen":
        return "/" in os.fsdecode(arguments[0])
    if event == "sqlite3.connect":
        return True
    _, mode, flags = arguments
    if isinstance(mode, str):
        return mode[:1] not in "wx" and (mode[:1] != "a" or "+" in mode)
    return isinstance(flags, int) and flags & os.O_ACCMODE != os.O_WRONLY and not flags & (os.O_TRUNC | os.O_PATH)


def _require_no_connection(guard: ReadGuard, connecting: Any, address: Any) -> None:
    """Raise WorkerError for a connection, except when Keras fetches a file whose hash it verifies."""
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
        why="data from the network is in no cache key, so nothing is rebuilt when it changes",
        next_step=f"download the data once, keep the file, and declare it: {guard.key}=[FILE]",
    )
    kept_errors.append(error)
    raise error


def _watch_missing(guard: ReadGuard) -> None:
    """Refuse when user code asks whether an undeclared file of the project exists: in the step's folder it never does.

    There is no audit event for `os.stat`, so the function is replaced.
    """
    original = os.stat

    def stat(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        try:
            return original(path, *arguments, **options)
        except FileNotFoundError:
            absolute_path = _path_of(path)
            if (
                absolute_path
                and not _busy
                and guard.origin
                and below(absolute_path, guard.root)
                and _is_called_by_user_code(guard)
            ):
                guard.require_absent(absolute_path, "looks for '{}'", os.path.lexists)
            raise

    os.stat = stat


def _is_called_by_user_code(guard: ReadGuard) -> bool:
    """Return whether user code made the present call, directly or through the standard library."""
    frame: FrameType | None = sys._getframe(2)
    library = os.path.dirname(os.path.realpath(os.__file__))
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and (not below(os.path.realpath(file), library) or "-packages" in file):
            return below(os.path.realpath(file), guard.root)
        frame = frame.f_back
    return False
