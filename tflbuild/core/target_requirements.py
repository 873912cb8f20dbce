"""Requirements of a target, which are checked against the recipe and against the artifact."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TargetRequirements:
    """The requirements of a target.

    Attributes:
        schemes: The quantization schemes for which the target has kernels. Empty for all.
        full_integer: All operators must compute in integers.
        static_shapes: There may be no dynamic dimensions.
        per_tensor: Weights must be quantized with one scale for each tensor.
        select_tf: TensorFlow operators are allowed.
        max_rank: The maximum number of dimensions of a tensor, None for any.
    """

    schemes: tuple[str, ...] = ()
    full_integer: bool = False
    static_shapes: bool = False
    per_tensor: bool = False
    select_tf: bool = True
    max_rank: int | None = None
