"""Sums, products and linear algebra in a fixed order: right, and the same for every layout of memory."""

import numpy as np
import pytest
from exact_cases import make_values

from tflbuild.exact import exact_algebra as algebra
from tflbuild.exact import exact_fourier as fourier
from tflbuild.exact import exact_windows as windows

F64 = np.float64
A = make_values((130, 57), seed=41, dtype=F64)
CUBE = make_values((6, 50, 7), seed=42, dtype=F64)


@pytest.mark.parametrize("axes", [None, 0, 1, -1, (0, 2), (0, 1, 2), ()])
def test_reductions_are_numpys(axes):
    np.testing.assert_allclose(algebra.add_up(CUBE, axes), CUBE.sum(axes), atol=1e-12)
    np.testing.assert_allclose(algebra.average(CUBE, axes, keep=True), CUBE.mean(axes, keepdims=True), atol=1e-13)
    near_one = 1 + CUBE / 50
    np.testing.assert_allclose(algebra.multiply_up(near_one, axes), near_one.prod(axes), rtol=1e-12)
    np.testing.assert_array_equal(algebra.find_largest(CUBE, axes), CUBE.max(axes))
    np.testing.assert_array_equal(algebra.find_smallest(CUBE, axes), CUBE.min(axes))
    means, variances = algebra.measure_moments(CUBE, axes)
    np.testing.assert_allclose(means, CUBE.mean(axes), atol=1e-13)
    np.testing.assert_allclose(variances, CUBE.var(axes), atol=1e-12)


def test_sums_of_nothing_are_zero_and_of_nan_nan():
    assert algebra.add_up(np.zeros((0, 3))) == 0 and algebra.multiply_up(np.zeros((0,))) == 1
    assert algebra.find_largest(np.zeros((2, 0)), 1).tolist() == [-np.inf, -np.inf]
    assert np.isnan(algebra.find_largest(np.array([1, np.nan, 2]))) and np.isnan(algebra.add_up(np.array([1, np.nan])))


@pytest.mark.parametrize("function", [algebra.add_up, lambda x: algebra.multiply_matrices(x.T, x)])
def test_the_layout_of_memory_leaves_no_trace(function):
    spread = np.zeros((260, 171))
    spread[::2, ::3] = A
    for layout in (np.asfortranarray(A), spread[::2, ::3], A.astype(np.float32).astype(F64) * 0 + A):
        assert function(layout).tobytes() == function(A).tobytes()


@pytest.mark.parametrize(
    "shapes",
    [((3, 4), (4, 5)), ((130, 57), (57, 1)), ((1, 57), (57, 2100)), ((5, 1, 9, 3), (7, 3, 4)), ((2, 0), (0, 3))],
)
def test_matrix_products_add_one_product_after_another(shapes):
    a, b = make_values(shapes[0], seed=43, dtype=F64), make_values(shapes[1], seed=44, dtype=F64)
    expected = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))
    for term in range(a.shape[-1]):
        expected = expected + a[..., :, term, None] * b[..., None, term, :]
    assert algebra.multiply_matrices(a, b).tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [1, 7, 48, 49, 200])
def test_factors_and_solutions(size):
    a = make_values((size, size + 3), seed=45, dtype=F64)
    positive = algebra.multiply_matrices(a, a.T) + np.eye(size)
    lower = algebra.factor_cholesky(positive)
    np.testing.assert_array_equal(lower, np.tril(lower))
    np.testing.assert_allclose(lower @ lower.T, positive, atol=1e-11)
    right = make_values((size, 3), seed=46, dtype=F64)
    np.testing.assert_allclose(lower @ algebra.solve_triangular(lower, right), right, atol=1e-10)
    np.testing.assert_allclose(lower.T @ algebra.solve_triangular(lower.T, right, lower=False), right, atol=1e-10)
    np.testing.assert_allclose(positive @ algebra.solve(positive, right), right, atol=1e-9)
    inverse = algebra.invert_positive(positive)
    np.testing.assert_array_equal(inverse, inverse.T)
    np.testing.assert_allclose(inverse @ positive, np.eye(size), atol=1e-9)
    np.testing.assert_allclose(algebra.invert(a[:, :size]) @ a[:, :size], np.eye(size), atol=1e-9)
    np.testing.assert_allclose(
        algebra.find_determinants(a[:, :size]), np.linalg.det(a[:, :size]), rtol=1e-9, atol=1e-300
    )


def test_batches_are_solved_one_by_one():
    a, b = make_values((3, 1, 5, 5), seed=47, dtype=F64), make_values((2, 5, 2), seed=48, dtype=F64)
    result = algebra.solve(a, b)
    np.testing.assert_array_equal(result[1, 1], algebra.solve(a[1, 0], b[1]))


def test_matrices_without_an_answer_are_refused():
    with pytest.raises(ValueError, match="not positive definite"):
        algebra.factor_cholesky(np.array([[1.0, 2.0], [2.0, 1.0]]))
    with pytest.raises(ValueError, match="singular"):
        algebra.solve(np.ones((2, 2)), np.ones((2, 1)))


@pytest.mark.parametrize("size", [1, 2, 5, 12, 97, 256])
def test_fourier_transforms_are_numpys(size):
    z = make_values((2, 3, size), seed=49, dtype=F64)
    real, imaginary = z
    expected = np.fft.fft(real + 1j * imaginary)
    result = fourier.transform(real, imaginary)
    np.testing.assert_allclose(result[0] + 1j * result[1], expected, atol=1e-11)
    back = fourier.transform(*result, inverse=True)
    np.testing.assert_allclose(np.stack(back), z, atol=1e-12)
    half = fourier.transform_real(real, [size])
    np.testing.assert_allclose(fourier.invert_real(*half, [size]), real, atol=1e-12)


def test_running_sums_go_one_after_another():
    x = CUBE[0]
    np.testing.assert_array_equal(algebra.accumulate(x, 0), np.cumsum(x, 0))
    np.testing.assert_array_equal(algebra.accumulate(x, 1, exclusive=True)[:, 1:], np.cumsum(x, 1)[:, :-1])
    np.testing.assert_array_equal(algebra.accumulate(x, 0, np.multiply, reverse=True), np.cumprod(x[::-1], 0)[::-1])


def test_a_window_that_is_padded_counts_its_own_values():
    x = np.ones((1, 5, 5, 1))
    pads = windows.find_pads("SAME", (5, 5), (3, 3), (2, 2), (1, 1))
    np.testing.assert_array_equal(windows.average_windows(x, (3, 3), (2, 2), pads), np.ones((1, 3, 3, 1)))
    np.testing.assert_array_equal(windows.find_largest_in_windows(-x, (3, 3), (2, 2), pads), -np.ones((1, 3, 3, 1)))
