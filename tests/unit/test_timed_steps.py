"""Steps that measure time run when all else is done, and by themselves."""

from __future__ import annotations

import json
import os

from tflbuild.core.step import Plan, Step
from tflbuild.core.step_kind import CacheScope
from tflbuild.execute import executor as executors
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.execute.worker_process import StepServer, WorkerExit
from tflbuild.registry.step_kinds import KINDS
from tflbuild.storage.store import Store


class Server(StepServer):
    """Answers in the order it was asked, once a call; keeps what was at work when each step began."""

    def __init__(self):
        self.name = "litert"
        self.ear, self.mouth = os.pipe()
        self.at_work, self.beside, self.allowed = [], {}, {}

    def fileno(self):
        return self.ear

    def send(self, request, module, folder, seconds):
        number = json.loads((folder / "input.json").read_text())["params"]["n"]
        self.beside[number] = [other for _, other, _ in self.at_work]
        self.allowed[number] = seconds
        self.at_work.append((request, number, folder))
        os.write(self.mouth, b".")

    def receive(self):
        os.read(self.ear, 1)
        request, number, folder = self.at_work.pop(0)
        for name in ("benchmark.json", "check.json"):
            (folder / "outputs" / name).write_text(str(number))
        (folder / "log.txt").write_text("")
        (folder / "output.json").write_text('{"facts": {}}')
        return [WorkerExit(request, 0, None, "", 0.1, 1)]

    def close(self):
        os.close(self.ear)
        os.close(self.mouth)


def test_what_is_timed_comes_last_and_alone(tmp_path, monkeypatch):
    server = Server()
    monkeypatch.setattr(executors, "WorkerServerProcess", lambda name, folder: server)
    kinds = ["benchmark", "check", "check", "benchmark", "check"]
    steps = [Step(kind=kind, params={"n": n}, inputs=(), toolchain={}, title=kind) for n, kind in enumerate(kinds)]
    plan = Plan(steps={step.id: step for step in steps}, goals=())
    with Executor(Store(tmp_path / "store"), lambda event: None, Limits(jobs=4, memory=64 << 30)) as executor:
        results = executor.execute(plan)
    assert {result.status for result in results.values()} == {"ran"}
    assert list(server.beside) == [1, 2, 4, 0, 3]
    assert server.beside[0] == server.beside[3] == []
    assert server.beside[4] == [1, 2], "others do run together"


def test_a_step_that_asks_for_time_of_its_own_gets_it_unless_the_run_has_a_limit(tmp_path, monkeypatch):
    for limit, told in ((None, [None, 9000.0]), (60.0, [60.0, 60.0])):
        server = Server()
        monkeypatch.setattr(executors, "WorkerServerProcess", lambda name, folder, server=server: server)
        steps = [
            Step(kind="check", params={"n": n}, inputs=(), toolchain={}, seconds=seconds)
            for n, seconds in enumerate((None, 9000.0))
        ]
        plan = Plan(steps={step.id: step for step in steps}, goals=())
        limits = Limits(jobs=1, memory=64 << 30, seconds=limit)
        with Executor(Store(tmp_path / f"store {limit}"), lambda event: None, limits) as executor:
            executor.execute(plan)
        assert [server.allowed[n] for n in range(2)] == told


def test_every_step_that_tells_a_latency_is_timed():
    assert {kind.name for kind in KINDS.values() if kind.timed} == {"benchmark", "benchmark_android", "prove_cpu"}
    assert not [kind.name for kind in KINDS.values() if kind.timed and kind.scope is CacheScope.EVERYWHERE]
