"""NPUs: vendors and SoCs by name, and what is left of a model after a plugin took its operators."""

import dataclasses
from importlib import metadata

import pytest
from planted import planted

from tflbuild.core.verdict import PROVEN, UNPROVEN, Verdict
from tflbuild.targets.npu import profile as npu
from tflbuild.targets.npu.profile import VENDORS, installed
from tflbuild.targets.npu.proof import explain, least, select
from tflbuild.tflite.tflite_model import Operator, Subgraph

MISSING = "Could not load shared library /x/libPlugin.so: libQnnHtp.so: cannot open shared object file: No such file."


def test_packages_are_found_without_being_imported(monkeypatch):
    versions = {"openvino": "2026.3.1", "ai-edge-litert-sdk-intel-nightly": "2.4.0.dev1"}

    def version(name):
        if name in versions:
            return versions[name]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(npu.metadata, "version", version)
    assert installed(VENDORS["intel_openvino"]) == versions
    assert installed(VENDORS["samsung"]) == {}


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=lambda vendor: vendor.name)
def test_what_to_install_is_named(vendor):
    assert f"pip install {vendor.sdk}" in vendor.to_prove()


def with_dispatch(model, *, keep):
    """The model after a plugin took all but the layers `keep`."""
    graph = model.subgraphs[0]
    ops = []
    for op in graph.ops:
        if graph.tensors[op.outputs[0]].name in keep:
            ops.append(op)
        elif not ops or ops[-1].name != "DISPATCH_OP":
            ops.append(Operator("DISPATCH_OP", 1, True, op.inputs, op.outputs))
        else:
            ops[-1] = dataclasses.replace(ops[-1], outputs=op.outputs)
    taken = Subgraph("partition", graph.tensors, graph.ops, graph.inputs, graph.outputs)
    return dataclasses.replace(model, subgraphs=(dataclasses.replace(graph, ops=tuple(ops)), taken))


@pytest.mark.parametrize(
    ("keep", "partitions"),
    [([], 1), (["TANH_float32/out0"], 2), (["RELU_float32/out0"], 1), (["RELU_float32/out0", "TANH_float32/out0"], 1)],
)
def test_what_is_left_is_found_by_its_layers(keep, partitions):
    model = planted("RELU_float32", "TANH_float32", "LOGISTIC_float32")
    found = select(model, with_dispatch(model, keep=keep))
    assert [view.layer for view in found.left] == keep
    assert found.partitions == partitions


def test_the_first_cause_is_told():
    said = f"INFO: fine\nWARNING: [a.cc:312] Failed to load plugin at: /x with error: ERROR: [b]\n└ {MISSING}\nend"
    assert explain(said) == MISSING.replace("/x/", "")
    assert explain("ERROR: [c.cc:7] no such SoC\n") == "no such SoC"
    assert explain("nothing to see") == "it gave no reason"


def test_of_several_socs_the_verdict_is_that_which_promises_least():
    def one(device, proof, taken):
        return Verdict(target="npu", proof=proof, how="", device=device, ops=5, on_delegate=taken)

    found = least([one("A", PROVEN, 5), one("B", PROVEN, 3), one("C", PROVEN, 4)])
    assert found.device == "B"
    assert found.notes[1] == "B: proven, 3 of 5 operators"
    assert least([one("A", PROVEN, 1), one("B", UNPROVEN, 5), one("C", UNPROVEN, None)]).device == "C"
    assert least([one("A", PROVEN, 5)]).notes == ()
