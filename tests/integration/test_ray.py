"""A sweep on a real Ray cluster of several nodes, on this machine: the same bytes, whatever happens to a node."""

from __future__ import annotations

import os
import random
import re
import shutil
import time

import endings
import pytest
from commandline import ROOT
from endings import assert_every_end_is_told, write_fragile
from needs import needs_module
from processes import started, until

pytestmark = [pytest.mark.heavy, needs_module("ray", "ray")]

SWEEP = ("-m", "+recipe=ready", "quantization=none,float16,dynamic_int8,int8", "verify.dataset.count=200")
KILLS = int(os.environ.get("TFLBUILD_TEST_KILLS", "1"))  # moments to try
SECONDS = 15  # about what the sweep takes
SMALL = {"object_store_memory": 80 << 20}  # the least that Ray takes


def artifacts(project):
    """Variant -> the artifact's bytes."""
    return {path.parent.name: path.read_bytes() for path in project.folder.rglob("model.tflite")}


class Machines:
    """A head that takes no steps, and nodes with one CPU and a store each."""

    def __init__(self, base):
        from ray import cluster_utils

        self.base = base
        self.cluster = cluster_utils.Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **SMALL}
        )
        self.nodes = {}

    def add(self, name, **environment):
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        told = {"PYTHONPATH": paths, "TFLBUILD_STORE": str(self.base / name), **environment}
        self.nodes[name] = self.cluster.add_node(num_cpus=1, env_vars=told, **SMALL)

    def kill(self, name):
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def blobs(self, name):
        return list((self.base / name / "cas").glob("*/*"))

    def at_work(self, module):
        """A node that does a step of that module."""
        steps = self.base.glob(f"*/tmp/*/{module}/input.json")
        return next((path.relative_to(self.base).parts[0] for path in steps), None)

    @property
    def flags(self):
        return ("executor=ray", f"executor.address={self.cluster.address}")


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    machines = Machines(tmp_path_factory.mktemp("nodes"))
    machines.add("one")
    machines.add("two")
    yield machines
    machines.cluster.shutdown()


@pytest.fixture(scope="module")
def wanted(ready_project):
    """The artifacts of a sweep on this machine alone."""
    project = ready_project()
    done = project.run(*SWEEP)
    assert done.code == 0, done.err
    return artifacts(project)


def test_a_sweep_on_two_nodes_that_share_no_folder_gives_the_same_bytes(machines, ready_project, wanted):
    project = ready_project()
    done = project.run(*SWEEP, *machines.flags)
    assert done.code == 0, done.err
    assert artifacts(project) == wanted
    assert machines.blobs("one") and machines.blobs("two"), "a node had nothing to do"
    assert not list((project.store / "tmp").iterdir())
    assert not list(machines.base.glob("*/tmp/*")), "a node keeps what was for this sweep alone"


def test_a_node_that_dies_in_mid_sweep_costs_its_running_steps_alone(machines, ready_project, wanted):
    project = ready_project()
    with started(project, *SWEEP, *machines.flags) as finish:
        machines.kill(until(lambda: machines.at_work("steps.calibration.litert_calibrate"), "a node that calibrates"))
        done = finish()
    assert done.code == 0, done.err
    assert artifacts(project) == wanted
    assert done.err.count("was lost") == 1, done.err  # a node with one CPU has one step at work


@pytest.mark.parametrize("number", range(KILLS))
def test_a_node_that_is_killed_at_any_moment_loses_nothing(machines, ready_project, wanted, number):
    chance = random.Random(f"node {number}")
    machines.add(f"spare-{number}")
    project = ready_project()
    with started(project, *SWEEP, *machines.flags) as finish:
        time.sleep(chance.uniform(0, SECONDS))
        machines.kill(chance.choice(sorted(machines.nodes)))
        done = finish()
    assert done.code == 0, done.err
    assert artifacts(project) == wanted


def test_every_way_to_fail_is_a_row_with_its_reason(machines, ready_project):
    project = write_fragile(ready_project())
    assert_every_end_is_told(project, project.run(*endings.SWEEP, *machines.flags))


TAMPER = """
put = put_file
def put_file(path):
    if path.suffix == ".tflite":
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    return put(path)
"""


def test_a_node_with_other_code_or_other_bytes_is_found_out_and_not_used(machines, ready_project, wanted, tmp_path):
    """One node has another version of a step's code; another sends models that it changed after hashing them."""
    changes = {
        "older": ("steps/quantization/litert_quantize.py", "CHANGED = True\n"),
        "tampered": ("cluster/ray_node.py", TAMPER),
    }
    for name, (module, text) in changes.items():
        package = tmp_path / name / "tflbuild"
        shutil.copytree(ROOT / "tflbuild", package, ignore=shutil.ignore_patterns("__pycache__"))
        with open(package / module, "a") as file:
            file.write(text)
        machines.add(name, PYTHONPATH=str(package.parent))
    project = ready_project()
    done = project.run(*SWEEP, *machines.flags)
    assert done.code == 0, done.err
    assert artifacts(project) == wanted
    assert "takes no steps: tflbuild's own code of quantize, sensitivity is not the same" in done.err
    assert not machines.blobs("older")
    assert re.search(r"takes no steps: model.tflite had the digest \w{12} when sent, and \w{12} on arrival", done.err)
