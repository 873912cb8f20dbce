"""The quantizer's algorithms in a fixed order: nothing but the order of sums is another."""

import numpy as np
import pytest
from litert_quantizer.algorithms.uniform_quantize import gptq, hadamard_rotation, mse, octav, oscar

from tflbuild.exact.exact_algebra import add_up
from tflbuild.steps.quantization.quantizer_algebra import DEPENDENT, fixed_order, invert_hessian, rotate

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(24, 64)).astype(np.float32)
MODULES = (gptq, hadamard_rotation, mse, octav, oscar)


def hessian(width=64):
    rows = np.rint(RANDOM.normal(size=(200, width)) * 64) / 64
    return (rows.T @ rows / 100).astype(np.float32)


def test_the_modules_have_their_own_numpy_before_and_after():
    before = [module.np for module in MODULES]
    with fixed_order():
        assert not any(module.np is np for module in MODULES)
    assert [module.np for module in MODULES] == before == [np] * 5
    assert oscar._optimal_group_clip.__module__ == oscar.__name__


def test_a_rotation_is_the_product_with_the_matrix():
    matrix = hadamard_rotation._make_hadamard_matrix(64)
    np.testing.assert_allclose(rotate(WEIGHTS, matrix), WEIGHTS @ matrix, rtol=0, atol=1e-5)
    assert rotate(WEIGHTS, matrix).dtype == np.float32


def test_the_damped_hessian_is_inverted_and_not_changed():
    given = hessian()
    kept = given.copy()
    found = invert_hessian(given)
    np.testing.assert_array_equal(given, kept)
    np.testing.assert_allclose(found, gptq._prepare_hessian_inverse(given), rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(found, found.T)


def test_clipping_is_that_of_the_quantizer():
    plain = octav._guess_clipping_with_octav(WEIGHTS, 4, (1,), 10, 3.0)
    with fixed_order():
        ordered = octav._guess_clipping_with_octav(WEIGHTS, 4, (1,), 10, 3.0)
    np.testing.assert_allclose(ordered, plain, rtol=1e-5)
    assert ordered.dtype == plain.dtype and ordered.shape == plain.shape


def test_channel_scales_are_those_of_the_quantizer():
    mass = np.abs(RANDOM.normal(size=64)) + 0.1
    weights = WEIGHTS.astype(np.float64)
    plain, gain = oscar._compute_channel_scales(weights, mass)
    clip = oscar._optimal_group_clip(np.abs(weights), mass, 7)
    with fixed_order():
        ordered, ordered_gain = oscar._compute_channel_scales(weights, mass)
        ordered_clip = oscar._optimal_group_clip(np.abs(weights), mass, 7)
    np.testing.assert_allclose(np.asarray(ordered), plain, rtol=1e-9)
    np.testing.assert_allclose(np.asarray(ordered_clip), clip, rtol=1e-9)
    assert ordered_gain == pytest.approx(gain)


def test_sums_have_the_order_of_exact_algebra(monkeypatch):
    """Whatever NumPy's own sums give: here they are wrong on purpose."""
    values = RANDOM.normal(size=(3, 1000)).astype(np.float32)
    with fixed_order():
        monkeypatch.setattr(np, "sum", lambda *arguments, **options: 0.0)
        assert octav.np.sum(values, axis=1).tolist() == add_up(values, 1).astype(np.float32).tolist()
        mean = mse.np.mean(values**2, axis=(1,), keepdims=True)
    assert mean.shape == (3, 1) and mean.dtype == np.float32


@pytest.mark.parametrize("name", ["dot", "linalg", "einsum"])
def test_what_nothing_replaces_is_refused(name):
    assert name in DEPENDENT
    with fixed_order(), pytest.raises(NotImplementedError, match=f"numpy.{name} depends on the CPU"):
        getattr(gptq.np, name)
