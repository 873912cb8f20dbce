"""A filter of system calls: no network, no change of foreign files' modes, no way around Landlock (seccomp(2)).

Landlock knows TCP alone, and not the mode, owner or attributes of a file. The filter is a program for the
kernel's classic BPF (linux/filter.h, linux/seccomp.h); a program that it does not know how to write, for another
architecture, is not written.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
# Without it, kernels before 5.16 slow the process down for the sake of Spectre 4.
SPEC_ALLOW = 1 << 2
LOAD, EQUALS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
ALLOW, FAIL = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
OPENS_FILES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
HAS_BITS = 0x45  # BPF_JMP|JSET|K
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: new namespaces
NEW_NAMESPACES = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
CLONE3 = 435  # its flags lie in memory, which a filter cannot read; without it, libraries use clone(2)
X32 = 0x40000000  # numbers from here on are system calls of the x32 ABI
LOCAL_SOCKET = 1  # AF_UNIX

Table = Mapping[str, "int | tuple[int, ...]"]

# Numbers by architecture: audit's name of it, seccomp(2), socket(2), clone(2), and the groups below.
_SHARED = (425, 426, 427)  # io_uring_setup, _enter, _register: sockets without socket(2)
X86_64: Table = {
    "audit": 0xC000003E,
    "seccomp": 317,
    "socket": 41,
    "clone": 56,
    # ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, add_key, request_key, keyctl, unshare, setns, mount,
    # bpf, userfaultfd, open_by_handle_at
    "refused": (101, 310, 311, 438, 248, 249, 250, 272, 308, 165, 321, 323, 304, *_SHARED),
    # chmod, fchmod, chown, fchown, lchown, setxattr, lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr,
    # fchownat, fchmodat, fchmodat2
    "ignored": (90, 91, 92, 93, 94, 188, 189, 190, 197, 198, 199, 260, 268, 452),
}
AARCH64: Table = {
    "audit": 0xC00000B7,
    "seccomp": 277,
    "socket": 198,
    "clone": 220,
    "refused": (117, 270, 271, 438, 217, 218, 219, 97, 268, 40, 280, 282, 265, *_SHARED),
    # setxattr to fremovexattr, fchmod, fchmodat, fchownat, fchown, fchmodat2
    "ignored": (5, 6, 7, 14, 15, 16, 52, 53, 54, 55, 452),
}
BY_MACHINE = {"x86_64": X86_64, "aarch64": AARCH64}


def can_filter() -> bool:
    """Return whether this machine has a filter and the kernel takes one."""
    table = BY_MACHINE.get(os.uname().machine)
    if table is None or os.uname().sysname != "Linux":
        return False
    available, action = 2, struct.pack("=I", FAIL)  # SECCOMP_GET_ACTION_AVAIL
    return bool(ctypes.CDLL(None).syscall(table["seccomp"], available, 0, action) == 0)


def filter_calls(*, network: bool, local_sockets: bool) -> bool:
    """Give up dangerous system calls, for good. Returns whether the kernel does so.

    Changes of a file's mode, owner and attributes succeed and do nothing: libraries make them on copies, and need none.
    Times may change: `touch` relies on the answer. Without `network` no socket is made; `local_sockets` still are.
    """
    table = BY_MACHINE.get(os.uname().machine)
    if table is None or not can_filter():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    program = write_program(table, network=network, local_sockets=local_sockets)
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return any(libc.syscall(table["seccomp"], SET_MODE_FILTER, flags, described) == 0 for flags in (SPEC_ALLOW, 0))


def drop_capabilities() -> bool:
    """Give up what root can beyond opening files: CAP_PERFMON reads the memory of others in spite of Landlock."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    sets = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; then their upper halves
    if libc.capget(header, sets) != 0:
        return False
    low = [value & OPENS_FILES for value in struct.unpack("=3I", sets.raw[:12])]
    return bool(libc.capset(header, struct.pack("=6I", *low, 0, 0, 0)) == 0)


def write_program(table: Table, *, network: bool, local_sockets: bool) -> bytes:
    """Return the filter for an architecture, as instructions of eight bytes."""
    lines = [(LOAD, 0, 0, ARCHITECTURE), (EQUALS, 1, 0, table["audit"]), _fail(errno.ENOSYS)]
    lines += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, X32), _fail(errno.ENOSYS)]
    for number in _numbers(table["refused"]):
        lines += [(EQUALS, 0, 1, number), _fail(errno.EPERM)]
    # A process in a user namespace of its own has every capability in it, and all that the kernel does for them.
    lines += [(EQUALS, 0, 1, CLONE3), _fail(errno.ENOSYS)]
    lines += [(EQUALS, 0, 4, table["clone"]), (LOAD, 0, 0, ARGUMENT), (HAS_BITS, 0, 1, NEW_NAMESPACES)]
    lines += [_fail(errno.EPERM), (LOAD, 0, 0, NUMBER)]
    for number in _numbers(table["ignored"]):
        lines += [(EQUALS, 0, 1, number), _fail(0)]
    if not network:
        # Not socket(2): skip the rest. AF_UNIX, where it stays: skip the refusal.
        lines += [(EQUALS, 0, 3, table["socket"]), (LOAD, 0, 0, ARGUMENT)]
        lines += [(EQUALS, 1 if local_sockets else 0, 0, LOCAL_SOCKET), _fail(errno.EACCES)]
    lines.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _numbers(value: int | tuple[int, ...]) -> Iterable[int]:
    return (value,) if isinstance(value, int) else value


def _fail(error: int) -> tuple[int, int, int, int]:
    return (RETURN, 0, 0, FAIL | error)
