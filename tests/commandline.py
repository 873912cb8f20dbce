"""The real command line, driven from tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "tflbuild" / "assets" / "fashion_mobilenet"
TIMEOUT_SECONDS = 300
CODES = {"build": 1, "recipe": 2, "usage": 2, "gate": 3, "environment": 4}


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def steps(self) -> dict[str, str]:
        """Step title -> status, from the quiet lines on standard error."""
        found = {}
        for line in self.err.splitlines():
            words = line[30:].split()
            if len(line) > 30 and words and words[0] in ("hit", "ran", "failed", "skipped"):
                found[line[:30].strip()] = words[0]
        return found


@dataclass(frozen=True)
class Project:
    """A folder that a user works in, with a store."""

    folder: Path
    store: Path

    def environment(self, **extra: str) -> dict[str, str]:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TFLBUILD_")}
        return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "TFLBUILD_STORE": str(self.store), **extra}

    def run(self, *arguments: str, **environment: str) -> Ran:
        """`tflbuild ARGUMENTS` in the folder. Never a traceback, whatever the code."""
        done = subprocess.run(
            [sys.executable, "-m", "tflbuild", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def output(self, recipe: str = "mobilenet_int8", variant: str = "default") -> Path:
        return self.folder / "outputs" / recipe / variant

    def manifest(self, recipe: str = "mobilenet_int8", variant: str = "default") -> dict:
        return json.loads((self.output(recipe, variant) / "manifest.json").read_text())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


def watch_imports(project: Project) -> dict[str, str]:
    """Environment in which every process that imports TensorFlow leaves a file."""
    project.write(
        "watch/sitecustomize.py",
        "import os,sys\n"
        "def seen(event, arguments):\n"
        "    if event == 'import' and arguments[0].startswith('tensorflow.python'):\n"
        f"        open(os.path.join({str(project.folder)!r}, f'tensorflow-{{os.getpid()}}'), 'w').close()\n"
        "sys.addaudithook(seen)\n",
    )
    return {"PYTHONPATH": f"{project.folder / 'watch'}{os.pathsep}{project.environment()['PYTHONPATH']}"}


def processes_with_tensorflow(project: Project) -> int:
    """How many processes of the watched project imported TensorFlow."""
    return len(list(project.folder.glob("tensorflow-*")))
