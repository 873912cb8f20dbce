"""The pool of Ray nodes that run steps. Nodes are found, compared with this machine, and watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tflbuild.cluster.ray_node import NodeActor, describe
from tflbuild.core.cluster_settings import Cluster
from tflbuild.errors import MachineError
from tflbuild.resolve.toolchain import differences

WATCH_SECONDS = 1.0
# How long a build waits while no node can run steps.
PATIENCE_SECONDS = 60.0
# How long the cluster may not answer. After 60 s, Ray ends this process without a message to the user.
SILENCE_SECONDS = 45.0
# How long a node is not used after a run on it was lost.
REST_SECONDS = 15.0
MOST_NODES = 10_000
# Names of errors on a node that has no tflbuild, or a version without this package.
NOT_INSTALLED = ("ModuleNotFoundError", "ImportError", "AttributeError")
FAREWELL_SECONDS = 1.0
# How many calls the actor of a node handles at once. The number of steps is limited by the CPUs in Ray.
KEEPER_CALLS = 1000


class NoNodeError(MachineError):
    """A cluster without a node that can run steps."""


@dataclass
class RayNode:
    """A node with the same toolchains as this machine. `busy` of its `slots` are in use."""

    id: str
    name: str
    slots: int
    keeper: Any
    busy: int = 0


class RayNodePool:
    """The pool of nodes, by their ids in Ray, which are never reused."""

    def __init__(self, cluster: Cluster, say: Callable[[dict[str, Any]], None]) -> None:
        self.cluster = cluster
        self.say = say
        self.mine = describe()
        self._change = threading.Condition()
        self._usable: dict[str, RayNode] = {}
        # Why a node is never used, by its id.
        self._refused: dict[str, str] = {}
        # When a node may be used again, by its id.
        self._resting: dict[str, float] = {}
        self._checking: set[str] = set()
        # The last fault of each node, by its name.
        self._troubles: dict[str, str] = {}
        # When the cluster has last answered, and when there was last a usable node.
        self._heard = self._served = time.monotonic()
        self._slots = 0
        self._total = self._able = 0
        self._keeper = ray.remote(NodeActor)
        threading.Thread(target=self._watch, daemon=True).start()

    # methods for the threads of steps

    def take(self) -> RayNode:
        """Reserve a slot on the node with the largest fraction of free slots, and return the node.

        Raises:
            NoNodeError: There has been no usable node for too long.
        """
        with self._change:
            while True:
                free = [node for node in self._usable.values() if node.busy < node.slots]
                if free:
                    node = min(free, key=lambda node: node.busy / node.slots)
                    node.busy += 1
                    return node
                if not self._usable and self._hopeless():
                    raise NoNodeError(
                        "no node of the Ray cluster takes steps",
                        why="\n".join(f"node {name}: {why}" for name, why in self._troubles.items())
                        or f"none of its {self._total} nodes has {self._wanted()}",
                        next_step="ray status shows the cluster; executor=local builds without it",
                    )
                self._change.wait(WATCH_SECONDS)

    def give_back(self, node: RayNode) -> None:
        """Release a slot."""
        with self._change:
            node.busy -= 1
            self._change.notify_all()

    def rest(self, node: RayNode, why: str) -> None:
        """Release a slot on which a run was lost, and do not use the node for REST_SECONDS."""
        with self._change:
            node.busy -= 1
            self._troubles[node.name] = why
            self._resting[node.id] = time.monotonic() + REST_SECONDS
            self._drop(node)

    def refuse(self, node: RayNode, why: str) -> None:
        """Release a slot, and never use the node again, because it cannot be trusted."""
        with self._change:
            node.busy -= 1
            self._drop(node)
        self._turn_away(node.id, node.name, why)

    def silence(self) -> MachineError | None:
        """Return the error for a cluster that has not answered for SILENCE_SECONDS, else None."""
        if time.monotonic() - self._heard < SILENCE_SECONDS:
            return None
        return MachineError(
            f"the Ray cluster has not answered for {SILENCE_SECONDS:.0f} s",
            where="executor.address",
            next_step="run the same command again when the cluster answers; finished steps are kept",
        )

    def close(self) -> None:
        """Let every node remove its folder. If a node does not answer, the next build removes it."""
        with self._change:
            keepers = [node.keeper for node in self._usable.values()]
        if keepers:
            farewells = [keeper.close.remote() for keeper in keepers]
            ray.wait(farewells, num_returns=len(farewells), timeout=FAREWELL_SECONDS)

    # methods for the threads that watch the cluster

    def _hopeless(self) -> bool:
        refused = self._able and len(self._refused) >= self._able and not self._checking
        return bool(refused) or time.monotonic() - self._served > PATIENCE_SECONDS

    def _wanted(self) -> str:
        wanted = {"CPU": self.cluster.cpus, "memory": self.cluster.memory, **dict(self.cluster.resources)}
        return ", ".join(f"{name} {amount:g}" for name, amount in wanted.items() if amount)

    def _drop(self, node: RayNode) -> None:
        if self._usable.pop(node.id, None) is not None:
            self._count()

    def _count(self) -> None:
        """Report how many steps the nodes can run at once, if that number has changed."""
        slots = sum(node.slots for node in self._usable.values())
        slots = max(1, slots if self.cluster.slots is None else min(slots, self.cluster.slots))
        if slots != self._slots:
            self._slots = slots
            self.say({"slots": slots})
        self._change.notify_all()

    def _turn_away(self, identity: str, name: str, why: str) -> None:
        with self._change:
            self._refused[identity] = self._troubles[name] = why
            self._change.notify_all()
        self.say({"notice": f"warning: node {name} takes no steps: {why}"})

    def _watch(self) -> None:
        while True:
            try:
                alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
            except Exception:
                # The cluster may answer again. `silence` limits how long it may not.
                time.sleep(WATCH_SECONDS)
                continue
            self._heard = time.monotonic()
            able = {identity: slots for identity, node in alive.items() if (slots := self._slots_of(node))}
            with self._change:
                self._total, self._able = len(alive), len(able)
                for node in [node for node in self._usable.values() if node.id not in able]:
                    self._drop(node)
                self._refused = {identity: why for identity, why in self._refused.items() if identity in able}
                if self._usable:
                    self._served = self._heard
                new = [identity for identity in able if self._may_be_asked(identity)][: self._places_left()]
                self._checking.update(new)
            for identity in new:
                asked = (identity, f"{alive[identity]['NodeName']} ({identity[:8]})", able[identity])
                threading.Thread(target=self._check, args=asked, daemon=True).start()
            time.sleep(WATCH_SECONDS)

    def _places_left(self) -> int:
        """Return how many more nodes are needed. With `slots`, no more nodes than slots are used."""
        count = len(self._usable) + len(self._checking)
        return MOST_NODES if self.cluster.slots is None else max(0, self.cluster.slots - count)

    def _may_be_asked(self, identity: str) -> bool:
        rested = self._resting.get(identity, 0.0) <= time.monotonic()
        known = identity in self._usable or identity in self._refused or identity in self._checking
        return rested and not known

    def _slots_of(self, node: Mapping[str, Any]) -> int:
        """Return how many steps a node can run at once, by the resources that each step reserves."""
        per_step = {"CPU": self.cluster.cpus, "memory": self.cluster.memory, **dict(self.cluster.resources)}
        resources = node["Resources"]
        return min(int(resources.get(name, 0) / amount) for name, amount in per_step.items() if amount)

    def _check(self, identity: str, name: str, slots: int) -> None:
        """Start the actor of a node, compare its toolchains with those of this machine, and add or refuse the node."""
        affinity = NodeAffinitySchedulingStrategy(identity, soft=False)
        options = {"num_cpus": 0, "max_concurrency": KEEPER_CALLS, "scheduling_strategy": affinity}
        try:
            keeper = self._keeper.options(**options).remote(self.cluster.store)
            theirs = ray.get(keeper.describe.remote(), timeout=PATIENCE_SECONDS)
        except Exception as error:
            lines = [line for line in str(error).split("\n") if line.strip()]
            said = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
            why = f"tflbuild cannot be started there: {said.strip()}"
            if any(word in said for word in NOT_INSTALLED):
                self._turn_away(identity, name, why)
            with self._change:
                self._checking.discard(identity)
                self._resting[identity] = time.monotonic() + REST_SECONDS
                self._troubles[name] = why
            return
        different = differences(self.mine, theirs)
        if different:
            ray.kill(keeper)
            self._turn_away(identity, name, "; ".join(different))
        with self._change:
            self._checking.discard(identity)
            if not different:
                self._usable[identity] = RayNode(identity, name, slots, keeper)
                self._served = time.monotonic()
                self._count()
