"""The graph's inputs and outputs are put into the order of their names."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fault_planting import edited
from one_op import Case, T, write_model

from tflbuild.tflite.interface_order import order_interface


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
    order_interface(path)
    before = path.read_bytes()
    order_interface(path)
    assert path.read_bytes() == before


def test_tensors_of_ends_are_named_as_the_signature_does(tmp_path):
    path = tmp_path / "model.tflite"
    write(path, ("alpha", "zeta"))
    with edited(path) as root:
        entry, graph = root.signatureDefs[0], root.subgraphs[0]
        entry.signatureKey, entry.inputs[0].name = b"serve", b"image"
        graph.tensors[entry.inputs[0].tensorIndex].name = b"serving_default_image:0"
        graph.tensors[entry.outputs[0].tensorIndex].name = b"StatefulPartitionedCall:0"
        (split,) = set(range(len(graph.tensors))) - {end.tensorIndex for end in (*entry.inputs, *entry.outputs)}
        graph.tensors[split].name = b"zeta"
    order_interface(path)
    with edited(path) as root:
        names = [tensor.name.decode() for tensor in root.subgraphs[0].tensors]
    assert sorted(names) == ["alpha", "image", "serve_zeta", "zeta"]


def run(path):
    runner = Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    return runner(**{name: np.arange(4, dtype=np.float32)})
