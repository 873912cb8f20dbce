"""Results that depend on the CPU: their keys, where they are found, and how they are shown."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from quick_server import QuickServer
from shelves import open_shelf

from tflbuild.core.cpu_dependence import CpuDependence, add_cpu_dependence, read_cpu_dependence
from tflbuild.core.step import Plan, Step, hash_action
from tflbuild.core.step_result import StepResult
from tflbuild.execute import executor as executors
from tflbuild.execute.executor import Executor
from tflbuild.execute.plan_preview import preview_plan
from tflbuild.execute.run_limits import Limits
from tflbuild.plan.action_difference import compare_actions
from tflbuild.report.cpu_dependence_text import (
    StepCpuDependence,
    card_section,
    collect_cpu_dependence,
    show_ties,
    ties_json,
)
from tflbuild.report.questions.plan_text import list_cpu_dependence
from tflbuild.report.variant_notes import variant_notes
from tflbuild.resolve import machine_identity
from tflbuild.storage.http_storage import HttpRemote
from tflbuild.storage.store import Store

SVD = CpuDependence("Svd", "w", "its order of sums differs")
LU = CpuDependence("Lu", "v", "its order of sums differs")
PLAIN = Step(kind="check", params={"n": 1}, inputs=(), toolchain={}, title="check", cpu="Epyc (1)")
TRAINED = replace(PLAIN, ties=(CpuDependence("training", "", "it adds up floats"),))


class Here(QuickServer):
    """A worker of one CPU: says whose it is, and with `facts` that its result is tied to it."""

    def __init__(self, cpu, facts):
        super().__init__("litert", facts)
        self.cpu = cpu

    def receive(self):
        return [self.finish(*self.take(), self.cpu)]


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds a step on a CPU, in a store; gives its result and what lies in its output."""

    def execute(cpu, step=PLAIN, store="store", facts=None, remote=None):
        step = replace(step, cpu=cpu)
        monkeypatch.setattr(executors, "WorkerServerProcess", lambda name, folder: Here(cpu, facts or {}))
        with Executor(Store(tmp_path / store), lambda event: None, Limits(jobs=1)) as executor:
            if remote is not None:
                executor.connect(HttpRemote(remote), push=True)
            result = executor.execute(Plan(steps={step.id: step}, goals=()))[step.id]
        return result, Store(tmp_path / store).blob(result.outputs["check.json"]).read_text()

    return execute


TIED = {"tied": [asdict(SVD)]}


def test_a_result_without_a_tie_serves_every_cpu(build):
    assert build("A")[0].status == "ran"
    result, made = build("B")
    assert (result.status, made) == ("hit", "A")


@pytest.mark.parametrize(("step", "facts"), [(PLAIN, TIED), (TRAINED, None)], ids=["found out", "known beforehand"])
def test_a_tied_result_is_a_hit_on_its_own_cpu_alone(build, step, facts):
    assert build("A", step, facts=facts)[0].status == "ran"
    result, made = build("B", step, facts=facts)
    assert (result.status, made) == ("ran", "B")
    assert [build(cpu, step, facts=facts)[1] for cpu in "AB"] == ["A", "B"]
    assert [build(cpu, step, facts=facts)[0].status for cpu in "AB"] == ["hit", "hit"]
    assert read_cpu_dependence(result.facts)


@pytest.mark.parametrize(("step", "facts"), [(PLAIN, TIED), (TRAINED, None)], ids=["found out", "known beforehand"])
def test_a_shared_store_keeps_the_cpus_apart(build, step, facts):
    with open_shelf() as shelf:
        assert build("A", step, "one", facts, shelf.url)[0].status == "ran"
        result, made = build("A", step, "two", facts, shelf.url)
        assert (result.status, made) == ("hit", "A") and result.origin
        result, made = build("B", step, "three", facts, shelf.url)
        assert (result.status, made) == ("ran", "B")
        result, made = build("B", step, "four", facts, shelf.url)
        assert (result.status, made) == ("hit", "B") and result.origin


def test_a_shared_store_is_asked_once_for_what_every_cpu_may_use(build):
    with open_shelf() as shelf:
        build("A", PLAIN, "one", None, shelf.url)
        shelf.asked.clear()
        assert build("B", PLAIN, "two", None, shelf.url)[0].status == "hit"
        assert len([line for line in shelf.asked if "/ac/" in line]) == 1


def test_a_tied_result_under_a_key_without_a_cpu_is_never_believed(build, tmp_path):
    """As an older or careless writer would leave it: in the store here, and in the shared one."""
    store, text = Store(tmp_path / "store"), tmp_path / "check.json"
    for name in ("check.json", "log.txt"):
        (tmp_path / name).write_text("A")
    action = PLAIN.action({})
    outputs = {"check.json": text, "log.txt": tmp_path / "log.txt"}
    record = store.publish(hash_action(action), action, outputs, {}, 1.0)
    file = store.action_file(record.key)
    assert build("B")[1] == "A"
    envelope = json.loads(file.read_bytes())
    body = json.dumps({**json.loads(envelope["body"]), "facts": TIED}, sort_keys=True)
    from tflbuild.core.digest import hash_bytes

    envelope = json.dumps({"sha256": hash_bytes(body.encode()), "body": body}).encode()
    file.chmod(0o644)
    file.write_bytes(envelope)
    with open_shelf() as shelf:
        shelf.fill(store)
        result, made = build("B", store="other", remote=shelf.url)
        assert (result.status, made) == ("ran", "B")
    result, made = build("B")
    assert (result.status, made) == ("ran", "B")


