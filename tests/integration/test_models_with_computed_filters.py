"""Models that compute the filter of a convolution: integer artifacts as good as those with a stored filter."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import Project
from sweeps import build_all, recipe

pytestmark = pytest.mark.heavy

NETS = '''"""y = op(x, filter), the filter an input or made of one."""
import tensorflow as tf


def scene(x, w):  # the filter is the input as it is
    return tf.nn.relu(tf.nn.conv2d(x, w[0], 2, "VALID") + tf.range(6, dtype=tf.float32))


def attend(x, w):  # one depthwise filter a sample, of positive numbers alone
    return tf.nn.depthwise_conv2d(x, tf.sigmoid(w[0, ..., :1]) + 0.1, [1, 1, 1, 1], "SAME")


def grow(x, w):
    return tf.nn.conv2d_transpose(x, 0.3 * tf.transpose(w[0], [0, 1, 3, 2]) + 0.2, [1, 17, 17, 6], 2, "VALID")


def make(kind):
    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 4], name="x"), tf.TensorSpec([1, 3, 3, 4, 6], name="w")])
        def serving_default(self, x, w):
            return {"y": globals()[kind](x, w)}

    return Net()
'''
BUILT = [
    ("scene", "int8", "litert"),
    ("attend", "int8", "converter"),
    ("grow", "int8", "litert"),
    ("scene", "int16x8", "converter"),
    ("attend", "int16x8", "litert"),
    ("grow", "int16x8", "converter"),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Build all recipes in one sweep, and return the row of each."""
    base = tmp_path_factory.mktemp("filters")
    project = Project(base / "project", base / "store")
    project.write("nets.py", NETS)
    random = np.random.default_rng(1)
    arrays = {"x": random.normal(0.3, 1, (40, 8, 8, 4)), "w": random.normal(0.3, 0.6, (40, 3, 3, 4, 6))}
    np.savez(project.folder / "samples.npz", **{name: array.astype(np.float32) for name, array in arrays.items()})
    recipes = {
        f"{kind}_{scheme}_{engine}": recipe(
            f"source=function quantization={scheme} dataset=npz",
            f"source: {{call: 'nets.py:make', arguments: {{kind: {kind}}}}}",
            f"quantization: {{engine: {engine}}}",
        )
        for kind, scheme, engine in BUILT
    }
    return build_all(project, recipes)[0]


@pytest.mark.parametrize("built", BUILT, ids=" ".join)
def test_it_is_near_the_float_model(rows, built):
    row = rows["_".join(built)]
    assert row.operators["QUANTIZE"] >= 1
    assert min(output["snr_db"] for output in row.outputs.values()) > 30
