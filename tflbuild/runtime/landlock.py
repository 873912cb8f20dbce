"""Landlock: a process gives up files and connections, for itself, its threads and its children (landlock(7)).

Rules add up: a second ruleset takes more away and gives nothing back. Constants are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on every architecture
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
WRITE_FILE, READ_FILE, READ_DIR, REFER, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 13, 1 << 14
# REMOVE_DIR, REMOVE_FILE, MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM
CHANGE_FOLDER = sum(1 << bit for bit in range(4, 13))
READ = READ_FILE | READ_DIR
OF_FILES = READ_FILE | WRITE_FILE | TRUNCATE  # rights that a rule for a single file may have
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1
# Version 1 forbids every rename from folder to folder, and TensorFlow renames while it saves a model.
VERSION_FLAG, LEAST_VERSION = 1, 2
# The versions that brought truncation, TCP, and the scopes of sockets and signals.
TRUNCATE_VERSION, TCP_VERSION, SCOPE_VERSION = 3, 4, 6


@dataclass(frozen=True)
class LandlockAccess:
    """What stays allowed. Paths are files or whole folders; those that do not exist are left out.

    `readable` are read and listed, `listed` only listed, and `writable` also changed. `writable` is None where
    writing, connections and signals stay as they were.
    """

    readable: Iterable[str]
    listed: Iterable[str] = ()
    writable: Iterable[str] | None = None
    network: bool = True


def restrict_access(access: LandlockAccess) -> bool:
    """Give up all that `access` does not allow, for good.

    Returns whether the kernel does so; where it has no Landlock, nothing changes.
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
    """Return the version of Landlock that the kernel has, -1 for none."""
    if os.uname().sysname != "Linux":
        return -1
    return int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION_FLAG))


def _add_rule(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Allow rights below a path; a path that does not exist needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = rights if os.path.isdir(path) else rights & OF_FILES
        libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)
