"""What a device needs of an artifact: said by a profile, held against a recipe, and against the file itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TargetRequirements:
    """`schemes` are those that it has kernels for, empty for all; the others are keys of a recipe's target."""

    schemes: tuple[str, ...] = ()
    full_integer: bool = False
    static_shapes: bool = False
    per_tensor: bool = False
    select_tf: bool = True
    max_rank: int | None = None
