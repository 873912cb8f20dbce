"""Quantization schemes: their names, and the types of weights and activations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A quantization scheme.

    Attributes:
        name: The name in recipes.
        mode: `float`, `dynamic`, `weight_only` or `static`.
        weights: The bits of a weight, 0 for float32. In mode `float`, 16 means float16.
        activations: The bits of an activation, 0 for float32.
        grammar: The name that states the types of weights and activations, such as `static_wi8_ai8`.
    """

    name: str
    mode: str
    weights: int = 0
    activations: int = 0
    grammar: str


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="none", mode="float", grammar="float32"),
        Scheme(name="float16", mode="float", weights=16, grammar="float16"),
        Scheme(name="dynamic_int8", mode="dynamic", weights=8, grammar="dynamic_wi8_afp32"),
        Scheme(name="dynamic_int4", mode="dynamic", weights=4, grammar="dynamic_wi4_afp32"),
        Scheme(name="weight_only_int8", mode="weight_only", weights=8, grammar="weight_only_wi8_afp32"),
        Scheme(name="weight_only_int4", mode="weight_only", weights=4, grammar="weight_only_wi4_afp32"),
        Scheme(name="int8", mode="static", weights=8, activations=8, grammar="static_wi8_ai8"),
        Scheme(name="int4", mode="static", weights=4, activations=8, grammar="static_wi4_ai8"),
        Scheme(name="int16x8", mode="static", weights=8, activations=16, grammar="static_wi8_ai16"),
    )
}
NAMES = {**{scheme.grammar: name for name, scheme in SCHEMES.items()}, **{name: name for name in SCHEMES}}
CALIBRATED = tuple(name for name, scheme in SCHEMES.items() if scheme.mode == "static")
