"""Landlock: restrict the files and connections of a process, its threads and its children (landlock(7)).

A second ruleset can only restrict the process further. The constants are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

# The numbers of these system calls are equal on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
WRITE_FILE, READ_FILE, READ_DIR, REFER, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14
# REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM
CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
READ = READ_FILE | READ_DIR
# The rights that a rule for a single file may contain.
FILE_RIGHTS = READ_FILE | WRITE_FILE | TRUNCATE
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1
# LANDLOCK_CREATE_RULESET_VERSION
VERSION_FLAG = 1
# Version 1 forbids every rename from one folder to another, but TensorFlow does that while it saves a model.
LEAST_VERSION = 2
# The versions that introduced the rights for truncation and for TCP, and the scopes of sockets and signals.
TRUNCATE_VERSION, TCP_VERSION, SCOPE_VERSION = 3, 4, 6


@dataclass(frozen=True)
class LandlockAccess:
    """The files and connections that a process may still use. Paths are files or whole folders.

    Paths that do not exist are ignored.

    Attributes:
        readable: Paths that may be read and listed.
        listed: Folders that may only be listed.
        writable: Paths that may be read, listed and changed. None: writing, connections and signals are not
            restricted.
        network: Whether TCP connections are allowed.
    """

    readable: Iterable[str]
    listed: Iterable[str] = ()
    writable: Iterable[str] | None = None
    network: bool = True


def restrict_access(access: LandlockAccess) -> bool:
    """Restrict this process to `access`, until it ends.

    Returns:
        Whether the restriction is in force. It is not if the kernel has no Landlock, or refuses the ruleset.
    """
    version = landlock_version()
    if version < LEAST_VERSION:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    writing = access.writable is not None
    change = WRITE_FILE | CHANGE_FOLDER | (TRUNCATE if version >= TRUNCATE_VERSION else 0)
    handled = READ | REFER | (change if writing else 0)
    tcp = BIND_TCP | CONNECT_TCP if writing and not access.network and version >= TCP_VERSION else 0
    scopes = ABSTRACT_SOCKETS | SIGNALS if writing and version >= SCOPE_VERSION else 0
    # struct landlock_ruleset_attr grew with each of these versions, and an older kernel refuses the longer one.
    size = 24 if version >= SCOPE_VERSION else 16 if version >= TCP_VERSION else 8
    attributes = struct.pack("=QQQ", handled, tcp, scopes)[:size]
    ruleset = libc.syscall(CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        if not writing:
            _add_rule(libc, ruleset, "/", REFER)
        for paths, rights in (
            (access.readable, READ),
            (access.listed, READ_DIR),
            (access.writable or (), READ | REFER | change),
        ):
            for path in dict.fromkeys(paths):
                _add_rule(libc, ruleset, path, rights)
        return bool(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """Return the version of Landlock in this kernel; -1 if it has no Landlock."""
    if os.uname().sysname != "Linux":
        return -1
    return int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION_FLAG))


def _add_rule(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Allow rights for a file, or for everything below a folder. A path that does not exist is ignored."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & FILE_RIGHTS
        libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)
