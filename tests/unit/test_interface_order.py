"""The graph's inputs and outputs are put into the order of their names."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fault_planting import edited
from one_op import Case, T, write_model

from tflbuild.workers.interface_order import order_interface


def write(path, outputs):
    """A SPLIT whose two outputs are `outputs` by name."""
    case = Case(
        "split",
        "SPLIT",
        (T((), "int32", [0]), T((4,), "float32")),
        (T((2,), "float32"), T((2,), "float32")),
        "SplitOptions",
        {"numSplits": 2},
    )
    path.write_bytes(write_model(case))
    with edited(path) as root:
        for entry, name in zip(root.signatureDefs[0].outputs, outputs, strict=True):
            entry.name = name.encode()


def test_ends_are_ordered_and_values_stay_with_their_names(tmp_path):
    path = tmp_path / "model.tflite"
    write(path, ("zeta", "alpha"))
    before = run(path)
    order_interface(path)
    interpreter = Interpreter(str(path))
    runner = interpreter.get_signature_runner()
    indices = [runner.get_output_details()[name]["index"] for name in ("alpha", "zeta")]
    assert [one["index"] for one in interpreter.get_output_details()] == indices
    assert all(np.array_equal(run(path)[name], values) for name, values in before.items())


def test_a_model_in_order_keeps_its_bytes(tmp_path):
    path = tmp_path / "model.tflite"
    write(path, ("alpha", "zeta"))
    before = path.read_bytes()
    order_interface(path)
    assert path.read_bytes() == before


def run(path):
    runner = Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    return runner(**{name: np.arange(4, dtype=np.float32)})
