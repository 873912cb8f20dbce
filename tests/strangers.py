"""Keras files as a stranger could write them: a configuration and nothing more, made without Keras."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

X = {"class_name": "InputLayer", "name": "x", "inbound_nodes": []}
X["config"] = {"batch_input_shape": [None, 4], "dtype": "float32", "name": "x"}


def functional(*layers: dict[str, Any], name: str = "model", last: str = "", **more: Any) -> dict[str, Any]:
    """A functional model of an input `x` and these layers."""
    config = {
        "name": name,
        "layers": [X, *layers],
        "input_layers": [["x", 0, 0]],
        "output_layers": [[last or layers[-1]["name"], 0, 0]],
    }
    return {"class_name": "Functional", "config": config, "name": name, "inbound_nodes": after("x"), **more}


def after(name: str, **arguments: Any) -> list[Any]:
    """The one call of a layer on the output of another."""
    return [[[name, 0, 0, arguments]]]


def layer(kind: str, name: str, before: str = "x", **config: Any) -> dict[str, Any]:
    """A layer that is called on another's output."""
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": after(before)}


def writing_layer(canary: Path, name: str = "write") -> dict[str, Any]:
    """A layer that writes a file while the model is built."""
    call = [["_CONSTANT_VALUE", -1, str(canary), {"contents": "written", "name": None}]]
    return {**layer("TFOpLambda", name, function="io.write_file"), "inbound_nodes": call}


def write_h5(path: Path, config: Any) -> Path:
    """An HDF5 file with a configuration and no weights."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = b"2.15.0"
        file.create_group("model_weights").attrs["layer_names"] = []
    return path


def write_keras(path: Path, config: Any, *members: tuple[str, bytes]) -> Path:
    """A .keras archive with a configuration and these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        for name, content in members:
            archive.writestr(name, content)
    return path
