"""The artifact on an Android device, through a stand-in for adb that answers in the real one's words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from one_op import write_model
from one_op_cases import CASES

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.benchmarking.android_benchmark import BINARY, run

FIXTURES = Path(__file__).parent.parent / "android"
# what the stand-in does: tells its devices, keeps what is pushed, answers as a shell on a device would
ADB = """#!{python}
import json, pathlib, sys
state = pathlib.Path({state!r})
words = sys.argv[1:]
with open(state / "calls.jsonl", "a") as calls:
    calls.write(json.dumps(words) + "\\n")
PROPERTIES = {{
    "ro.product.manufacturer": "Google", "ro.product.model": "Pixel 7", "ro.product.device": "panther",
    "ro.build.version.release": "14", "ro.build.version.sdk": "34", "ro.product.cpu.abi": "arm64-v8a",
}}
if words[0] == "devices":
    print((state / "devices.txt").read_text(), end="")
    sys.exit()
assert words[:2] == ["-s", "28151FDH2000XY"], words
command, rest = words[2], words[3:]
if command == "push":
    (state / rest[1].rpartition("/")[2]).write_bytes(pathlib.Path(rest[0]).read_bytes())
    print(f"{{rest[0]}}: 1 file pushed, 0 skipped.")
elif rest[0].startswith("getprop "):
    print(PROPERTIES[rest[0].split()[1]], end="\\r\\n")
elif rest[0].startswith("test -f "):
    print("yes" if (state / rest[0].split()[2].rpartition("/")[2]).exists() else "no")
elif rest[0].startswith("rm -f "):
    (state / rest[0].split()[2].rpartition("/")[2]).unlink()
elif rest[0].startswith("/data/local/tmp/"):
    graph = next(word for word in rest[0].split() if word.startswith("--graph="))
    assert (state / graph.rpartition("/")[2]).read_bytes()
    print((state / "new.txt").read_text(), end="")
    if "--enable_op_profiling=true" in rest[0]:
        print((state / "delegated.txt").read_text(), end="")
    sys.exit(int((state / "code.txt").read_text()) if (state / "code.txt").exists() else 0)
"""


@pytest.fixture
def device(tmp_path):
    """The stand-in's folder; `adb` in it is the program."""
    folder = tmp_path / "device"
    folder.mkdir()
    for name in ("new.txt", "delegated.txt"):
        (folder / name).write_text((FIXTURES / name).read_text())
    (folder / "devices.txt").write_text("List of devices attached\n28151FDH2000XY\tdevice\n\n")
    (folder / "adb").write_text(ADB.format(python=sys.executable, state=str(folder)))
    (folder / "adb").chmod(0o755)
    return folder


def ask(tmp_path, device, **target):
    work = tmp_path / "work"
    (work / "outputs").mkdir(parents=True, exist_ok=True)
    (tmp_path / "model.tflite").write_bytes(b"the model")
    params = {"runs": 50, "target": {"adb": str(device / "adb"), "threads": 2, **target}}
    return run(StepRequest(work, params, {"model": tmp_path / "model.tflite"}, {}))


def test_it_is_timed_on_the_device_and_leaves_nothing_there(tmp_path, device):
    (tmp_path / "benchmark_model").write_bytes(b"a binary")
    found = ask(tmp_path, device, benchmark_binary=str(tmp_path / "benchmark_model"))
    assert found["device"] == "Google Pixel 7 (panther), Android 14, API 34, arm64-v8a"
    assert (found["p50_ms"], found["threads"], found["delegate"]) == (0.195, 2, "xnnpack")
    assert [one["op"] for one in found["profile"]["operators"]] == ["", "SOFTMAX"]
    assert json.loads((tmp_path / "work" / "outputs" / "benchmark.json").read_text()) == found
    calls = [json.loads(line) for line in (device / "calls.jsonl").read_text().splitlines()]
    flags = next(call[3] for call in calls if "--graph=" in call[-1])
    assert {"--num_threads=2", "--num_runs=50", "--use_xnnpack=true"} <= set(flags.split())
    assert not list(device.glob("*.tflite"))


def test_a_binary_that_is_there_is_used(tmp_path, device):
    (device / "benchmark_model").write_bytes(b"a binary")
    assert ask(tmp_path, device)["runs"] == 5040


def test_without_a_binary_it_says_where_one_is_looked_for(tmp_path, device):
    with pytest.raises(WorkerError, match="no benchmark_model on the device") as raised:
        ask(tmp_path, device)
    assert BINARY in raised.value.fields["why"]
    with pytest.raises(WorkerError, match="is no file"):
        ask(tmp_path, device, benchmark_binary=str(tmp_path / "nothing"))


def test_several_devices_are_not_chosen_from(tmp_path, device):
    (device / "devices.txt").write_text((FIXTURES / "devices.txt").read_text())
    with pytest.raises(WorkerError, match="2 Android devices are attached"):
        ask(tmp_path, device)
    (device / "benchmark_model").write_bytes(b"a binary")
    assert ask(tmp_path, device, serial="28151FDH2000XY")["serial"] == "28151FDH2000XY"


def test_a_tool_that_fails_there_fails_here_and_the_model_goes(tmp_path, device):
    (device / "benchmark_model").write_bytes(b"a binary")
    (device / "new.txt").write_text("ERROR: Failed to initialize\n")
    (device / "code.txt").write_text("1")
    with pytest.raises(WorkerError, match="failed with code 1") as raised:
        ask(tmp_path, device)
    assert raised.value.fields["why"] == "ERROR: Failed to initialize"
    assert not list(device.glob("*.tflite"))


@pytest.mark.heavy
def test_the_command_line_times_a_model_on_a_device(device, project):
    (device / BINARY.rpartition("/")[2]).write_text("the tool")
    (project.folder / "planted.tflite").write_bytes(write_model(CASES["RELU_float32"]))
    told = ("benchmark", "planted.tflite", "benchmark=android", f"benchmark.adb={device / 'adb'}")
    done = project.run(*told)
    assert done.code == 0, done.err
    assert "Pixel 7" in done.out and "Android 14" in done.out
    (device / "devices.txt").write_text("List of devices attached\n\n")
    gone = project.run(*told)
    assert gone.code == 4 and "step 'benchmark" in gone.err
