"""Android devices: which one is meant, and what benchmark_model printed."""

from pathlib import Path

import pytest

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.benchmarking.android_benchmark import AndroidDevice, attached, choose, find_adb, flags_of
from tflbuild.steps.benchmarking.benchmark_output import parse

FIXTURES = Path(__file__).parent.parent / "android"  # written after the tools' real formats; the figures are made up
LISTED = (FIXTURES / "devices.txt").read_text()
NEW, OLD, DELEGATED = ((FIXTURES / f"{name}.txt").read_text() for name in ("new", "old", "delegated"))


def test_devices_are_read_and_the_daemons_words_are_not():
    assert attached(LISTED) == [
        AndroidDevice("28151FDH2000XY", "device"),
        AndroidDevice("emulator-5554", "device"),
        AndroidDevice("R58N123ABC", "unauthorized"),
    ]
    assert attached("List of devices attached\n\n") == []


def test_the_only_device_is_meant():
    assert choose([AndroidDevice("one", "device"), AndroidDevice("two", "offline")], "") == "one"
    assert choose(attached(LISTED), "emulator-5554") == "emulator-5554"


def test_of_several_one_must_be_named():
    with pytest.raises(WorkerError, match="2 Android devices are attached") as raised:
        choose(attached(LISTED), "")
    assert raised.value.fields["next_step"] == "target.serial=28151FDH2000XY"
    assert "28151FDH2000XY, emulator-5554" in raised.value.fields["why"]


@pytest.mark.parametrize(
    ("devices", "serial", "what", "next_step"),
    [
        ([], "", "no Android device is attached", "plug one in"),
        ([AndroidDevice("one", "device")], "two", "no Android device two is attached", "target.serial=one"),
        ([AndroidDevice("one", "unauthorized")], "", "one cannot be used", "allow this computer"),
        ([AndroidDevice("one", "unauthorized")], "one", "one cannot be used", "allow this computer"),
        ([AndroidDevice("one", "offline"), AndroidDevice("two", "device")], "one", "one cannot be used", "reconnect"),
    ],
)
def test_what_is_not_there_is_said(devices, serial, what, next_step):
    with pytest.raises(WorkerError, match=what) as raised:
        choose(devices, serial)
    assert next_step in raised.value.fields["next_step"]


def test_without_adb_nothing_is_told(tmp_path):
    with pytest.raises(WorkerError, match="there is no adb") as raised:
        find_adb(str(tmp_path / "adb"))
    assert raised.value.fields["kind"] == "environment"


def test_a_new_tools_timings_are_read():
    told = parse(NEW).as_json()
    assert (told["runs"], told["p50_ms"], told["p95_ms"], told["mean_ms"]) == (5040, 0.195, 0.212, 0.19703)
    assert (told["init_ms"], told["first_ms"], told["most_ms"]) == (3.512, 0.512, 1.2)
    assert told["memory_delta_bytes"] == 2.5 * 2**20
    assert (told["on_delegate"], told["ops"], told["partitions"]) == (13, 14, 2)
    assert told["notes"] == []


def test_what_an_old_tool_does_not_print_is_unknown():
    told = parse(OLD).as_json()
    assert (told["runs"], told["mean_ms"]) == (50, 1055.04)
    assert told["p50_ms"] is told["p95_ms"] is told["on_delegate"] is None
    assert told["memory_delta_bytes"] is None, "it prints a peak, which is another thing"


def test_the_profile_is_that_of_the_runs_and_names_layers():
    quantize, convolution = (line.as_json() for line in parse(OLD).operators)
    assert (quantize["op"], quantize["layer"], quantize["us"]) == ("QUANTIZE", "tfl.quantize", pytest.approx(93))
    assert convolution["layer"] == "net/st_bn/Relu;net/st_conv/Conv2D"
    assert (convolution["percent"], convolution["delegate"]) == (16.512, False)


def test_a_delegates_lines_have_no_layer():
    inside, outside = (line.as_json() for line in parse(NEW + DELEGATED).operators)
    assert (inside["op"], inside["kernel"], inside["layer"]) == ("", "Convolution (NHWC, F32) IGEMM", "")
    assert inside["delegate"]
    assert (outside["op"], outside["layer"], outside["delegate"]) == ("SOFTMAX", "scores", False)


def test_a_second_delegate_is_not_counted_with_the_first():
    line = "Replacing {} node(s) with delegate ({}) node, yielding 1 partitions for subgraph 0.\n"
    first, second = (
        line.format("12 out of 14", "TfLiteGpuDelegateV2"),
        line.format("2 out of 3", "TfLiteXNNPackDelegate"),
    )
    told = parse(first + second + OLD).as_json()
    assert (told["on_delegate"], told["ops"], told["partitions"]) == (12, 14, 1)


def test_a_delegate_that_declines_is_told():
    line = "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.\n"
    assert "the CPU ran all of them" in parse(line + NEW).as_json()["notes"][0]


def test_a_run_that_failed_says_why():
    with pytest.raises(WorkerError) as raised:
        parse("INFO: STARTING!\nERROR: Didn't find op for builtin opcode 'SIGN'\nERROR: Benchmarking failed.\n")
    assert raised.value.fields["why"] == "ERROR: Didn't find op for builtin opcode 'SIGN'"
    with pytest.raises(WorkerError):
        parse("")


def test_flags_name_one_delegate():
    assert flags_of("m", {"delegate": "gpu", "threads": 4}, 50) == [
        *("--graph=m", "--num_threads=4", "--num_runs=50", "--use_xnnpack=false", "--use_gpu=true"),
    ]
    assert "--use_xnnpack=true" in flags_of("m", {}, 50)
