"""Tables, large constants and idle borders of real models: as small as the scheme says, by each engine, or named."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import Project
from sweeps import build_all, recipe

pytestmark = pytest.mark.heavy

NETS = """import keras
from keras import layers as L


def tied():
    keras.utils.set_random_seed(6)
    ids = keras.Input((16,), dtype="int32", name="ids")
    table = L.Embedding(3000, 32, name="words")
    rows = L.Dense(32, activation="relu")(L.GlobalAveragePooling1D()(table(ids)))
    return keras.Model(ids, keras.ops.matmul(rows, keras.ops.transpose(table.embeddings)))


def volume():
    keras.utils.set_random_seed(7)
    cube = keras.Input((6, 6, 6, 4), name="cube")
    features = L.Conv3D(32, 3, activation="relu")(cube)
    return keras.Model(cube, L.GlobalAveragePooling3D()(L.Conv3DTranspose(16, 3)(features)))


def wide():
    keras.utils.set_random_seed(8)
    x = keras.Input((256,), name="wide")
    return keras.Model(x, L.Dense(64)(L.Dense(256, activation="relu")(x)))


def spare():
    keras.utils.set_random_seed(1)
    x, more = keras.Input((8,), name="x"), keras.Input((2,), name="more")
    return keras.Model([x, more], L.Dense(3, name="y")(x))
"""
# scheme -> (most of the float bytes, least SNR of any output)
BOUNDS = {"float16": (0.56, 60), "dynamic_int8": (0.45, 35), "dynamic_int4": (0.36, 12)}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Recipe -> what came of it, of one sweep."""
    folder = tmp_path_factory.mktemp("constants")
    project = Project(folder, folder / "store")
    project.write("nets.py", NETS)
    random = np.random.default_rng(0)
    shapes = {"cube": (12, 6, 6, 6, 4), "wide": (12, 256), "x": (12, 8), "more": (12, 2)}
    arrays = {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    np.savez(folder / "samples.npz", ids=random.integers(0, 3000, (12, 16)).astype("int32"), **arrays)
    recipes = {}
    for net in ("tied", "volume"):
        for scheme in BOUNDS:
            for engine in ("litert", "converter") if scheme != "dynamic_int4" else ("litert",):
                words = f"source=function quantization={scheme}"
                sections = (f"source: {{call: 'nets.py:{net}'}}", f"quantization: {{engine: {engine}}}")
                recipes[f"{net}-{scheme}-{engine}"] = recipe(words, *sections)
    recipes["wide-blocks"] = recipe(
        "source=function quantization=dynamic_int4",
        "source: {call: 'nets.py:wide'}",
        "quantization: {granularity: blockwise_32}",
    )
    for engine in ("litert", "converter"):
        words = "source=function quantization=int8 dataset=npz"
        sections = ("source: {call: 'nets.py:spare'}", f"quantization: {{engine: {engine}}}")
        recipes[f"spare-{engine}"] = recipe(words, *sections)
    return build_all(project, recipes)[0]


def test_every_constant_is_as_small_as_the_scheme_says(rows):
    for name, row in rows.items():
        net, scheme, *_ = name.split("-")
        if net in ("spare", "wide"):
            continue
        share, noise = BOUNDS[scheme]
        artifact = row.manifest["artifact"]
        most = share if not (net == "tied" and name.endswith("int8-converter")) else 0.62
        assert artifact["bytes"] <= most * artifact["float_bytes"], name
        assert min(output["snr_db"] for output in row.outputs.values()) > noise, name


def test_scales_of_blocks_are_used(rows):
    """They lie in a tensor that no operator names, and are more than a kilobyte here."""
    artifact = rows["wide-blocks"].manifest["artifact"]
    assert artifact["bytes"] < 0.2 * artifact["float_bytes"]


def test_a_table_that_has_two_scales_is_named(rows):
    (copy,) = rows["tied-dynamic_int8-converter"].manifest["artifact"]["contents"]["constants"]["copies"]
    assert "int8 for GATHER" in copy["kinds"] and len(set(copy["kinds"])) == 2
    assert rows["tied-dynamic_int8-litert"].manifest["artifact"]["contents"]["constants"]["copies"] == []


def test_an_input_that_nothing_reads_is_int8_as_declared(rows):
    for engine in ("litert", "converter"):
        (signature,) = rows[f"spare-{engine}"].manifest["artifact"]["contents"]["signatures"]
        assert {one["name"]: one["dtype"] for one in signature["inputs"]} == {"x": "int8", "more": "int8"}
