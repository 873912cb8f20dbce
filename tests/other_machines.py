"""Build twelve small models on this machine and on emulated ones, and compare the bytes.

    python tests/other_machines.py                                         everything: 13 minutes of CPU time
    python tests/other_machines.py --machines native,Haswell --models mel
    python tests/other_machines.py --recipes                               the project's recipes, on this machine only
    python tests/other_machines.py --write                                 keep the digests, and write the page's table

The exit code is 1 if a build fails, or if an artifact differs from the digests in tests/golden.json and the build does
not report it as tied to the CPU. It is 4 if a machine cannot be tried here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine_build import FLOAT
from machines import ARM, NATIVE, X86_CPUS, open_machine, why_not

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GOLDEN = HERE / "golden.json"
PAGE = ROOT / "docs" / "reproducibility.md"
BEGIN, END = "<!-- table: tests/other_machines.py --write -->", "<!-- end of table -->"
BUILD, SOURCES = HERE / "machine_build.py", HERE / "machine_models.py"
MACHINES = (NATIVE, *X86_CPUS, ARM)
ENGINES = ("litert", "converter")
SCHEMES = ("none", "float16", "dynamic_int8", "weight_only_int8", "dynamic_int4", "weight_only_int4")
STATIC_SCHEMES = ("int4", "int8", "int16x8")
DIGITS = 12
TIED = "tied"
UNMEASURED = "not measured"
# model -> what it is, the call that makes it, more of its recipe
MODELS = {
    "batch_norm": ("batch normalization after convolutions", "batch_norm", ""),
    "dense_norm": ("batch normalization around a dense layer", "dense_norm", ""),
    "depthwise": ("depthwise and pointwise convolutions with batch normalization", "depthwise", ""),
    "layer_norm": ("layer normalization", "layer_norm", ""),
    "attention": ("multi-head attention", "attention", ""),
    "lstm": ("an LSTM, fused", "lstm", ""),
    "gelu": ("GELU, both forms", "gelu", ""),
    "mel": ("a mel front end of tf.signal", "Mel", "signature: {key: serve}"),
    "weight_normalization": ("normalized weights", "WeightNormalization", "signature: {key: serve}"),
    "einsum": ("products and functions of constants", "Einsum", "signature: {key: serve}"),
    "signatures": ("two signatures", "Signatures", "signature: {key: encode, more: {decode: {}}}"),
    "qat": ("ranges of quantization-aware training", "Trained", "signature: {key: serve}"),
}
RECIPE = """defaults:
  - override /source: function
  - override /quantization: int8
  - override /dataset: synthetic
source: {{call: 'machine_models.py:{call}'{fused}}}
dataset: {{count: 4, low: -1.0}}
{sections}
"""


@dataclass(frozen=True)
class Difference:
    """An artifact that is not the one of the golden digests."""

    machine: str
    model: str
    artifact: str
    text: str


def write_project(folder: Path) -> None:
    """Write the models' source and their recipes into a folder."""
    (folder / "recipes").mkdir(parents=True)
    shutil.copy(SOURCES, folder)
    for name, (_, call, sections) in MODELS.items():
        fused = ", fused_lstm: true" if name == "lstm" else ""
        text = RECIPE.format(call=call, fused=fused, sections=sections)
        (folder / "recipes" / f"{name}.yaml").write_text(text)


