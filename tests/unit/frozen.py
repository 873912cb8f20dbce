"""Frozen recipes for tests of the rooms behind composition."""

from dataclasses import replace

from tflbuild.core.recipe import (
    Benchmark,
    Calibration,
    Dataset,
    Opset,
    Quantization,
    Recipe,
    Signature,
    Source,
    Verify,
)
from tflbuild.core.step import FileInput
from tflbuild.plan.plan_builder import KeyEnvironment
from tflbuild.resolve.input_digests import ResolvedRecipe

FILES = {
    name: FileInput(name=name, digest=name[0] * 64, path=f"/{name}") for name in ("source", "dataset", "evaluation")
}


def int8(**changes):
    calibration = Calibration(**changes.pop("calibration", {}))
    return Quantization(scheme="int8", input_type="int8", output_type="int8", calibration=calibration, **changes)


def recipe(**changes):
    made = Recipe(
        name="net",
        variant="default",
        source=Source(kind="keras", path="model.keras"),
        signature=Signature(key="serving_default"),
        opset=Opset(),
        quantization=int8(),
        dataset=Dataset(kind="npz", path="train.npz"),
        verify=Verify(
            kind="classification",
            dataset=Dataset(kind="npz", path="test.npz", label="label"),
            gates=(("top1_drop", 0.01),),
        ),
        targets=(),
        benchmark=Benchmark(kind="none"),
    )
    return replace(made, **changes)


def resolved(files=FILES, **changes):
    return ResolvedRecipe(recipe=recipe(**changes), files=files)


def around(**versions):
    return KeyEnvironment(toolchain=lambda kind: {"tool": "1", **versions.get(kind, {})}, host="host", cpu="cpu")
