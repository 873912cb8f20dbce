"""What is read out of the runtime's log, and how a child that died is told of."""

import json

import numpy as np
import pytest

from tflbuild.targets.gpu.gpu_delegate import NO_DEVICE, _death, _first_line, _read

ADAPTER = (
    "I0000 00:00:1 7 environment.cc:532] Selected adapter: SwiftShader Device (Subzero), arch=swiftshader,"
    " vendor=google, backend=Vulkan, adapterType=CPU / Software\n"
)
PARTLY = """ERROR: Following operations are not supported by GPU delegate:
LOGISTIC: Tensor dimensions must be less than 5. r/out0
WHILE: Operation is not supported.
1 operations will run on the GPU, and the remaining 6 operations will run on the CPU.
"""
NONE = """ERROR: Following operations are not supported by GPU delegate:
CONV_3D: Operation is not supported.
No operations will run on the GPU, and all 3 operations will run on the CPU.
"""


@pytest.fixture
def left(tmp_path):
    """What a child left, read."""

    def read(log, **told):
        (tmp_path / "log.txt").write_text(log)
        if told:
            (tmp_path / "told.json").write_text(json.dumps({"ended": "", "compiled": True, "calls": 0, **told}))
        return _read(tmp_path, "" if told else "it was ended")

    return read


def test_the_adapter_is_named_and_a_program_is_called_one(left):
    told = left(ADAPTER, full=True)
    assert told.full and told.software
    assert told.device == "SwiftShader Device (Subzero) (software, on this host)"


def test_a_chip_is_called_what_it_is(left):
    log = ADAPTER.replace("CPU / Software", "Discrete GPU").replace("SwiftShader Device (Subzero)", "Some GPU")
    told = left(log, full=True)
    assert not told.software and told.device == "Some GPU (Discrete GPU)"


def test_what_is_refused_and_how_many_run_there(left):
    told = left(ADAPTER + PARTLY + NONE + NONE, full=True)
    assert not told.full, "is_fully_accelerated() is true where the CPU's delegate took the rest"
    assert told.counts == ((1, 6), (0, 3)) and told.taken == 1
    assert told.refused == (
        ("LOGISTIC", "Tensor dimensions must be less than 5. r/out0"),
        ("WHILE", "Operation is not supported."),
        ("CONV_3D", "Operation is not supported."),
    )


def test_a_shader_that_does_not_compile_is_a_fault(left):
    log = "E0000 00:00:17.68 13041 environment.cc:105] Validation error: Error while parsing WGSL: :25:96 error: x\n"
    assert left(ADAPTER + log, full=True).faults == ("Validation error: Error while parsing WGSL: :25:96 error: x",)


def test_the_reason_behind_a_failure_is_told_with_it(left):
    log = "E0000 00:00:1.1 7 delegate_webgpu.cc:478] Failed to create x::Y: INVALID_ARGUMENT: Shape mismatch\n"
    assert left(log, ended="Failed to modify graph", full=False).ended == (
        "Failed to modify graph: INVALID_ARGUMENT: Shape mismatch"
    )
    log = "ERROR: [model_load.cc:316] Variable tensors not yet supported.\n"
    assert left(log, ended="Failed to load", full=False).ended.endswith("Variable tensors not yet supported.")


def test_no_device(left):
    assert left("INTERNAL: No adapters found", ended="Failed", full=False).ended == NO_DEVICE


def test_a_child_that_died_left_its_words(left):
    told = left("F0000 00:00:17.01 23738 object_reader.cc:373] Check failed: CanReadValue(i) \n*** stack ***\n")
    assert told.crashed and told.ended == "it was ended"
    assert told.words == ["Check failed: CanReadValue(i)"]


def test_outputs_come_back_by_call_and_name(left, tmp_path):
    for call in range(2):
        np.savez(tmp_path / f"{call}.npz", out0=np.full(3, call, np.int16))
    found = left(ADAPTER, full=True, calls=2).outputs
    assert [(one["out0"].dtype, int(one["out0"][0])) for one in found] == [(np.int16, 0), (np.int16, 1)]


def test_a_signal_has_its_name():
    assert _death(6).endswith("SIGABRT") and _death(11).endswith("SIGSEGV")
    assert _death(1 << 8).endswith("exit code 1")


def test_places_in_the_runtime_s_source_are_left_out():
    assert _first_line("ERROR: [./litert/cc/x.h:1961]\n└ Failed to modify graph with delegate") == (
        "Failed to modify graph with delegate"
    )