def build_on(name: str, folder: Path, sweeps: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return model -> artifact -> digest, or a dictionary with an error or what ties it, as one machine builds them."""
    project = folder / name
    write_project(project)
    machine = open_machine(name, project)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TFLBUILD_STORE": str(folder / f"store-{name}")}
    models: dict[str, dict[str, Any]] = {}
    for overrides in sweeps:
        words = [sys.executable, str(BUILD), str(machine.python), *overrides]
        done = subprocess.run(words, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        for variant in json.loads(done.stdout):
            value = {key: variant[key] for key in ("error", TIED) if variant[key]} or variant["digest"]
            if isinstance(value, dict) and variant["digest"]:
                value["digest"] = variant["digest"]
            models.setdefault(variant["recipe"], {})[variant["artifact"]] = value
    return models


def sweep_models(models: Sequence[str], engines: Sequence[str]) -> list[list[str]]:
    """Return the sweeps that build models with engines."""
    return [[f"recipe={','.join(models)}", f"quantization.engine={','.join(engines)}"]]


def sweep_recipes() -> list[list[str]]:
    """Return the sweeps that build the project's own recipes with every scheme and engine."""
    recipes = ",".join(sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")))
    engine = f"quantization.engine={','.join(ENGINES)}"
    return [
        [f"recipe={recipes}", "quantization=none", "dataset=none"],
        [f"recipe={recipes}", f"quantization={','.join(SCHEMES[1:])}", "dataset=none", engine],
        [f"recipe={recipes}", f"quantization={','.join(STATIC_SCHEMES)}", engine],
    ]


def build_machines(machines: Sequence[str], folder: Path, sweeps: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return what each machine made, as many machines at once as there are cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        made = pool.map(lambda name: build_on(name, folder, sweeps), machines)
        return dict(zip(machines, made, strict=True))


def read_golden() -> dict[str, Any]:
    """Return the digests that are kept: `models` by machine, and `recipes`."""
    empty: dict[str, Any] = {"models": {}, "recipes": {}}
    return json.loads(GOLDEN.read_text()) if GOLDEN.exists() else empty


def find_differences(machine: str, made: Mapping[str, Any], golden: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield each artifact that is neither the golden one nor tied to the CPU by its own account."""
    for model, artifacts in made.items():
        for artifact, value in artifacts.items():
            wanted = golden.get(model, {}).get(artifact)
            explained = value == wanted or (isinstance(value, dict) and TIED in value)
            if not explained or (isinstance(value, dict) and "error" in value):
                yield Difference(machine, model, artifact, f"{show_value(value)} instead of {show_value(wanted)}")


def show_value(value: Any) -> str:
    """Return the first digits of a digest, or what there is in its place."""
    if isinstance(value, dict):
        return TIED if TIED in value else "failed"
    return value[:DIGITS] if value else UNMEASURED


def write_table(models: Mapping[str, Any]) -> str:
    """Return the table of the page: an artifact a line, a machine a column."""
    machines = [name for name in MACHINES if name in models]
    lines = [BEGIN, "", f"| model | artifact | {' | '.join(machines)} |", "|---|---|" + "---|" * len(machines)]
    for model, (text, *_) in MODELS.items():
        for artifact in sorted(models.get(NATIVE, {}).get(model, {})):
            cells = [show_value(models[name].get(model, {}).get(artifact)) for name in machines]
            shown = [cells[0], *("same" if cell == cells[0] != TIED else cell for cell in cells[1:])]
            lines.append(f"| {text if artifact == FLOAT else ''} | {artifact} | {' | '.join(shown)} |")
    return "\n".join([*lines, "", END])


def write_page(models: Mapping[str, Any]) -> str:
    """Return the page with the table of these digests."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + write_table(models) + rest.partition(END)[2]


def main(arguments: Sequence[str]) -> int:
    """Build, compare, and print or write the digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    lists = {"machines": MACHINES, "models": MODELS, "engines": ENGINES}
    for name, choices in lists.items():
        words = ",".join(choices)
        parser.add_argument(f"--{name}", default=words, metavar="NAMES", help=f"some of {words} (default: all)")
    recipes = "build the project's recipes with every scheme and engine instead, on this machine"
    parser.add_argument("--recipes", action="store_true", help=recipes)
    parser.add_argument("--write", action="store_true", help="write the digests into tests/golden.json and the page")
    options = parser.parse_args(arguments)
    machines = [NATIVE] if options.recipes else options.machines.split(",")
    lacking = {name: reason for name in machines if (reason := why_not(name))}
    if lacking:
        print("\n".join(f"{name} cannot be tried: {reason}" for name, reason in lacking.items()), file=sys.stderr)
        return 4
    sweeps = sweep_recipes() if options.recipes else sweep_models(options.models.split(","), options.engines.split(","))
    with tempfile.TemporaryDirectory() as folder:
        made = build_machines(machines, Path(folder), sweeps)
    golden = read_golden()
    if options.write:
        keep_digests(golden, made, recipes=options.recipes)
    wanted = golden["recipes"] if options.recipes else golden["models"].get(NATIVE, {})
    differences = [difference for name in machines for difference in find_differences(name, made[name], wanted)]
    for difference in differences:
        print(f"{difference.machine}: {difference.model} {difference.artifact}: {difference.text}")
    compared = sum(len(artifacts) for models in made.values() for artifacts in models.values())
    print(f"{compared} artifacts compared, {len(differences)} differ")
    return 1 if differences else 0


def keep_digests(golden: dict[str, Any], made: Mapping[str, Any], *, recipes: bool) -> None:
    """Write digests into tests/golden.json, those of models also into the page."""
    if recipes:
        golden["recipes"] = made[NATIVE]
    else:
        for machine in sorted(made, key=MACHINES.index):
            for model, artifacts in made[machine].items():
                for artifact, value in artifacts.items():
                    keep_digest(golden["models"], machine, model, artifact, value)
        PAGE.write_text(write_page(golden["models"]))
    GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


def keep_digest(models: dict[str, Any], machine: str, model: str, artifact: str, value: Any) -> None:
    """Keep one digest. What other machines made of an older version of an artifact is forgotten."""
    kept = models.setdefault(machine, {}).setdefault(model, {})
    if machine == NATIVE and kept.get(artifact) != value:
        for others in models.values():
            others.get(model, {}).pop(artifact, None)
    kept[artifact] = value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
