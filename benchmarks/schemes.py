"""Every scheme on every model: bytes, accuracy and seconds, by both engines. One sweep a model.

    python -m benchmarks.schemes --write                 all of it, and docs/schemes.md
    python -m benchmarks.schemes --models fashion --keep /tmp/table

The models and data of benchmarks/packages.txt, and of Debian's `sonic-pi-samples`, are brought where they are
needed; nothing of them is kept in this repository. Every figure is read from the manifests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.run import host, outcomes, without_unread_dataset

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGE = ROOT / "docs" / "schemes.md"
RULES = HERE / "constants.md"  # what a scheme does to constants: the page's first section
DEBIAN_SHA256 = "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d"
MOST_BELOW = 0.5  # points, or dB: by how much static int8 of engine litert may be below the converter's


@dataclass(frozen=True)
class Model:
    """A trained model with data of its own; `sections` are its recipe's."""

    title: str
    about: str
    source: str
    verify: str
    sections: str
    spared: str = ""  # the name of what stays float32 in a row more, with static int8 for the rest
    labelled: bool = False
    packaged: bool = True


MODELS = {
    "fashion": Model(
        "fashion_mobilenet",
        "The default model: MobileNetV1-style, 28x28; Fashion-MNIST, calibrated on 256 training images,"
        " top-1 on 2,000 test images",
        "keras",
        "classification",
        "source: {path: 'tflbuild://fashion_mobilenet/model.keras'}\n"
        "dataset: {path: 'tflbuild://fashion_mobilenet/calibration.npz', scale: 1.0}\n"
        "verify: {dataset: {path: 'tflbuild://fashion_mobilenet/evaluation.npz', label: label, scale: 1.0}}",
        labelled=True,
        packaged=False,
    ),
    "mtcnn": Model(
        "mtcnn RNet",
        "A face detector's second net (mtcnn 1.0.0, MIT), 24x24; calibrated on 200 patches of scikit-image's"
        " photographs, top-1 on its 200 labelled pictures of faces and of none",
        "saved_model",
        "classification",
        "source: {path: mtcnn_rnet}\ndataset: {path: mtcnn_calibration.npz}\n"
        "verify: {output: face, dataset: {path: mtcnn_evaluation.npz, label: label}}",
        labelled=True,
    ),
    "fer": Model(
        "fer",
        "Emotions of faces (fer 25.10.3, MIT), 64x64; scikit-image's faces, 50 to calibrate and 50 others to compare",
        "keras",
        "parity",
        "source: {path: packages/fer/data/emotion_model.hdf5}\ndataset: {path: fer_calibration.npz}\n"
        "verify: {dataset: {path: fer_evaluation.npz}}",
    ),
    "pitch": Model(
        "basic-pitch",
        "Notes in sound (basic-pitch 0.4.0, Apache-2.0), two seconds at 22,050 Hz, three outputs; recordings of"
        " Debian's sonic-pi-samples (CC0), 16 windows to calibrate and 16 of other recordings to compare",
        "saved_model",
        "parity",
        "source: {path: packages/basic_pitch/saved_models/icassp_2022/nmp}\ndataset: {path: pitch_calibration.npz}\n"
        "verify: {dataset: {path: pitch_evaluation.npz}}",
        spared="cq_t2010|normalized_log",
    ),
}
SPARED = "int8, front end float32"
# what it is called -> (quantization option, its keys)
SCHEMES = {
    "none": ("none", ""),
    "float16": ("float16", ""),
    "dynamic_int8": ("dynamic_int8", ""),
    "weight_only_int8": ("weight_only_int8", ""),
    "dynamic_int4": ("dynamic_int4", ""),
    "dynamic_int4, blockwise_32": ("dynamic_int4", "granularity: blockwise_32"),
    "int8": ("int8", ""),
    SPARED: ("int8", "rules: [{match: '%s', scheme: float32}]"),
    "int8, octav": ("int8", "algorithm: octav"),
    "int8, mse": ("int8", "algorithm: mse"),
    "int16x8": ("int16x8", ""),
}
CONVERTER = ("float16", "dynamic_int8", "int8", "int16x8")  # the schemes of engine converter
IN_FLOAT = re.compile(r"float_op: (\w+) computes in float")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # they are there for the others' sake
ENGINES = ("litert", "converter")


@dataclass(frozen=True)
class Cell:
    """One scheme by one engine, and what came of it: facts of the manifest, or the reason why there are none."""

    scheme: str
    engine: str
    bytes: int = 0
    float_bytes: int = 0
    top1: float | None = None
    drop: float | None = None
    snr: float = 0.0
    worst: str = ""
    seconds: Mapping[str, float] | None = None
    error: str = ""


