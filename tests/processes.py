"""Looking at tflbuild's processes while they work, and ending them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from commandline import Ran

PATIENCE_SECONDS = 60
POLL_SECONDS = 0.002


def until(find, what):
    """The first true answer of `find`."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := find():
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s for {what}")


def at_work(store: Path) -> dict[int, Path]:
    """Processes that stand below the store: every server and every step's child does, and nothing else."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = os.readlink(entry / "cwd").removesuffix(" (deleted)")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if Path(place).is_relative_to(store) and state != "Z":
                found[int(entry.name)] = Path(place)
    return found


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def server(store: Path, name: str) -> int | None:
    """The server of that name: it stands in the scratch folder itself, and its command names it."""
    for pid in at_work(store):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tflbuild.runtime.worker_server" in words and name.encode() in words and parent(pid) not in at_work(store):
            return pid
    return None


def child(store: Path, kind: str) -> int | None:
    """The child of a server that does the step of that kind."""
    inside = {pid: place for pid, place in at_work(store).items() if place.name.endswith(f"-{kind}")}
    return next((pid for pid in inside if parent(pid) not in inside), None)


def shard(store: Path, kind: str) -> int | None:
    """One of the processes among which that child has shared its samples out."""
    step = child(store, kind)
    return next((pid for pid in at_work(store) if step and parent(pid) == step), None)


@contextmanager
def started(project, *arguments) -> Iterator[Callable]:
    """A command at work; call what this gives for its end, as Project.run would have given it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tflbuild", *arguments],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def finish():
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in out + err, err
        return Ran(process.returncode, out, err)

    finish.process = process
    try:
        yield finish
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        for pid in at_work(project.store):  # a test that failed shall not leave them to the next
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
