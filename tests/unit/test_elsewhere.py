"""Steps that other machines run, as the executor sees them: slots, losses, notices, and what stays here."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from quick_server import QuickServer

from tflbuild.cluster.ray_server import RayCluster, RayServer
from tflbuild.core.cluster_settings import Cluster
from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.step import Plan, Step
from tflbuild.errors import MachineError
from tflbuild.execute import executor as executors
from tflbuild.execute.events import Notice, StepRetried
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.execute.worker_process import WorkerExit
from tflbuild.resolve.toolchain import differences, toolchains
from tflbuild.storage.store import Store

TIE = CpuDependence("Svd", "w", "its order of sums differs")
LOST = "its run on node far was lost: NodeDiedError: gone"


class FarServer(QuickServer):
    """Answers at once: what `fate` says of a step's number n, and of how often it came; then it is done."""

    def __init__(self, fate, facts=None):
        super().__init__("far", facts or {})
        self.fate, self.other = fate, None
        self.most, self.seen = 0, []

    def send(self, request, module, folder, seconds):
        self.seen.append(number_in(folder))
        super().send(request, module, folder, seconds)
        self.most = max(self.most, len(self.at_work))

    def receive(self):
        request, folder = self.take()
        number = number_in(folder)
        if told := self.fate(number, self.seen.count(number)):
            return [Notice("look"), WorkerExit(request, None, None, "", 0.0, 0, lost=told)]
        return [self.finish(request, folder, str(number))]


def number_in(folder):
    """The number n of the step that is laid out in a folder."""
    return json.loads((folder / "input.json").read_text())["params"]["n"]


class Far:
    name = "far"

    def __init__(self, server, slots, keeps_last):
        self.server, self.slots, self.keeps_last = server, slots, keeps_last

    def accepts(self, step):
        return step.params["n"] != 5 or not self.keeps_last

    def open(self, store, folder):
        return self.server


@pytest.fixture
def run(tmp_path):
    """Executes six steps far away; (results by n, events, server)."""

    def execute(fate, slots=2, limits=None, keeps_last=False, facts=None):
        steps = [Step(kind="check", params={"n": n}, inputs=(), toolchain={}, title=f"check {n}") for n in range(6)]
        plan = Plan(steps={step.id: step for step in steps}, goals=())
        server, events = FarServer(fate, facts), []
        with Executor(Store(tmp_path / "store"), events.append, limits or Limits(jobs=1)) as executor:
            executor.remote_executor = Far(server, slots, keeps_last)
            results = executor.execute(plan)
        return {step.params["n"]: results[step.id] for step in steps}, events, server

    return execute


def test_as_many_are_at_work_as_there_are_slots_whatever_the_jobs_here(run):
    results, _, server = run(lambda number, times: "", slots=4)
    assert {result.status for result in results.values()} == {"ran"} and server.most == 4


def test_what_runs_there_takes_neither_a_job_nor_memory_here(run, monkeypatch):
    here = FarServer(lambda number, times: "")
    beside = []
    send = here.send
    monkeypatch.setattr(executors, "WorkerServerProcess", lambda name, folder: here)
    monkeypatch.setattr(here, "send", lambda *request: (beside.append(here.other.at_work[:]), send(*request)))
    monkeypatch.setattr(Far, "open", lambda far, store, folder: setattr(here, "other", far.server) or far.server)
    results, _, server = run(lambda number, times: "", slots=5, limits=Limits(jobs=1, memory=1), keeps_last=True)
    assert {result.status for result in results.values()} == {"ran"}
    assert here.seen == [5] and server.most == 5 and len(beside[0]) == 5


def test_a_step_that_is_lost_once_is_run_again(run):
    results, events, server = run(lambda number, times: LOST if number == 2 and times == 1 else "")
    assert {result.status for result in results.values()} == {"ran"}
    assert server.seen.count(2) == 2 and len(server.seen) == 7
    assert [event.reason for event in events if isinstance(event, StepRetried)] == [LOST]
    assert Notice("look") in events


def test_a_step_that_is_lost_twice_fails_alone_and_says_why(run):
    results, _, _ = run(lambda number, times: LOST if number == 2 else "")
    assert {n: result.status for n, result in results.items() if result.status != "ran"} == {2: "failed"}
    assert results[2].failure.what == LOST and results[2].failure.kind == "environment"


def test_nothing_is_learned_from_what_was_lost(run, tmp_path):
    results, _, _ = run(lambda number, times: LOST)
    assert {result.status for result in results.values()} == {"failed"}
    assert not (tmp_path / "store" / "memory.json").exists()


@pytest.mark.parametrize(
    ("kind", "params", "ties", "goes"),
    [
        ("check", {}, (), True),
        ("calibrate", {"kernels": "reference"}, (), True),
        ("calibrate", {"kernels": "fast"}, (TIE,), False),
        ("optimize", {}, (TIE,), False),
        ("benchmark", {"host": "here"}, (), False),
        ("fetch", {"handle": "https://h/m"}, (), False),
    ],
)
def test_what_names_this_machine_and_what_reaches_out_stays_here(kind, params, ties, goes):
    assert RayCluster(Cluster()).accepts(Step(kind=kind, params=params, inputs=(), toolchain={}, ties=ties)) is goes


def test_a_tied_result_of_another_machine_is_made_again_here(run, monkeypatch):
    """Which CPU made it there is not known, so it cannot be published as this CPU's."""
    here = FarServer(lambda number, times: "", facts={"tied": [asdict(TIE)]})
    monkeypatch.setattr(executors, "WorkerServerProcess", lambda name, folder: here)
    results, events, far = run(lambda number, times: "", facts={"tied": [asdict(TIE)]})
    assert sorted(far.seen) == sorted(here.seen) == list(range(6))
    assert {result.status for result in results.values()} == {"ran"}
    assert {event.reason for event in events if isinstance(event, StepRetried)} == {
        "its result depends on the CPU, so it runs on this machine"
    }


def test_what_the_process_of_ray_says_is_read():
    server = object.__new__(RayServer)
    assert server._parse_answer({"slots": 7}) is None and server.slots == 7
    assert server._parse_answer({"notice": "x"}) == Notice("x")
    with pytest.raises(MachineError) as found:
        server._parse_answer({"error": {"what": "gone", "where": "executor.address", "why": "w", "next_step": "n"}})
    assert found.value.exit_code == 4 and found.value.where == "executor.address"


def test_what_differs_on_a_machine_is_told_once():
    here = toolchains()
    assert differences(here, json.loads(json.dumps(here))) == []
    there = {kind: {**parts, "numpy": "1.0"} if "numpy" in parts else parts for kind, parts in here.items()}
    (numpy,) = differences(here, there)
    assert numpy == f"numpy is 1.0 there and {here['check']['numpy']} here"
    changed = {**here, "quantize": {**here["quantize"], "implementation": "0"}}
    assert differences(here, changed) == ["tflbuild's own code of quantize is not the same"]
    lacking = {kind: parts for kind, parts in here.items() if kind != "convert"}
    assert differences(here, lacking) == ["a package that the step 'convert' needs is not installed there"]
    assert differences(here, {kind: parts for kind, parts in here.items() if kind != "optimize"}) == []


def test_what_proves_a_target_runs_where_its_tool_was_found():
    cluster = RayCluster(Cluster(address="auto"))
    for params, goes in (({"tool": {}}, False), ({"to_prove": "x"}, True), ({"host": "me"}, False)):
        step = Step(kind="lint_target", params=params, inputs=(), toolchain={})
        assert cluster.accepts(step) is goes
