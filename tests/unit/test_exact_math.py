"""Functions in float64 against 90-digit arithmetic, within the limits of their docstrings, and at special values."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import wraps

import exact_battery
import numpy as np
import pytest
from exact_cases import make_values

from tflbuild.exact import exact_arithmetic, exact_constants
from tflbuild.exact import exact_math as elementary
from tflbuild.exact import exact_special as special
from tflbuild.exact import exact_trigonometry as angles

F64 = np.float64
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798")


def precisely(function):
    """Compute with 90 digits."""

    @wraps(function)
    def compute(*values):
        with localcontext() as context:
            context.prec = 90
            return +function(*(Decimal(value) for value in values))

    return compute


def sum_terms(term, next_term):
    total, index = Decimal(0), 0
    while abs(term) > Decimal(10) ** -88 * max(abs(total), Decimal("1e-300")) and index < 3000:
        total += term
        index += 1
        term = next_term(term, index)
    return total


def sine(x):
    x = x % (2 * PI)
    return sum_terms(x, lambda term, k: -term * x * x / ((2 * k) * (2 * k + 1)))


def arctangent(x):
    if abs(x) > 1:
        return (PI / 2).copy_sign(x) - arctangent(1 / x)
    for _ in range(8):
        x = x / (1 + (1 + x * x).sqrt())
    power = [x]

    def next_term(_, k):
        power[0] *= -x * x
        return power[0] / (2 * k + 1)

    return 256 * sum_terms(x, next_term)


def error_function(x):
    scale = 2 / PI.sqrt() * (-x * x).exp()
    return scale * sum_terms(x, lambda term, k: term * 2 * x * x / (2 * k + 1))


def log_gamma(x, derivative=False):
    shift = Decimal(0)
    while x < 60:
        shift += 1 / x if derivative else x.ln()
        x += 1
    total = x.ln() - 1 / (2 * x) if derivative else (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2
    for k, number in enumerate(exact_constants.list_bernoulli(30), 1):
        bernoulli = Decimal(number.numerator) / number.denominator
        total += (
            -bernoulli / (2 * k * x ** (2 * k)) if derivative else bernoulli / (2 * k * (2 * k - 1) * x ** (2 * k - 1))
        )
    return total - shift


def bessel(x, order):
    return sum_terms((x / 2) ** order, lambda term, k: term * x * x / (4 * k * (k + order)))


def arcsine(x):
    return (PI / 2).copy_sign(x) if abs(x) == 1 else arctangent(x / (1 - x * x).sqrt())


def hyperbolic(x):
    return (x.exp() - (-x).exp()) / 2


def span(low, high, count=60):
    return make_values(count, low, high, seed=int(abs(high)) + count, dtype=F64)


NEAR = np.concatenate([span(-1e-6, 1e-6, 10), span(-1, 1, 30), span(-9, 9, 30)])
UNIT = np.concatenate([span(-1, 1), [1, -1, 1 - 2.0**-53, 2.0**-30]])
ABOVE = np.exp2(np.concatenate([span(-60, 60), span(-0.01, 0.01)]).round(6))
FAR = np.array([1e5, 99999.9, 1.2345e8, 2.0**52 + 1, 3e22, 1.7e300, 6381956970095103.0 * 2.0**797])
# name: function, its exact value, arguments, the logarithm of the largest relative error
CASES = {
    "exp": (elementary.exp, lambda x: x.exp(), np.concatenate([NEAR, span(-700, 700)]), -51.8),
    "expm1": (elementary.expm1, lambda x: x.exp() - 1, np.concatenate([NEAR, span(-50, 700)]), -50.5),
    "log": (elementary.log, lambda x: x.ln(), ABOVE, -52),
    "log1p": (elementary.log1p, lambda x: (1 + x).ln(), np.concatenate([span(-0.99, 1), ABOVE]), -51),
    "sinh": (elementary.sinh, hyperbolic, np.concatenate([NEAR, span(-700, 700)]), -50),
    "cosh": (elementary.cosh, lambda x: (x.exp() + (-x).exp()) / 2, np.concatenate([NEAR, span(-700, 700)]), -50),
    "tanh": (elementary.tanh, lambda x: 1 - 2 / ((2 * x).exp() + 1), NEAR, -50),
    "asinh": (elementary.asinh, lambda x: (x + (x * x + 1).sqrt()).ln(), np.concatenate([NEAR, ABOVE]), -50),
    "acosh": (elementary.acosh, lambda x: (x + (x * x - 1).sqrt()).ln(), 1 + ABOVE, -50),
    "atanh": (elementary.atanh, lambda x: ((1 + x) / (1 - x)).ln() / 2, span(-0.999, 0.999), -50),
    "sigmoid": (elementary.sigmoid, lambda x: 1 / (1 + (-x).exp()), np.concatenate([NEAR, span(-700, 40)]), -51),
    "softplus": (elementary.softplus, lambda x: (1 + x.exp()).ln(), np.concatenate([NEAR, span(-90, 90)]), -50),
    "sin": (angles.sin, sine, np.concatenate([NEAR, span(-99999, 99999)]), -51),
    "cos": (angles.cos, lambda x: sine(x + PI / 2), np.concatenate([NEAR, span(-99999, 99999)]), -51),
    "tan": (angles.tan, lambda x: sine(x) / sine(x + PI / 2), np.concatenate([NEAR, span(-99999, 99999)]), -50),
    "atan": (angles.atan, arctangent, np.concatenate([NEAR, span(-1e6, 1e6)]), -51),
    "asin": (angles.asin, arcsine, UNIT, -50),
    "acos": (angles.acos, lambda x: PI / 2 - arcsine(x), UNIT[UNIT < 1], -50),
    "erf": (special.erf, error_function, np.concatenate([NEAR, span(-3, 3)]), -50),
    "erfc": (special.erfc, lambda x: 1 - error_function(x), np.concatenate([NEAR, span(-3, 10)]), -50),
    "bessel_i0": (special.bessel_i0, lambda x: bessel(x, 0), np.concatenate([NEAR, span(-60, 60)]), -49),
    "bessel_i1": (special.bessel_i1, lambda x: bessel(x, 1), np.concatenate([NEAR, span(-60, 60)]), -49),
    "bessel_i0e": (special.bessel_i0e, lambda x: bessel(x, 0) * (-abs(x)).exp(), span(-60, 60), -49),
    "bessel_i1e": (special.bessel_i1e, lambda x: bessel(x, 1) * (-abs(x)).exp(), span(-60, 60), -49),
    "lgamma": (special.lgamma, log_gamma, np.concatenate([ABOVE[ABOVE < 1e6], span(0, 20), 2 + span(-0.1, 0.1)]), -49),
}


@pytest.mark.parametrize("name", CASES)
def test_relative_errors_stay_below_their_limits(name):
    function, exact, points, limit = CASES[name]
    with np.errstate(all="ignore"):
        results = function(points)
    for point, result in zip(points, results, strict=True):
        reference = precisely(exact)(float(point))
        error = abs(Decimal(float(result)) - reference)
        assert error <= Decimal(2.0**limit) * abs(reference) or error < Decimal(2) ** -1074, (point, result)


def test_large_angles_are_reduced_exactly():
    turns = Fraction(exact_constants.compute_pi(1600), 1 << 1600)
    for point, result in zip(FAR, angles.sin(FAR.copy()), strict=True):
        rest = Fraction(point) % (2 * turns)
        exact = precisely(lambda x, y: sine(x / y))(rest.numerator, rest.denominator)
        assert abs(Decimal(float(result)) - exact) <= Decimal(2.0**-51) * abs(exact)


def test_inverse_error_functions_undo_the_error_function():
    points = np.concatenate([span(0.001, 3, 40), [1e-9, 5.0]])
    for point, result in zip(points, special.erfinv(special.erf(points)), strict=True):
        slope = 2 / math.sqrt(math.pi) * math.exp(-point * point)
        assert abs(result - point) <= 2**-48 * point + 2**-52 / slope
    tail = np.concatenate([span(0.6, 6), [20.0]])
    np.testing.assert_allclose(special.ndtri(special.erfc(tail) / 2), -tail * math.sqrt(2), rtol=2**-46)


def test_digamma_agrees_with_its_series():
    points = np.concatenate([ABOVE[ABOVE < 1e6], span(0, 20)])
    for point, result in zip(points, special.digamma(points), strict=True):
        exact = precisely(lambda x: log_gamma(x, derivative=True))(float(point))
        assert abs(Decimal(float(result)) - exact) <= Decimal(2.0**-48) * max(abs(exact), 1)


def test_powers_are_exact_where_they_can_be_and_near_elsewhere():
    bases, exponents = np.meshgrid([3.0, -7.0, 1.5, 10.0, 0.1], np.arange(-20.0, 21.0))
    for base, exponent, result in zip(bases.flat, exponents.flat, elementary.power(bases, exponents).flat, strict=True):
        exact = Fraction(base) ** int(exponent)
        assert abs(Fraction(result) - exact) <= abs(exact) / 2**52
        assert Fraction(float(exact)) != exact or result == float(exact)
    x, y = ABOVE, span(-40, 40, len(ABOVE))
    with np.errstate(all="ignore"):
        results = elementary.power(x, y)
    for base, exponent, result in zip(x, y, results, strict=True):
        exact = precisely(lambda a, b: (b * a.ln()).exp())(float(base), float(exponent))
        if Decimal("1e-300") < exact < Decimal("1e300"):
            assert abs(Decimal(float(result)) - exact) <= Decimal(2.0**-48) * exact


@pytest.mark.parametrize("name", ["pow", "atan2"])
def test_two_arguments_have_the_limits_of_ieee_754(name):
    values = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, -3.0, 2.0, math.inf, -math.inf, math.nan, 1e300, -1e300]
    function, reference = (elementary.power, np.power) if name == "pow" else (angles.atan2, np.arctan2)
    x, y = np.meshgrid(values, values)
    with np.errstate(all="ignore"):
        result, expected = function(x, y), reference(x, y)
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result)[numbers], np.signbit(expected)[numbers])


def test_special_values():
    inf, nan = math.inf, math.nan
    points = np.array([0.0, -0.0, inf, -inf, nan])
    expected = {
        elementary.exp: [1, 1, inf, 0, nan],
        elementary.expm1: [0, -0.0, inf, -1, nan],
        elementary.log: [-inf, -inf, inf, nan, nan],
        elementary.log1p: [0, -0.0, inf, nan, nan],
        elementary.sinh: [0, -0.0, inf, -inf, nan],
        elementary.cosh: [1, 1, inf, inf, nan],
        elementary.tanh: [0, -0.0, 1, -1, nan],
        elementary.asinh: [0, -0.0, inf, -inf, nan],
        elementary.acosh: [nan, nan, inf, nan, nan],
        elementary.atanh: [0, -0.0, nan, nan, nan],
        elementary.sigmoid: [0.5, 0.5, 1, 0, nan],
        elementary.softplus: [elementary.LOG_2_HIGH + elementary.LOG_2_LOW] * 2 + [inf, 0, nan],
        angles.sin: [0, -0.0, nan, nan, nan],
        angles.cos: [1, 1, nan, nan, nan],
        angles.tan: [0, -0.0, nan, nan, nan],
        angles.atan: [0, -0.0, math.pi / 2, -math.pi / 2, nan],
        angles.asin: [0, -0.0, nan, nan, nan],
        angles.acos: [math.pi / 2] * 2 + [nan] * 3,
        special.erf: [0, -0.0, 1, -1, nan],
        special.erfc: [1, 1, 0, 2, nan],
        special.erfinv: [0, -0.0, nan, nan, nan],
        special.ndtri: [-inf, -inf, nan, nan, nan],
        special.lgamma: [inf, inf, inf, inf, nan],
        special.digamma: [nan, nan, inf, nan, nan],
    }
    for function, values in expected.items():
        with np.errstate(all="ignore"):
            result = function(points.copy())
        np.testing.assert_array_equal(result, values, err_msg=function.__name__)
        kept = ~np.isnan(result)
        np.testing.assert_array_equal(np.signbit(result[kept]), np.signbit(values)[kept], err_msg=function.__name__)


def test_constants_have_the_digits_of_the_literature():
    def digits(number, count=35):
        return str(number.numerator * 10**count // number.denominator)

    assert digits(exact_constants.LOG_2) == "69314718055994530941723212145817656"
    assert digits(exact_constants.PI) == "314159265358979323846264338327950288"
    assert digits(exact_constants.compute_euler(), 30) == "577215664901532860606512090082"
    assert digits(exact_constants.compute_zeta_less_one(3), 30) == "202056903159594285399738161511"
    assert digits(special.LOG_PI, 30) == "1144729885849400174143427351353"


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_values_are_rounded_once_to_nearest_even(name):
    import ml_dtypes

    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    bits, least = exact_arithmetic.FORMATS[name]
    steps = np.arange(-5, 6) * 0.5
    for exponent in (0, 3, least, least - 3, least - bits):
        unit = 2.0 ** (max(exponent, least) - bits + 1)
        start = 2.0**exponent if exponent > least - bits else 0.0
        values = np.concatenate([start + steps * unit, start + (steps + 2.0**-20) * unit])
        expected = np.rint(values / unit) * unit
        lower = values < 2.0**exponent  # there the unit is half as large
        kept = ~lower if exponent > least else np.full(len(values), True)
        np.testing.assert_array_equal(exact_arithmetic.round_to(values, dtype).astype(F64)[kept], expected[kept])
    edges = exact_arithmetic.round_to(np.array([np.inf, -np.inf, -np.nan, 1e300, -0.0]), dtype)
    assert np.array_equal(edges.astype(F64), [np.inf, -np.inf, np.nan, np.inf, 0], equal_nan=True)
    assert not np.signbit(edges[2]) and np.signbit(edges[4])


def test_subnormal_numbers_are_kept():
    tiny = np.array([1e-40, -3e-45], np.float32)
    doubled = exact_arithmetic.apply_in_chunks(np.add, [tiny, tiny], tiny.dtype)
    np.testing.assert_array_equal(doubled, tiny.view(np.float32) * np.float32(2))
    assert (doubled != 0).all()


def test_chunks_leave_no_trace(monkeypatch):
    x, y = make_values((7, 11)), make_values(11, seed=3)
    whole = exact_arithmetic.apply_in_chunks(np.multiply, [x, y], x.dtype)
    monkeypatch.setattr(exact_arithmetic, "CHUNK", 5)
    np.testing.assert_array_equal(exact_arithmetic.apply_in_chunks(np.multiply, [x, y], x.dtype), whole)
    assert exact_arithmetic.apply_in_chunks(np.multiply, [x[:0], y], x.dtype).shape == (0, 11)


def test_the_digests_are_those_of_every_machine():
    """The digests were equal on an EPYC and on emulated Nehalem, Haswell, EPYC and aarch64."""
    golden = exact_battery.read_golden()
    assert {name: value for name, value in exact_battery.measure_digests().items() if golden.get(name) != value} == {}
