"""The step `prove_npu` with the one vendor's plugin that runs here in earnest: Intel's, with OpenVINO from PyPI.

The plugin selects operators for the NPU in any case. To compile for the NPU it needs a library that is in no registry:
it is asked to compile for OpenVINO's CPU then, which is the same way through LiteRT's ahead-of-time compiler and the
plugin, and no proof of the NPU.
"""

import importlib
import json

import pytest
from one_op import write_model
from one_op_cases import CASES

from tflbuild.core.verdict import UNPROVEN, read_verdict
from tflbuild.runtime.step_contract import StepRequest
from tflbuild.targets.npu import proof as target_npu
from tflbuild.targets.npu.profile import VENDORS, installed
from tflbuild.tflite.tflite_reader import read_model

pytestmark = pytest.mark.heavy

CHAIN = ("RELU_float32", "ROUND_float32", "TANH_float32", "CONV_2D_float32")
CPU = {"intel_openvino_graph_backends": "cpu"}


@pytest.fixture
def prove(tmp_path):
    def run(*names, vendor="intel_openvino", soc="LNL", options=None, sdk=None):
        (tmp_path / "outputs").mkdir()
        (tmp_path / "model").write_bytes(write_model(*(CASES[name] for name in names)))
        target = {"name": f"npu_{vendor}", "runtime": "npu", "table": "", "version": "", "vendor": vendor, "soc": soc}
        target |= {"options": options or {}, "timeout_s": 120}
        tool = {"sdk": dict(installed(VENDORS[vendor]) if sdk is None else sdk)}
        params = {"target": target, "tool": tool, "to_prove": ""}
        request = StepRequest(tmp_path, params, {"model": tmp_path / "model"}, {}, "target")
        verdict = read_verdict(json.loads(json.dumps(target_npu.run(request)))["verdict"])
        return verdict, tmp_path / "outputs" / "compiled" / f"model_{soc}.tflite"

    return run


def test_a_compiled_model_tells_what_was_taken(prove):
    verdict, compiled = prove(*CHAIN, options=CPU)
    assert (verdict.on_delegate, verdict.partitions, verdict.ops) == (3, 2, 4)
    assert [(one.op, one.layer, one.index) for one in verdict.fallbacks] == [("ROUND", "ROUND_float32/out0", 1)]
    assert "Intel's compiler plugin does not take it" in verdict.fallbacks[0].reason
    names = [op.name for op in read_model(compiled).subgraphs[0].ops]
    assert names == ["DISPATCH_OP", "ROUND", "DISPATCH_OP"]
    assert verdict.figures == {"compiled_bytes": compiled.stat().st_size}
    assert "openvino" in verdict.how


def test_what_was_compiled_for_something_else_is_no_proof(prove):
    verdict, _ = prove("RELU_float32", options=CPU)
    assert (verdict.proof, verdict.runs) == (UNPROVEN, None)
    assert "compiled for cpu, not for the NPU" in verdict.how


def test_without_the_npu_compiler_the_plugin_still_selects(prove):
    verdict, compiled = prove(*CHAIN)
    assert not compiled.exists()
    assert (verdict.proof, verdict.runs, verdict.on_delegate, verdict.partitions) == (UNPROVEN, None, 3, 2)
    assert "not compiled: " in verdict.how
    assert "libopenvino_intel_npu_compiler" in verdict.how
    assert "ai-edge-litert-sdk-intel" in verdict.to_prove


def test_all_socs_are_tried_where_none_is_named(prove, tmp_path):
    verdict, _ = prove(*CHAIN, soc="", options=CPU)
    assert [note.partition(":")[0] for note in verdict.notes] == ["Intel LNL", "Intel PTL"]
    assert sorted(path.name for path in (tmp_path / "outputs" / "compiled").iterdir()) == [
        "model_LNL.tflite",
        "model_PTL.tflite",
    ]


def test_nothing_is_taken(prove):
    verdict, _ = prove("ROUND_float32", options=CPU)
    assert (verdict.on_delegate, verdict.partitions, len(verdict.fallbacks)) == (0, 0, 1)


@pytest.mark.parametrize(("vendor", "soc"), [(one.name, one.socs[0]) for one in VENDORS.values()])
def test_without_an_sdk_nothing_is_claimed(prove, vendor, soc):
    verdict, compiled = prove("RELU_float32", vendor=vendor, soc=soc, sdk={})
    assert (verdict.proof, verdict.runs, verdict.on_delegate, verdict.fallbacks) == (UNPROVEN, None, None, ())
    assert VENDORS[vendor].sdk in verdict.to_prove
    assert not compiled.exists()


def test_an_sdk_without_its_files_is_told(prove):
    verdict, _ = prove("RELU_float32", vendor="qualcomm", soc="SM8650", sdk={"ai-edge-litert-sdk-qualcomm": "2.3.0"})
    assert (verdict.proof, verdict.on_delegate) == (UNPROVEN, None)
    assert "cannot be loaded" in verdict.how
    assert "libQnn" in verdict.how


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
def test_our_names_are_litert_s(vendor):
    names = importlib.import_module(f"ai_edge_litert.aot.vendors.{vendor.backend}.target").SocModel
    assert {one.value for one in names} - {"ALL"} == set(vendor.socs)
