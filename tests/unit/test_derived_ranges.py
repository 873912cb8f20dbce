"""Ranges that need no measuring."""

import pytest

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.calibration.derived_ranges import derive_ranges, require_all
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor


def tensor(name, type="float32"):
    return Tensor(name=name, type=type, shape=(1, 4), elements=4, constant=False, scales=(), zero_points=(), axis=0)


def model(*ops):
    """A chain of operators: t0 -> t1 -> ..."""
    tensors = tuple(tensor(f"t{index}") for index in range(len(ops) + 1))
    made = tuple(Operator(name, 1, False, (index,), (index + 1,)) for index, name in enumerate(ops))
    return Model(bytes=1, subgraphs=(Subgraph("main", tensors, made, (0,), (len(ops),)),), signatures=())


def trained(**ranges):
    return {"tensors": {name: {"min": low, "max": high, "rank": 2} for name, (low, high) in ranges.items()}}


def bounds(found):
    return {name: (entry["min"], entry["max"]) for name, entry in found.items()}


def test_what_is_handed_on_keeps_its_range_and_what_is_fixed_has_one():
    found = derive_ranges(model("RESHAPE", "FULLY_CONNECTED", "SOFTMAX"), trained(t0=(-1.0, 2.0), t2=(-9.0, 9.0)))
    assert bounds(found) == {"t0": (-1, 2), "t1": (-1, 2), "t2": (-9, 9), "t3": (0, 1)}


def test_a_range_behind_a_change_of_shape_is_that_before_it():
    found = derive_ranges(model("CONV_2D", "RESHAPE", "FULLY_CONNECTED"), trained(t2=(-1.0, 2.0)))
    assert bounds(found) == {"t1": (-1, 2), "t2": (-1, 2)}


def test_a_trained_range_stands_before_what_follows():
    found = derive_ranges(model("SOFTMAX"), trained(t0=(-1.0, 1.0), t1=(0.0, 0.5)))
    assert bounds(found)["t1"] == (0, 0.5)


def test_without_training_nothing_is_known():
    assert derive_ranges(model("SOFTMAX"), {}) == {}


def test_what_could_not_be_read_is_refused():
    with pytest.raises(WorkerError) as refused:
        derive_ranges(model("SOFTMAX"), {**trained(t0=(0.0, 1.0)), "unread": ["FAKE_QUANT"]})
    assert refused.value.fields["where"] == "quantization.engine"


def test_an_activation_without_a_range_wants_samples():
    with pytest.raises(WorkerError) as refused:
        require_all(["t0", "t1"], {"t0": {}})
    assert refused.value.fields["where"] == "dataset" and "t1" in refused.value.fields["why"]
