"""Many recipes built by one command, and what came of each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from commandline import Project

VERIFY = "verify: {dataset: {path: samples.npz}}"
DATA = "dataset: {path: samples.npz}"


def recipe(options: str, *sections: str) -> str:
    """A recipe's YAML: `group=option` words, and its sections; verified on samples.npz unless it says otherwise."""
    chosen = {"verify": "parity", **dict(word.split("=") for word in options.split())}
    lines = ["defaults:", *(f"  - override /{group}: {option}" for group, option in chosen.items())]
    told = {section.partition(":")[0] for section in sections}
    if chosen["verify"] != "none" and "verify" not in told:
        lines.append(VERIFY)
    if chosen.get("dataset") == "npz" and "dataset" not in told:
        lines.append(DATA)
    return "\n".join([*lines, *sections]) + "\n"


def make_project(base: Path, maker: str = "make_sources.py") -> Project:
    """A folder with the models that a script beside this one makes, and an empty store."""
    folder = base / "project"
    folder.mkdir()
    script = Path(__file__).with_name(maker)
    made = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return Project(folder, base / "store")


@dataclass(frozen=True)
class Row:
    """What came of one recipe."""

    project: Project
    row: Mapping[str, Any]

    @property
    def error(self) -> str:
        """The refusal, of a recipe that was refused."""
        assert self.row["error"], "it was built"
        return str(self.row["error"])

    def file(self, name: str) -> Path:
        assert self.row["error"] is None, self.row["error"]
        return self.project.folder / next(file for file in self.row["files"] if file.endswith(name))

    @property
    def model(self) -> Path:
        return self.file("model.tflite")

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads(self.file("manifest.json").read_text()))

    @property
    def operators(self) -> dict[str, int]:
        return dict(self.manifest["artifact"]["contents"]["operators"])

    @property
    def outputs(self) -> dict[str, dict[str, float]]:
        """What `verify` measured, by output."""
        assert self.row["error"] is None, self.row["error"]
        return dict(self.row["metrics"]["verify"]["outputs"])

    def is_exact(self) -> bool:
        """Every output is the source's, but for rounding."""
        return bool(self.outputs) and all(output["snr_db"] > 100 for output in self.outputs.values())


def build_all(
    project: Project, recipes: Mapping[str, str], *arguments: str, **environment: str
) -> tuple[dict[str, Row], str]:
    """(a row for each recipe, what the command showed of its progress)."""
    for name, text in recipes.items():
        project.write(f"recipes/{name}.yaml", text)
    done = project.run("-m", f"recipe={','.join(recipes)}", "--json", *arguments, **environment)
    assert done.out.startswith("["), done.err
    return {n: Row(project, row) for n, row in zip(recipes, json.loads(done.out), strict=True)}, done.err


def open_model(model: Path) -> Any:
    """The artifact in LiteRT's own interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(model))


def run_model(model: Path, inputs: Mapping[str, np.ndarray], key: str = "serving_default") -> dict[str, np.ndarray]:
    """The artifact's outputs for samples fed one by one."""
    runner = open_model(model).get_signature_runner(key)
    count = len(next(iter(inputs.values())))
    results = [runner(**{name: array[i : i + 1] for name, array in inputs.items()}) for i in range(count)]
    return {name: np.concatenate([result[name] for result in results]) for name in results[0]}
