"""Models of MLPerf Tiny's kinds are proven on TensorFlow Lite Micro, by both engines; one sweep builds them all."""

import pytest
from ai_edge_litert import schema_py_generated as schema
from make_tiny_models import MODELS
from needs import needs_module
from sweeps import make_project, recipe

pytestmark = [pytest.mark.heavy, needs_module("tflite_micro", "tflm")]

ENGINES = ("litert", "converter")
NAMES = [make.__name__ for make in MODELS]
ROWS = [f"{name}_{engine}" for name in NAMES for engine in ENGINES]
LARGE = ("anomaly_detection", "visual_wake_words")  # which the LiteRT quantizer would write behind the flatbuffer


def int8(name, engine):
    data = f"{{path: {name}.npz}}"
    return recipe(
        "source=keras dataset=npz quantization=int8 target=tflm",
        f"source: {{path: {name}.keras}}",
        f"dataset: {data}",
        f"verify: {{dataset: {data}}}",
        f"quantization: {{engine: {engine}}}",
    )


RECIPES = {f"{name}_{engine}": int8(name, engine) for name in NAMES for engine in ENGINES}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("tiny"), "make_tiny_models.py")


@pytest.mark.parametrize("row", ROWS)
def test_it_runs_on_tensorflow_lite_micro_as_on_the_cpu(rows, row):
    (verdict,) = rows[row].manifest["targets"].values()
    assert (verdict["proof"], verdict["runs"], verdict["agrees"]) == ("proven", True, True), verdict
    assert verdict["figures"]["snr_db"] >= 35 and verdict["figures"]["arena_bytes"] > 0


@pytest.mark.parametrize("row", ROWS)
def test_it_is_not_proven_on_outputs_that_say_nothing(rows, row):
    """An output that is the same for all samples agrees with anything: the float model's was not."""
    assert all(output["snr_db"] < 100 for output in rows[row].outputs.values())


@pytest.mark.parametrize("row", ROWS)
def test_its_weights_lie_inside_the_flatbuffer(rows, row):
    model = schema.Model.GetRootAsModel(rows[row].model.read_bytes(), 0)
    assert all(model.Buffers(index).Offset() <= 1 for index in range(model.BuffersLength()))
    if row in {f"{name}_litert" for name in LARGE}:
        assert rows[row].model.stat().st_size > 256 * 1024


@pytest.mark.parametrize("row", ROWS)
def test_its_least_runtime_comes_from_its_features(rows, row):
    contents = rows[row].manifest["artifact"]["contents"]
    assert [entry["feature"] for entry in contents["features"] if not entry["runtime"]] == []
    assert contents["least_runtime"] == "2.10"
    decisive = [entry["feature"] for entry in contents["features"] if entry["runtime"] == "2.10"]
    assert decisive and all(feature.startswith("FULLY_CONNECTED int8, int8/channel") for feature in decisive)
