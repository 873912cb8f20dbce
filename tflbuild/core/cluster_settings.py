"""Which Ray cluster takes the steps, and what each may have of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """`address` as Ray writes it, "" for the cluster that this machine belongs to.

    `slots` is the most steps at once, None for as many as the nodes' CPUs allow. A step holds `cpus`, `memory` (bytes,
    0 for none) and `resources` (name, amount) of its node. `store` is the nodes' folder for what they are sent, "" for
    each one's own store.
    """

    address: str = ""
    slots: int | None = None
    cpus: float = 1.0
    memory: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    store: str = ""
