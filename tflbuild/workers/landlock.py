"""Landlock: a process gives up reading all files but some, native code included (Linux 5.19; landlock(7))."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on every architecture
RULE_PATH_BENEATH = 1
PR_SET_NO_NEW_PRIVS = 38
READ_FILE, READ_DIR, REFER = 1 << 2, 1 << 3, 1 << 13  # linux/landlock.h
# Version 1 forbids every rename from folder to folder, and TensorFlow renames while it saves a model.
VERSION_FLAG, LEAST_VERSION = 1, 2


def restrict_reading(readable: Iterable[str], listed: Iterable[str] = ()) -> bool:
    """Let this thread and those that it starts read `readable` (files, whole folders) alone, and list `listed`.

    Returns whether the kernel does so; where it has no Landlock nothing changes. It cannot be undone.
    """
    if landlock_version() < LEAST_VERSION:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    handled = struct.pack("=Q", READ_FILE | READ_DIR | REFER)
    ruleset = libc.syscall(CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return False
    try:
        _add_rule(libc, ruleset, "/", REFER)
        for path in dict.fromkeys(readable):
            _add_rule(libc, ruleset, path, READ_FILE | READ_DIR)
        for path in dict.fromkeys(listed):
            _add_rule(libc, ruleset, path, READ_DIR)
        return bool(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and libc.syscall(RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def landlock_version() -> int:
    """Return the version of Landlock that the kernel has, -1 for none."""
    return int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION_FLAG))


def _add_rule(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    """Allow an access below a path; what is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        access = access if os.path.isdir(path) else access & READ_FILE
        libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", access, place), 0)
    finally:
        os.close(place)
