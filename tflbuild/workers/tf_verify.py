"""The step `verify` for artifacts with TensorFlow (Flex) operators, which LiteRT's wheel cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.litert_verify import verify


def run(request: Request) -> Facts:
    """Outputs verify.json; facts: the same, and which runtime was needed."""
    resolver = tf.lite.experimental.OpResolverType
    kernels = {"xnnpack": resolver.AUTO, "none": resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES}[request.params["delegate"]]

    def open_interpreter(path: Path) -> Any:
        interpreter = tf.lite.Interpreter(
            str(path), num_threads=request.params["threads"], experimental_op_resolver_type=kernels
        )
        interpreter.allocate_tensors()
        return interpreter

    return {**verify(request, open_interpreter), "runtime": f"TensorFlow {tf.__version__}, with Flex"}
