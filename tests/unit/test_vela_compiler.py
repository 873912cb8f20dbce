"""What Vela prints and writes, read; no Vela runs here."""

import pytest

from tflbuild.runtime.step_contract import WorkerError
from tflbuild.targets.ethos_u import vela_compiler
from tflbuild.tflite.tflite_model import Model, Operator, Subgraph, Tensor

SAID = """Warning: No memory mode specified. Using a default of Shared_Sram.

Warning (supported operators) operator: TANH, ofm: 'layer/tanh;it's'
Reason: Operation has tensor with unsupported DataType Float32 (in)
Feature-map dataTypes must be one of {"INT16"}

Warning (supported operators) operator: TOPK_V2, ofm: 'top'
Reason: Unsupported opType

Network summary for model
"""
TRACEBACK = """Warning (supported operators) operator: EQUAL, ofm: 'out'
Reason: Unsupported opType
Traceback (most recent call last):
  File "vela.py", line 1317, in main
    compiled_model = regor.compile(accelerator)
                     ^^^^^^^^^^^^^
RuntimeError: Compilation failed: HARD_SWISH 'h' is not valid.
 - IFM has to be 8bit
"""
SUMMARY = {
    "nn_macs": "4608",
    "cycles_npu": "100",
    "cycles_total": "150.0",
    "sram_memory_used": "77.4375",
    "dram_memory_used": "0.0",
    "on_chip_flash_memory_used": "1",
    "off_chip_flash_memory_used": "0.5",
    "inference_time": "0.000551392",
}


def model(*ops):
    """Operators (name, output's name), each of its own tensor."""
    tensors = tuple(Tensor(output, "int8", (1,), 1, False, (), (), 0) for _, output in ops)
    made = tuple(Operator(name, 1, name == "ethos-u", (), (index,)) for index, (name, _) in enumerate(ops))
    return Model(0, (Subgraph("main", tensors, made, (), ()),), ())


def test_refusals_are_read_with_all_of_their_reason():
    first, second = vela_compiler.read_refusals(SAID)
    assert (first.op, first.layer) == ("TANH", "layer/tanh;it's")
    assert first.reason.startswith("Operation has") and first.reason.endswith(
        '; Feature-map dataTypes must be one of {"INT16"}'
    )
    assert (second.op, second.layer, second.reason) == ("TOPK_V2", "top", "Unsupported opType")


def test_a_failure_is_told_without_its_traceback():
    told = vela_compiler._last_words(TRACEBACK, 1)
    assert told == "RuntimeError: Compilation failed: HARD_SWISH 'h' is not valid. - IFM has to be 8bit (exit code 1)"


def test_a_crash_is_told_with_its_signal():
    assert vela_compiler._last_words("Warning: no config\n", -11) == "it said nothing (ended by signal 11)"


def test_operators_are_found_again_by_name_and_output():
    original = model(("CONV_2D", "a"), ("TOPK_V2", "b"), ("TOPK_V2", "c"), ("EQUAL", "d"))
    compiled = model(("ethos-u", "a"), ("TOPK_V2", "c"), ("EQUAL", "d_int8"), ("ethos-u", "d"))
    assert vela_compiler.left_on_cpu(original, compiled) == [(0, 2), (0, 3)]
    assert vela_compiler.count_npu_ops(compiled) == 2


def test_operators_with_the_same_names_are_counted_once_each():
    original = model(("RELU", ""), ("RELU", ""), ("RELU", ""))
    assert vela_compiler.left_on_cpu(original, model(("RELU", ""), ("ethos-u", ""), ("RELU", ""))) == [(0, 0), (0, 1)]


def test_figures_are_in_bytes_and_milliseconds():
    assert vela_compiler.figures(SUMMARY, whole=True) == {
        "cycles_total": 150,
        "cycles_npu": 100,
        "macs": 4608,
        "sram_bytes": 79296,
        "flash_bytes": 1536,
        "inference_ms": 0.551392,
    }


def test_a_time_without_the_cpus_part_is_no_inference():
    figures = vela_compiler.figures(SUMMARY, whole=False)
    assert figures["npu_ms"] == 0.551392
    assert "inference_ms" not in figures


def test_no_figure_where_there_is_none():
    assert vela_compiler.figures({}, whole=True) == {}


@pytest.mark.parametrize(
    "line",
    [
        "ethosu.vela.errors.CliOptionError: 'Error: Incorrect argument to CLI option --memory-mode=No: no section'",
        "ethosu.vela.errors.ConfigOptionError: 'Error: Invalid configuration of core_clock=0'",
        "configparser.MissingSectionHeaderError: File contains no section headers.",
        "vela: error: argument --accelerator-config: invalid choice: 'ethos-u55-1'",
    ],
)
def test_a_wrong_configuration_is_the_recipes_mistake(line):
    with pytest.raises(WorkerError) as caught:
        vela_compiler._blame_configuration(f"Traceback\n{line}\n", {"name": "board"})
    assert caught.value.fields["kind"] == "recipe"
    assert "board" in caught.value.fields["what"]
    assert "Error: " not in caught.value.fields["why"]


def test_a_model_that_fails_is_no_wrong_configuration():
    vela_compiler._blame_configuration(TRACEBACK, {"name": "board"})


def test_a_configuration_file_is_only_given_where_both_of_its_parts_are_named(tmp_path):
    target = {"accelerator": "ethos-u55-128", "system_config": "S", "memory_mode": "M", "optimise": "Size"}
    both = vela_compiler._options(target, tmp_path)
    assert both[-8:] == ["--config", "Arm/vela.ini", "--system-config", "S", "--memory-mode", "M", "--optimise", "Size"]
    assert "--config" not in vela_compiler._options({**target, "memory_mode": ""}, tmp_path)
    own = vela_compiler._options({**target, "config": "[Memory_Mode.M]\n"}, tmp_path)
    assert own[own.index("--config") + 1] == str(tmp_path / "vela.ini")
    assert (tmp_path / "vela.ini").read_text() == "[Memory_Mode.M]\n"
