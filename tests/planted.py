"""Models of a few operators in a row, as `tflbuild.tflite.tflite_model` reads them."""

import dataclasses
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from one_op import write_model
from one_op_cases import CASES

from tflbuild.tflite.tflite_reader import read_model


@cache
def planted(*names):
    """The chain of these cases; a name may end in `@2`: that version of the operator."""
    cases = []
    for name in names:
        name, _, version = name.partition("@")
        case = CASES[name]
        cases.append(dataclasses.replace(case, version=int(version)) if version else case)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(write_model(*cases))
        return read_model(path)