def test_a_preview_follows_the_same_rule_and_says_what_is_tied(build, tmp_path):
    build("A", facts=TIED)
    there, here = (
        preview_plan(Plan(steps={PLAIN.id: replace(PLAIN, cpu=cpu)}, goals=()), Store(tmp_path / "store"))[0]
        for cpu in "BA"
    )
    assert (there.verdict, here.verdict) == ("run", "hit")
    assert (there.ties, here.ties) == ((), (SVD,))
    assert list_cpu_dependence([here]) == [{"step": "check", **asdict(SVD)}]
    (change,) = compare_actions(here.action, there.action_like(here.action))
    assert change.text() == "CPU: A -> B"


def test_a_step_that_has_not_run_says_what_its_plan_knows(tmp_path):
    (one,) = preview_plan(Plan(steps={TRAINED.id: TRAINED}, goals=()), Store(tmp_path / "store"))
    assert one.verdict == "run" and one.ties == TRAINED.ties


def test_facts_name_each_tie_once_and_sorted():
    facts = {"bytes": 1, "tied": [asdict(SVD), asdict(LU), asdict(SVD)]}
    assert read_cpu_dependence(facts) == (LU, SVD)
    assert add_cpu_dependence({"bytes": 1}, ()) == {"bytes": 1}
    assert add_cpu_dependence(facts, TRAINED.ties)["tied"] == [asdict(tie) for tie in (LU, SVD, *TRAINED.ties)]


def roles():
    convert = StepResult(step_id="1", status="ran", facts={"tied": [asdict(LU), asdict(SVD)]})
    return {
        "import": convert,
        "convert": convert,
        "optimize": StepResult(step_id="2", status="hit", facts={"tied": [asdict(TRAINED.ties[0])]}),
        "check": StepResult(step_id="3", status="hit", facts={}),
    }


def test_a_manifest_lists_each_tie_under_the_first_role_of_its_step():
    assert [(one.step, one.tie.operator) for one in collect_cpu_dependence(roles())] == [
        ("import", "Lu"),
        ("import", "Svd"),
        ("optimize", "training"),
    ]


def test_ties_are_shown_by_step_and_reason():
    told = ties_json(collect_cpu_dependence(roles()))
    assert show_ties(told) == [
        "import: 2 operators (Lu at 'v', Svd at 'w'): its order of sums differs",
        "optimize: training: it adds up floats",
    ]
    many = ties_json(StepCpuDependence("convert", replace(SVD, layer=f"w{n}")) for n in range(5))
    assert show_ties(many) == [
        "convert: 5 operators (Svd at 'w0', Svd at 'w1', Svd at 'w2' and 2 more): its order of sums differs"
    ]


def test_notes_and_card_name_the_cpu_and_the_layer():
    manifest = {
        "artifact": {"contents": {}},
        "cpu": "Epyc (1)",
        "tied_to_cpu": ties_json([StepCpuDependence("convert", SVD)]),
    }
    assert variant_notes(manifest) == [
        "tied to this CPU, Epyc (1): convert: Svd at 'w': its order of sums differs",
    ]
    section = card_section(manifest)
    assert "Built on: Epyc (1)." in section and "- convert: Svd at 'w': its order of sums differs\n" in section
    assert card_section({**manifest, "tied_to_cpu": []}) == ""


INTEL = """processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 143
model name	: Intel(R) Xeon(R) Platinum
cpu MHz		: 2000.000
flags		: fpu avx2
bogomips	: 4000
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\nlast\t: 1\n"


@pytest.fixture
def cpu_of(tmp_path, monkeypatch):
    def describe(text):
        path = tmp_path / "cpuinfo"
        if text is not None:
            path.write_text(text)
        else:
            path.unlink(missing_ok=True)
        monkeypatch.setattr(machine_identity, "CPUINFO", path)
        return machine_identity.describe_cpu.__wrapped__()

    return describe


def test_a_cpu_is_known_by_vendor_model_and_instruction_sets(cpu_of):
    intel = cpu_of(INTEL)
    assert intel.startswith("Intel(R) Xeon(R) Platinum (")
    assert cpu_of(INTEL.replace("2000.000", "3000.000")) == intel, "its clock changes all the time"
    assert cpu_of(INTEL.replace("fpu avx2", "avx2 fpu")) == intel
    others = [("avx2", "avx2 fma"), ("GenuineIntel", "AuthenticAMD"), (": 143", ": 85")]
    assert len({intel, *(cpu_of(INTEL.replace(*other)) for other in others)}) == 4
    assert cpu_of(INTEL * 2) == intel, "more cores of the same kind"


def test_an_arm_cpu_has_no_name_and_is_known_by_its_parts(cpu_of):
    arm = cpu_of(ARM)
    assert arm != cpu_of(ARM.replace("0xd0c", "0xd40")) != cpu_of(ARM.replace("asimd", "asimd sve"))
    assert cpu_of(ARM + ARM.replace("0xd0c", "0xd40")) != arm, "cores of two kinds"


def test_where_the_platform_says_nothing_the_host_stands_for_its_cpu(cpu_of, monkeypatch):
    here = cpu_of(None)
    monkeypatch.setattr(machine_identity.platform, "node", lambda: "another")
    assert cpu_of(None) != here
