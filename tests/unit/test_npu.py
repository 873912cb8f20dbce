"""NPUs: vendors and SoCs by name, and what is left of a model after a plugin took its operators."""

import dataclasses
from importlib import metadata

import pytest
from planted import planted

from tflbuild.core.model import Op, Subgraph
from tflbuild.targets import npu
from tflbuild.targets.npu import VENDORS, installed, unknown_soc
from tflbuild.workers.target_npu import explain, select

MISSING = "Could not load shared library /x/libPlugin.so: libQnnHtp.so: cannot open shared object file: No such file."


@pytest.mark.parametrize(
    ("vendor", "soc", "near"),
    [
        ("qualcomm", "SM8650", ()),
        ("qualcomm", "sm8650", ("SM8650",)),
        ("qualcomm", "SM8651", ("SM8650",)),
        ("mediatek", "MT6989X", ("MT6989",)),
        ("google_tensor", "tensor g5", ("Tensor_G5",)),
        ("samsung", "Exynos", ("E9965",)),
    ],
)
def test_an_unknown_soc_gets_the_nearest_names(vendor, soc, near):
    assert unknown_soc(VENDORS[vendor], soc)[:1] == near


def test_packages_are_found_without_being_imported(monkeypatch):
    versions = {"openvino": "2026.3.1", "ai-edge-litert-sdk-intel-nightly": "2.4.0.dev1"}

    def version(name):
        if name in versions:
            return versions[name]
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(npu.metadata, "version", version)
    assert installed(VENDORS["intel"]) == versions
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
            ops.append(Op("DISPATCH_OP", 1, True, op.inputs, op.outputs))
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
    assert explain(said) == MISSING
    assert explain("ERROR: [c.cc:7] no such SoC\n") == "no such SoC"
    assert explain("nothing to see") == "it gave no reason"
