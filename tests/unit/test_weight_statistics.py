"""Zeros and repeated values, counted in stored weights and held against what training made."""

import gzip

import numpy as np
import pytest

from tflbuild.steps.checking import weight_statistics
from tflbuild.tflite.tflite_model import Operator, Subgraph, Tensor


def tensor(values, type="int8", zeros=(0,)):
    return Tensor(
        name="weights",
        type=type,
        shape=values.shape,
        elements=values.size,
        constant=True,
        scales=(0.1,),
        zero_points=zeros,
        axis=0,
    )


def counted(values, operator="FULLY_CONNECTED"):
    return weight_statistics.count_values(tensor(values), operator, values)


def optimized(pruned=(), clustered=(), pattern="any"):
    return {"pruned": list(pruned), "clustered": list(clustered), "pattern": pattern}


def rules(found, **told):
    return [finding.rule for finding in weight_statistics.find_lost_weights(found, optimized(**told))]


PAIRS = np.array([[0, 1, 0, 2, 3, 4, 0, 0], [1, 1, 0, 0, 0, 0, 0, 5]], np.int8)
HALVES = np.array([[1, 2, 3, 0, 0, 0, 0, 4], [0, 0, 0, 0, 5, 6, 7, 8]], np.int8)


def test_two_of_each_four_neighbours_are_told_from_half_of_all():
    assert counted(PAIRS).in_pairs and not counted(HALVES).in_pairs
    assert (counted(HALVES).zeros, counted(HALVES).elements) == (8, 16)


def test_a_group_that_the_last_axis_cuts_short_is_filled_with_zeros():
    assert counted(np.array([[1, 2], [3, 4]], np.int8)).in_pairs
    assert not counted(np.array([[1, 2, 3], [0, 0, 1]], np.int8)).in_pairs


def test_values_are_counted_by_tensor_and_by_channel():
    values = np.array([[1, 2, 1, 2], [3, 4, 3, 3]], np.int8)
    assert (counted(values).distinct, counted(values).channel_distinct) == (4, 2)


def test_an_embedding_s_channels_are_its_last_axis():
    values = np.array([[1, 2], [1, 3], [1, 4]], np.int8)
    assert counted(values, "EMBEDDING_LOOKUP").channel_distinct == 3


@pytest.mark.parametrize("values", [[-8, 7, 0, -1, 3], [1]])
def test_int4_is_unpacked_low_half_first(values):
    padded = np.array([*values, *[0] * (len(values) % 2)], np.int8)
    packed = ((padded[0::2] & 15) | (padded[1::2] << 4)).astype(np.int8)
    wanted = np.array(values, np.int8)
    assert weight_statistics.read_values(tensor(wanted, "int4"), packed.tobytes()).tolist() == values


def test_a_zero_point_is_zero():
    stored = np.array([3, 5, 3], np.int8)
    assert weight_statistics.read_values(tensor(stored, zeros=(3,)), stored.tobytes()).tolist() == [0, 2, 0]


def test_what_training_made_and_the_artifact_still_has_is_no_finding():
    layer = {"layer": "dense", "elements": 16, "zeros": 8}
    assert rules([counted(HALVES)], pruned=[layer]) == []
    assert rules([counted(PAIRS)], pruned=[layer], pattern="two_of_four") == []
    assert rules([counted(PAIRS)], clustered=[{"layer": "dense", "elements": 16, "distinct": 5}]) == []


def test_a_lost_zero_a_lost_pair_and_a_new_value_are_found():
    layer = {"layer": "dense", "elements": 16, "zeros": 9}
    assert rules([counted(HALVES)], pruned=[layer]) == ["sparsity"]
    assert rules([counted(HALVES)], pruned=[{**layer, "zeros": 8}], pattern="two_of_four") == ["sparsity"]
    assert rules([counted(HALVES)], clustered=[{"layer": "dense", "elements": 16, "distinct": 4}]) == ["clusters"]


def test_layers_of_one_size_are_matched_the_best_first():
    dense = np.full((2, 8), 1, np.int8)
    layers = [{"layer": "a", "elements": 16, "zeros": 0}, {"layer": "b", "elements": 16, "zeros": 8}]
    assert rules([counted(dense), counted(HALVES)], pruned=layers) == []
    assert rules([counted(dense), counted(dense)], pruned=layers) == ["sparsity"]


def test_a_layer_without_weights_of_its_size_is_found():
    assert rules([], pruned=[{"layer": "dense", "elements": 16, "zeros": 8}]) == ["sparsity"]


def test_weights_are_all_that_is_stored_but_biases_and_depthwise_kernels():
    dense, bias, kernel, half = (
        tensor(np.zeros(shape, np.int8), type)
        for shape, type in (((2, 8), "int8"), ((8,), "int8"), ((2, 2), "int8"), ((2, 2), "float16"))
    )
    moving = Tensor(name="x", type="int8", shape=(1, 8), elements=8, constant=False, scales=(), zero_points=(), axis=0)
    ops = (
        Operator("FULLY_CONNECTED", 1, False, (4, 0, 1), (4,)),
        Operator("DEPTHWISE_CONV_2D", 1, False, (4, 2, -1), (4,)),
        Operator("DEQUANTIZE", 1, False, (3,), (5,)),
        Operator("GATHER", 1, False, (5, 4), (4,)),
    )
    graph = Subgraph("main", (dense, bias, kernel, half, moving, moving), ops, (4,), (4,))
    assert list(weight_statistics.list_stored(graph)) == [("FULLY_CONNECTED", dense), ("GATHER", half)]


def test_the_packed_size_is_the_same_whenever_it_is_packed(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(bytes(1000))
    assert weight_statistics.measure_gzip_bytes(file) == len(gzip.compress(bytes(1000), 9, mtime=0)) < 100
