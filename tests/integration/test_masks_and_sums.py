"""Products of stored matrices, joined inputs, masks and sums: right in integers, or refused with a name."""

from __future__ import annotations

import numpy as np
import pytest
from commandline import Project
from sweeps import build_all, recipe

pytestmark = pytest.mark.heavy

NETS = '''"""Functions of x [1, 3, 6, 8], by name."""
import numpy as np
import tensorflow as tf

random = np.random.default_rng(5)
heads = (random.normal(0, 1, (1, 3, 8, 6)) * 10.0 ** random.uniform(-2, 0.5, 6)).astype(np.float32)
kernel = random.normal(0, 1, (8, 6)).astype(np.float32)
wide = random.normal(0, 5, (1, 3, 2, 8)).astype(np.float32)
seen = np.tril(np.ones((6, 6)))


def product(x):
    return tf.matmul(x, heads)


def einsum(x):
    return tf.einsum("bhtd,hde->bthe", x, heads[0])


def join(x):
    return tf.concat([x, wide], 2)


def choose(x):
    return tf.where(seen[:, :1] + seen[:, 2:3] > 1, x, tf.constant(wide[:, :, :1]))


def added(x):
    return tf.nn.softmax(tf.matmul(x, kernel) + np.where(seen, 0, -1e9).astype(np.float32))


def infinite(x):
    return tf.nn.softmax(tf.matmul(x, kernel) + np.where(seen, 0, -np.inf).astype(np.float32))


def chosen(x):
    return tf.nn.softmax(tf.where(seen > 0, tf.matmul(x, kernel), np.float32(-1e9)))


def summed(x):
    return tf.reduce_sum(x, [1, 2])


def make(kind):
    class Net(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 3, 6, 8], name="x")])
        def serving_default(self, x):
            return {"y": globals()[kind](x)}

    return Net()
'''
RIGHT = [
    ("product", "int8", "litert"),
    ("product", "int16x8", "litert"),
    ("einsum", "int4", "litert"),
    ("join", "int8", "converter"),
    ("choose", "int8", "converter"),
    ("summed", "int16x8", "litert"),
    ("added", "int8", "litert"),
    ("infinite", "int16x8", "litert"),
    ("infinite", "int8", "litert"),
    ("chosen", "int8", "litert"),
]
REFUSED = {
    ("added", "int8", "converter"): ("SOFTMAX", "scores vanish beside 'add/y'", "-100"),
    ("infinite", "int8", "converter"): ("SOFTMAX", "scores vanish beside"),
    ("chosen", "int8", "converter"): ("SELECT_V2", "scores vanish beside"),
    ("summed", "int16x8", "converter"): ("SUM", "of which it adds 18 values: sums do not fit"),
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Build all recipes in one sweep, and return the row of each."""
    base = tmp_path_factory.mktemp("lost")
    project = Project(base / "project", base / "store")
    project.write("nets.py", NETS)
    samples = np.random.default_rng(1).normal(0, 1, (40, 3, 6, 8)).astype(np.float32)
    np.savez(project.folder / "samples.npz", x=samples)
    recipes = {
        f"{kind}_{scheme}_{engine}": recipe(
            f"source=function quantization={scheme} dataset=npz",
            f"source: {{call: 'nets.py:make', arguments: {{kind: {kind}}}}}",
            f"quantization: {{engine: {engine}}}",
        )
        for kind, scheme, engine in (*RIGHT, *REFUSED)
    }
    return build_all(project, recipes)[0]


@pytest.mark.parametrize("built", RIGHT, ids=" ".join)
def test_it_is_near_the_float_model(rows, built):
    row = rows["_".join(built)]
    assert min(output["snr_db"] for output in row.outputs.values()) > 25


@pytest.mark.parametrize("refused", REFUSED, ids=" ".join)
def test_it_is_refused_with_the_operator_and_the_way_out(rows, refused):
    error = rows["_".join(refused)].error
    assert all(part in error for part in REFUSED[refused]), error
