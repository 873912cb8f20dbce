"""Outputs that join units: whole-tensor figures are good, and a gate must not pass when a channel is lost."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import Project
from sweeps import build_all, recipe

pytestmark = pytest.mark.heavy

NET = """import keras
from keras import layers as L
from keras import ops


def make(kind):
    keras.utils.set_random_seed(8)
    x = keras.Input((16,), name="x")
    hidden = L.Dense(16, activation="relu")(x)
    if kind == "kelvin":  # varies by less than a degree about 300
        return keras.Model(x, L.Dense(1)(hidden) * 0.3 + 300.0)
    if kind == "pose":  # metres and radians in one tensor
        return keras.Model(x, L.Concatenate()([L.Dense(3)(hidden) * 50.0, ops.tanh(L.Dense(3)(hidden)) * 0.2]))
    if kind == "first":  # channels before positions, as detectors are exported
        boxes = L.Reshape((4, 64))(L.Dense(256, activation="sigmoid")(hidden)) * 640.0
        scores = L.Reshape((5, 64))(L.Dense(320, activation="sigmoid")(hidden))
        return keras.Model(x, L.Concatenate(axis=1)([boxes, scores]))
    outputs = {"metres": L.Dense(4)(hidden) * 100.0, "scores": L.Dense(5, activation="sigmoid")(hidden)}
    return keras.Model(x, outputs)  # apart: a scale for each
"""
LOST = {"kelvin": (-1, [0]), "pose": (-1, [3, 4, 5]), "first": (-2, [4, 5, 6, 7, 8])}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    base = tmp_path_factory.mktemp("channels")
    (base / "project").mkdir()
    project = Project(base / "project", base / "store")
    project.write("net.py", NET)
    for seed, name in enumerate(("samples", "calibration")):
        samples = np.random.default_rng(seed).normal(size=(60, 16)).astype("float32")
        np.savez(project.folder / f"{name}.npz", x=samples)
    verify = "verify: {dataset: {path: samples.npz}, gates: {snr_db: 20, cosine: 0.9}}"
    recipes = {
        f"{kind}_{scheme}": recipe(
            f"source=function quantization={scheme} dataset=npz",
            f"source: {{call: net.py:make, arguments: {{kind: {kind}}}}}",
            "dataset: {path: calibration.npz}",
            verify,
        )
        for kind in (*LOST, "apart")
        for scheme in ("int8", "int16x8")
    }
    return build_all(project, recipes)[0]


@pytest.mark.parametrize("kind", LOST)
def test_a_gate_does_not_pass_where_channels_are_lost(rows, kind):
    row = rows[f"{kind}_int8"].row
    assert row["result"] == "gate failed" and "snr_db is" in row["error"] and "cosine is" in row["error"]
    (output,) = row["metrics"]["verify"]["outputs"].values()
    axis, channels = LOST[kind]
    assert output["snr_db"] > 25 and output["channels"]["worst"]["snr_db"] < 3
    assert (output["channels"]["axis"], output["channels"]["below"]) == (axis, channels)


@pytest.mark.parametrize("kind", LOST)
def test_the_way_out_that_is_named_works(rows, kind):
    found = rows[f"{kind}_int16x8"]
    assert found.row["error"] is None and found.manifest["warnings"] == []


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_outputs_apart_lose_nothing(rows, scheme):
    found = rows[f"apart_{scheme}"]
    assert found.row["error"] is None and found.manifest["warnings"] == []
    assert all("channels" not in output and output["snr_db_interval"]["n"] == 60 for output in found.outputs.values())