def variants(model: Model, schemes: Sequence[str]) -> list[tuple[str, str]]:
    """(scheme, engine), in the order of the table."""
    chosen = [scheme for scheme in schemes if scheme != SPARED or model.spared]
    return [(s, e) for s in chosen for e in ENGINES if e == "litert" or s in CONVERTER]


def recipe(model: Model, scheme: str, engine: str) -> str:
    """The YAML of one cell."""
    option, keys = SCHEMES[scheme]
    chosen = {"source": model.source, "quantization": option, "dataset": "npz", "verify": model.verify}
    lines = [f"  - override /{group}: {choice}" for group, choice in chosen.items()]
    keys = keys % model.spared if scheme == SPARED else keys
    told = [keys, f"engine: {engine}" if engine != "litert" else ""]
    quantization = ", ".join(filter(None, told))
    sections = [model.sections, f"quantization: {{{quantization}}}" if quantization else ""]
    return without_unread_dataset("\n".join(["defaults:", *lines, *filter(None, sections)]) + "\n", option)


def fetch(folder: Path) -> None:
    """The packages into `packages/`, the models and data of them beside it."""
    packages = folder / "packages"
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    run(folder, sys.executable, *pip, "--target", str(packages), "-r", str(HERE / "packages.txt"))
    run(folder, "apt-get", "download", "-q", "sonic-pi-samples")
    (archive,) = folder.glob("sonic-pi-samples*.deb")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DEBIAN_SHA256:
        sys.exit(f"{archive.name} is another version than the one this table was made with")
    run(folder, "dpkg-deb", "-x", archive.name, "sounds")
    sounds = folder / "sounds" / "usr" / "share" / "sonic-pi" / "samples"
    run(folder, sys.executable, str(HERE / "real_models.py"), str(folder), str(packages), str(sounds))


def run(folder: Path, *command: str) -> None:
    """A command that must work."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with exit code {done.returncode}\n{done.stderr[-3000:]}")


def sweep(folder: Path, store: Path, name: str, schemes: Sequence[str]) -> list[Cell]:
    """All variants of one model, by one command."""
    named = {f"{name}-{index}": variant for index, variant in enumerate(variants(MODELS[name], schemes))}
    (folder / "recipes").mkdir(exist_ok=True)
    for file, variant in named.items():
        (folder / "recipes" / f"{file}.yaml").write_text(recipe(MODELS[name], *variant))
    rows = outcomes(folder, store, "-m", f"recipe={','.join(named)}")
    return [read_cell(folder, *variant, row) for variant, row in zip(named.values(), rows, strict=True)]


def read_cell(folder: Path, scheme: str, engine: str, row: Mapping[str, Any]) -> Cell:
    """What the manifest says."""
    if row["error"]:
        return Cell(scheme, engine, error=reason(row["error"]))
    path = next(file for file in row["files"] if file.endswith("manifest.json"))
    manifest = json.loads((folder / path).read_text())
    verify = manifest["metrics"]["verify"]
    worst = min(verify["outputs"], key=lambda output: verify["outputs"][output]["snr_db"])
    accuracy = verify.get("classification", {})
    return Cell(
        scheme,
        engine,
        manifest["artifact"]["bytes"],
        manifest["artifact"]["float_bytes"],
        accuracy.get("top1"),
        accuracy.get("top1_drop"),
        verify["outputs"][worst]["snr_db"],
        worst if len(verify["outputs"]) > 1 else "",
        {role: step["seconds"] for role, step in manifest["steps"].items()},
    )


def reason(error: str) -> str:
    """The first line of a refusal, and why; of operators in float, no more than what they are."""
    first, _, rest = error.partition("\n")
    whys = [text.strip() for text in rest.partition("why:")[2].partition("next:")[0].split("\n")]
    kinds = [found[1] for why in whys if (found := IN_FLOAT.match(why)) and found[1] not in CONVERSIONS]
    others = [why for why in whys if why and not IN_FLOAT.match(why) and not why.startswith("and ")]
    told = [first.partition("]: ")[2], *others, f"in float: {', '.join(kinds)}" if kinds else ""]
    return "; ".join(filter(None, told))


def line(cell: Cell, labelled: bool) -> str:
    """One row of a model's table; the step is `quantize`, or `convert` where there is none."""
    if cell.error:
        return f"| {cell.scheme} | {cell.engine} | {cell.error} |" + " |" * (5 if labelled else 3)
    step = cell.seconds.get("quantize", cell.seconds["convert"]) if cell.seconds else 0.0
    engine = cell.engine if cell.scheme != "none" else ""
    size = f"{cell.bytes:,} | {cell.bytes / cell.float_bytes:.1%}"
    accuracy = "" if cell.top1 is None else f"{cell.top1:.2%} | {0.0 - 100 * (cell.drop or 0.0):+.2f} | "
    worst = f" ({cell.worst})" if cell.worst else ""
    return f"| {cell.scheme} | {engine} | {size} | {accuracy}{cell.snr:.1f}{worst} | {step:.2f} |"


