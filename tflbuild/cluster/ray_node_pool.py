"""The nodes of a Ray cluster that take steps: found, held against this machine, watched, counted."""

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
PATIENCE_SECONDS = 60.0  # without any node that takes steps
SILENCE_SECONDS = 45.0  # of the cluster itself; after 60 Ray ends this process, without a word to its user
REST_SECONDS = 15.0  # of a node on which a run was lost, before it is tried again
MOST_NODES = 10_000
NOT_THERE = ("ModuleNotFoundError", "ImportError", "AttributeError")  # no tflbuild, or one without this room
FAREWELL_SECONDS = 1.0
KEEPER_CALLS = 1000  # at once; Ray's CPUs are what bounds the steps of a node


class NoNodeError(MachineError):
    """No node of the cluster takes steps."""


@dataclass
class RayNode:
    """A node that makes the same bytes as this machine. `busy` of its `slots` are taken."""

    id: str
    name: str
    slots: int
    keeper: Any
    busy: int = 0


class RayNodePool:
    """What is known of each node, by Ray's id, which no node gets twice."""

    def __init__(self, cluster: Cluster, say: Callable[[dict[str, Any]], None]) -> None:
        self.cluster = cluster
        self.say = say
        self.mine = describe()
        self._change = threading.Condition()
        self._usable: dict[str, RayNode] = {}
        self._refused: dict[str, str] = {}  # node -> why, for good
        self._resting: dict[str, float] = {}  # node -> when it may be tried again
        self._checking: set[str] = set()
        self._troubles: dict[str, str] = {}  # name -> what was last wrong
        self._heard = self._served = time.monotonic()  # when the cluster answered, when a node took steps
        self._slots = 0
        self._total = self._able = 0
        self._keeper = ray.remote(NodeActor)
        threading.Thread(target=self._watch, daemon=True).start()

    # for those who carry steps

    def take(self) -> RayNode:
        """A slot of the node that has most of its own free. Raises NoNodeError when there is none for too long."""
        with self._change:
            while True:
                free = [node for node in self._usable.values() if node.busy < node.slots]
                if free:
                    node = min(free, key=lambda one: one.busy / one.slots)
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
        """The slot is free again."""
        with self._change:
            node.busy -= 1
            self._change.notify_all()

    def rest(self, node: RayNode, why: str) -> None:
        """A run was lost there: nothing more goes to it until it answers again."""
        with self._change:
            node.busy -= 1
            self._troubles[node.name] = why
            self._resting[node.id] = time.monotonic() + REST_SECONDS
            self._drop(node)

    def refuse(self, node: RayNode, why: str) -> None:
        """It cannot be trusted: nothing more goes to it."""
        with self._change:
            node.busy -= 1
            self._drop(node)
        self._turn_away(node.id, node.name, why)

    def silence(self) -> MachineError | None:
        """What to say when the cluster itself does not answer any more."""
        if time.monotonic() - self._heard < SILENCE_SECONDS:
            return None
        return MachineError(
            f"the Ray cluster has not answered for {SILENCE_SECONDS:.0f} s",
            where="executor.address",
            next_step="what was built is kept; the same command goes on from there when the cluster is back",
        )

    def close(self) -> None:
        """Let every node tidy up; one that does not answer is left to the next build, which does it then."""
        with self._change:
            keepers = [node.keeper for node in self._usable.values()]
        if keepers:
            farewells = [keeper.close.remote() for keeper in keepers]
            ray.wait(farewells, num_returns=len(farewells), timeout=FAREWELL_SECONDS)

    # for the watching threads

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
        """Say how many steps the nodes take, when that has changed."""
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
            except Exception:  # it may come back; `silence` counts
                time.sleep(WATCH_SECONDS)
                continue
            self._heard = time.monotonic()
            able = {identity: slots for identity, node in alive.items() if (slots := self._slots_of(node))}
            with self._change:
                self._total, self._able = len(alive), len(able)
                for node in [one for one in self._usable.values() if one.id not in able]:
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
        """How many more nodes are of use: no more than there are slots."""
        held = len(self._usable) + len(self._checking)
        return MOST_NODES if self.cluster.slots is None else max(0, self.cluster.slots - held)

    def _may_be_asked(self, identity: str) -> bool:
        rested = self._resting.get(identity, 0.0) <= time.monotonic()
        known = identity in self._usable or identity in self._refused or identity in self._checking
        return rested and not known

    def _slots_of(self, node: Mapping[str, Any]) -> int:
        """How many steps a node can hold at once, by all that a step holds of it."""
        wanted = {"CPU": self.cluster.cpus, "memory": self.cluster.memory, **dict(self.cluster.resources)}
        has = node["Resources"]
        return min(int(has.get(name, 0) / amount) for name, amount in wanted.items() if amount)

    def _check(self, identity: str, name: str, slots: int) -> None:
        """Start a node's keeper and hold what it says against what holds here."""
        place = NodeAffinitySchedulingStrategy(identity, soft=False)
        options = {"num_cpus": 0, "max_concurrency": KEEPER_CALLS, "scheduling_strategy": place}
        try:
            keeper = self._keeper.options(**options).remote(self.cluster.store)
            theirs = ray.get(keeper.describe.remote(), timeout=PATIENCE_SECONDS)
        except Exception as error:
            lines = [line for line in str(error).split("\n") if line.strip()]
            said = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
            why = f"tflbuild cannot be started there: {said.strip()}"
            if any(word in said for word in NOT_THERE):
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
