"""A filter of system calls: no network, no change of file modes, and no way around Landlock (seccomp(2)).

The filter completes Landlock, which restricts TCP but no other protocol, and which does not protect the mode, owner and
attributes of files. It is a program for the kernel's classic BPF (linux/filter.h, linux/seccomp.h). It exists for the
architectures in `BY_MACHINE` only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping

PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER = 1
# SECCOMP_FILTER_FLAG_SPEC_ALLOW. Without it, kernels before 5.16 turn on a slow protection against Spectre variant 4.
SPEC_ALLOW = 1 << 2
# BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
LOAD, EQUALS, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
# BPF_JMP|JSET|K
HAS_BITS = 0x45
# Offsets in struct seccomp_data, in bytes. ARGUMENT is the first argument of the system call.
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16
# SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
ALLOW, FAIL = 0x7FFF0000, 0x00050000
# _LINUX_CAPABILITY_VERSION_3
CAPABILITY_VERSION = 0x20080522
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
FILE_CAPABILITIES = 1 << 1 | 1 << 2
# The flags for new namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
NEW_NAMESPACES = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
# A filter cannot read memory, which is where the flags of clone3(2) are stored. Libraries then use clone(2).
CLONE3 = 435
# System calls of the x32 ABI have this bit in their numbers.
X32 = 0x40000000
# AF_UNIX
LOCAL_SOCKET = 1

Table = Mapping[str, "int | tuple[int, ...]"]

# io_uring_setup, io_uring_enter, io_uring_register: they make sockets without socket(2).
_SHARED = (425, 426, 427)
# The tables below have these entries for each architecture: its number in audit (linux/audit.h), the numbers of
# seccomp(2), socket(2) and clone(2), the system calls that fail, and those that succeed without an effect.
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
    # From setxattr to fremovexattr; fchmod, fchmodat, fchownat, fchown, fchmodat2
    "ignored": (5, 6, 7, 14, 15, 16, 52, 53, 54, 55, 452),
}
BY_MACHINE = {"x86_64": X86_64, "aarch64": AARCH64}


def can_filter() -> bool:
    """Return whether there is a filter for this architecture and the kernel supports filters."""
    table = BY_MACHINE.get(os.uname().machine)
    if table is None or os.uname().sysname != "Linux":
        return False
    # SECCOMP_GET_ACTION_AVAIL
    operation, action = 2, struct.pack("=I", FAIL)
    return bool(ctypes.CDLL(None).syscall(table["seccomp"], operation, 0, action) == 0)


def filter_calls(*, network: bool, local_sockets: bool) -> bool:
    """Forbid dangerous system calls to this process, until it ends.

    Calls that change the mode, owner or attributes of a file succeed without an effect: libraries make them after they
    copy files, and do not depend on the effect. Calls that change times work, because `touch` depends on them.

    Args:
        network: Whether all sockets are allowed.
        local_sockets: Whether sockets of the family AF_UNIX are allowed if `network` is False.

    Returns:
        Whether the filter is in force.
    """
    table = BY_MACHINE.get(os.uname().machine)
    if table is None or not can_filter():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    program = write_program(table, network=network, local_sockets=local_sockets)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and their address.
    filter_program = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return any(libc.syscall(table["seccomp"], SET_MODE_FILTER, flags, filter_program) == 0 for flags in (SPEC_ALLOW, 0))


def drop_capabilities() -> bool:
    """Drop all capabilities except those that open files, and return whether the kernel accepted it.

    With CAP_PERFMON, a process of root could read the memory of other processes, which Landlock does not prevent.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    # The effective, permitted and inheritable sets: first their lower 32 bits, then their upper 32 bits.
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) != 0:
        return False
    low = [value & FILE_CAPABILITIES for value in struct.unpack("=3I", sets.raw[:12])]
    return bool(libc.capset(header, struct.pack("=6I", *low, 0, 0, 0)) == 0)


def write_program(table: Table, *, network: bool, local_sockets: bool) -> bytes:
    """Return the BPF program of the filter: instructions of eight bytes each.

    Args:
        table: The numbers of the system calls of an architecture.
        network: Whether all sockets are allowed.
        local_sockets: Whether sockets of the family AF_UNIX are allowed if `network` is False.
    """
    # An instruction is (operation, jump if true, jump if false, operand). Jumps count the instructions to skip.
    instructions = [(LOAD, 0, 0, ARCHITECTURE), (EQUALS, 1, 0, table["audit"]), _fail(errno.ENOSYS)]
    instructions += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, X32), _fail(errno.ENOSYS)]
    for number in _numbers(table["refused"]):
        instructions += [(EQUALS, 0, 1, number), _fail(errno.EPERM)]
    # In a new user namespace, a process would have every capability, and could reach more code of the kernel.
    instructions += [(EQUALS, 0, 1, CLONE3), _fail(errno.ENOSYS)]
    instructions += [(EQUALS, 0, 4, table["clone"]), (LOAD, 0, 0, ARGUMENT), (HAS_BITS, 0, 1, NEW_NAMESPACES)]
    instructions += [_fail(errno.EPERM), (LOAD, 0, 0, NUMBER)]
    for number in _numbers(table["ignored"]):
        instructions += [(EQUALS, 0, 1, number), _fail(0)]
    if not network:
        # If the call is not socket(2), skip the next three. If it is an allowed AF_UNIX socket, skip the failure.
        instructions += [(EQUALS, 0, 3, table["socket"]), (LOAD, 0, 0, ARGUMENT)]
        instructions += [(EQUALS, 1 if local_sockets else 0, 0, LOCAL_SOCKET), _fail(errno.EACCES)]
    instructions.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def _numbers(value: int | tuple[int, ...]) -> Iterable[int]:
    return (value,) if isinstance(value, int) else value


def _fail(error: int) -> tuple[int, int, int, int]:
    return (RETURN, 0, 0, FAIL | error)
