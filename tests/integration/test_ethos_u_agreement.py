"""The tables for Ethos-U against Vela itself: every one-operator model is held against the rules, and compiled."""

from dataclasses import dataclass

import pytest
from ethosu.vela import vela as program
from mcu_edges import EDGES
from one_op import write_model
from one_op_cases import CASES

from tflbuild.targets.ethos_u import DISAGREEMENTS
from tflbuild.targets.lint import judge_all
from tflbuild.targets.tables import TABLES
from tflbuild.workers.flatbuffer import read_model
from tflbuild.workers.forked import in_fork
from tflbuild.workers.vela import count_npu_ops, left_on_cpu

pytestmark = pytest.mark.heavy

LEAST_AGREEMENT = 0.98
ACCELERATORS = {"ethos_u55": "ethos-u55-128", "ethos_u65": "ethos-u65-256", "ethos_u85": "ethos-u85-256"}
TAKEN, LEFT, FAILS = "on the NPU", "left to the CPU", "Vela fails"


@dataclass(frozen=True)
class Held:
    """What the rules and Vela say of one model, and the rules' reason."""

    ruled: str
    real: str
    reason: str


def by_rules(table, model) -> tuple[str, str]:
    (judged,) = judge_all(TABLES[table], model)
    if any(rule.fatal for rule in judged.broken):
        return FAILS, judged.reason
    return {True: TAKEN, False: LEFT, None: "unknown"}[judged.taken], judged.reason


def by_vela(path, model, accelerator, folder) -> str:
    """Compiled in a fork, since Vela's own import is most of its time."""
    options = ["--accelerator-config", accelerator, "--output-dir", str(folder)]
    compiled = folder / f"{path.stem}_vela.tflite"
    ended = in_fork(lambda: program.main([str(path), *options]), folder / "log.txt")
    if not ended.good or ended.value or not compiled.exists():
        return FAILS
    made = read_model(compiled)
    return TAKEN if count_npu_ops(made) and not left_on_cpu(model, made) else LEFT


@pytest.fixture(scope="module", params=ACCELERATORS)
def held(request, tmp_path_factory):
    """(table, what was found by case)."""
    folder, found = tmp_path_factory.mktemp(request.param), {}
    for name, case in {**CASES, **EDGES}.items():
        path = folder / f"{name}.tflite"
        path.write_bytes(write_model(case))
        model = read_model(path)
        ruled, reason = by_rules(request.param, model)
        found[name] = Held(ruled, by_vela(path, model, ACCELERATORS[request.param], folder), reason)
    return request.param, found


def test_rules_agree_with_vela(held):
    table, found = held
    differ = {name: one for name, one in found.items() if one.ruled != one.real}
    assert set(differ) == set(DISAGREEMENTS[table]), differ
    assert 1 - len(differ) / len(found) >= LEAST_AGREEMENT


def test_the_set_has_all_three_ends(held):
    """A table that always says the same would not agree by chance."""
    _, found = held
    ends = [one.real for one in found.values()]
    assert min(ends.count(end) for end in (TAKEN, LEFT, FAILS)) >= 20
