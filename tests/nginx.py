"""A real nginx with the configuration that the documentation gives, and whatever else answers on loopback."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from commandline import ROOT

WORD = "hush"
PATIENCE_SECONDS = 20


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def served(command: list[str], url: str, **options) -> Iterator[subprocess.Popen]:
    """A server that answers at that URL, whatever it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end and process.poll() is None:
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except HTTPError:
                pass
            except OSError:
                time.sleep(0.02)
                continue
            break
        else:
            raise AssertionError(f"{command[0]} does not answer")
        yield process
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Nginx:
    """The server of docs/store.md: all read, `ci` writes."""

    folder: Path
    port: int
    process: subprocess.Popen = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def writable(self) -> str:
        return f"http://ci:{WORD}@127.0.0.1:{self.port}"

    def files(self) -> dict[str, bytes]:
        kept = [path for name in ("ac", "cas") for path in (self.folder / name).glob("*")]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in kept}

    def fill(self, store: Path) -> None:
        for name in ("ac", "cas"):
            (self.folder / name).mkdir(exist_ok=True)
            for path in (store / name).glob("*/*"):
                shutil.copyfile(path, self.folder / name / path.name.removesuffix(".json"))

    def requests(self) -> list[str]:
        return re.findall(r'"((?:GET|HEAD|PUT) /(?:ac|cas)/\S+)', (self.folder.parent / "access.log").read_text())


@contextmanager
def shelf_of_nginx(base: Path) -> Iterator[Nginx]:
    """nginx with the configuration of the documentation, on a free port; what `base` holds already is served again."""
    folder = base / "served"
    folder.mkdir(parents=True, exist_ok=True)
    (base / "users").write_text(f"ci:{{PLAIN}}{WORD}\n")
    port = free_port()
    block = (ROOT / "docs" / "store.md").read_text().split("```nginx\n")[1].split("```")[0]
    for told, here in {
        "listen 8080": f"listen 127.0.0.1:{port}",
        "/etc/nginx/tflbuild.htpasswd": str(base / "users"),
        "/srv/tflbuild": str(folder),
    }.items():
        assert told in block
        block = block.replace(told, here)
    places = "".join(f"{name}_temp_path {base / name};\n" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"daemon off; master_process off; pid {base / 'pid'}; error_log {base / 'error.log'};\n"
    text += f"events {{}}\nhttp {{\naccess_log {base / 'access.log'};\n{places}{block}}}\n"
    (base / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(base), "-e", str(base / "error.log"), "-c", str(base / "nginx.conf")]
    with served(command, f"http://127.0.0.1:{port}/") as process:
        yield Nginx(folder, port, process)