def table(name: str, cells: Sequence[Cell]) -> str:
    """One model's part of the page."""
    model = MODELS[name]
    accuracy = " top-1 | points |" if model.labelled else ""
    done = [cell.seconds for cell in cells if cell.seconds]
    shared = {role: next((s[role] for s in done if role in s), None) for role in ("import", "convert", "calibrate")}
    times = ", ".join(f"{role} {seconds:.2f} s" for role, seconds in shared.items() if seconds is not None)
    return "\n".join(
        [
            f"## {model.title}",
            "",
            f"{model.about}.",
            f"Shared by all rows, once: {times}.",
            "",
            f"| scheme | engine | bytes | of float |{accuracy} SNR dB | step, s |",
            f"| --- | --- | ---: | ---: |{' ---: | ---: |' if model.labelled else ''} ---: | ---: |",
            *(line(cell, model.labelled) for cell in cells),
            "",
        ]
    )


def compare(name: str, cells: Sequence[Cell]) -> str | None:
    """Static int8 of both engines, side by side: a row, None where one was not built."""
    found = {cell.engine: cell for cell in cells if cell.scheme == "int8"}
    if len(found) < 2:
        return None
    if any(cell.error for cell in found.values()):
        failed = " and ".join(engine for engine, cell in found.items() if cell.error)
        return f"| {MODELS[name].title} | | | {failed}: not int8 throughout, see above |"
    ours, other = found["litert"], found["converter"]
    snr = ours.snr - other.snr
    points = 100 * (other.drop - ours.drop) if ours.drop is not None and other.drop is not None else None
    counts = points if points is not None else snr
    shown = "" if points is None else f"{points:+.2f}"
    return f"| {MODELS[name].title} | {shown} | {snr:+.1f} | {'yes' if counts >= -MOST_BELOW else 'no'} |"


def page(found: Mapping[str, Sequence[Cell]]) -> str:
    """docs/schemes.md."""
    about = host()
    compared = [row for name, cells in found.items() if (row := compare(name, cells))]
    return "\n".join(
        [
            "# What the schemes cost",
            "",
            "Trained models, real data, every scheme by each engine that has it, each model one sweep; the figures",
            "are those of the manifests. `points` is top-1 against the float source's on the same samples, in",
            "percentage points. `SNR dB` is that of all values of the worst output against the source. `step` is the",
            "`quantize` step alone (without quantization, `convert`), in seconds, two steps at a time.",
            f"Measured on {about['cpu']}, {about['cores']} cores, Python {about['python']}.",
            "",
            *RULES.read_text().splitlines(),
            "",
            *(table(name, cells) for name, cells in found.items()),
            "## Static int8 by both engines",
            "",
            f"`litert` less `converter`; wanted is at most {MOST_BELOW} points below, or dB where there are no labels.",
            "",
            "| model | points | dB | so it is |",
            "| --- | ---: | ---: | --- |",
            *compared,
            "",
            "Written by `python -m benchmarks.schemes --write`.",
            "",
        ]
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=[*MODELS], default=[*MODELS], metavar="MODEL")
    parser.add_argument("--schemes", nargs="+", choices=[*SCHEMES], default=[*SCHEMES], metavar="SCHEME")
    parser.add_argument("--write", action="store_true", help="write docs/schemes.md")
    parser.add_argument("--keep", type=Path, help="folder to build in, kept, with a store of its own")
    options = parser.parse_args(arguments)
    if options.write and (set(options.models), set(options.schemes)) != ({*MODELS}, {*SCHEMES}):
        parser.error("--write wants every model and every scheme")
    return options


@contextmanager
def workplace(keep: Path | None, models: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """(a project with what these models need, a store), gone afterwards unless they are in `keep`."""
    with tempfile.TemporaryDirectory(prefix="tflbuild-models-") as scratch:
        base = keep.resolve() if keep else Path(scratch)
        folder = base / "project"
        folder.mkdir(parents=True, exist_ok=True)
        if any(MODELS[name].packaged for name in models) and not (folder / "mtcnn_rnet").exists():
            fetch(folder)
        yield folder, base / "store"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of this module."""
    options = parse(arguments)
    with workplace(options.keep, options.models) as (folder, store):
        text = page({name: sweep(folder, store, name, options.schemes) for name in options.models})
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
