"""Settings of a Ray cluster that runs steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray cluster, and the resources of each step.

    Attributes:
        address: The address as in Ray, "" for the cluster that this machine belongs to.
        slots: The maximum number of steps at once, None for as many as the CPUs of the nodes allow.
        cpus: The CPUs that a step reserves on its node.
        memory: The memory that a step reserves on its node, in bytes. 0 for none.
        resources: (name, amount) of each other resource that a step reserves.
        store: The folder on the nodes for the inputs of steps, "" for the store of each node's user.
    """

    address: str = ""
    slots: int | None = None
    cpus: float = 1.0
    memory: int = 0
    resources: tuple[tuple[str, float], ...] = ()
    store: str = ""
