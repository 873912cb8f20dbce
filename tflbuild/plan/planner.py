"""ResolvedRecipes -> Plan: which steps, with which parameters, fed by what.

Pure: same recipes and toolchain, same plan. Equal steps of several variants are one step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Dataset
from tflbuild.core.step import FileInput, Input, Plan, Step, StepInput
from tflbuild.resolve.inputs import DATASET, EVALUATION, SOURCE, ResolvedRecipe

SECTIONS = {"calibration samples": "dataset", "evaluation samples": "verify.dataset"}


@dataclass(frozen=True)
class Surroundings:
    """What the machine contributes to keys, looked up before planning."""

    toolchain: Callable[[str], Mapping[str, str]]
    host: str
    cpu: str


@dataclass
class _Variant:
    """The steps of one variant, as they are added."""

    resolved: ResolvedRecipe
    around: Surroundings
    steps: dict[str, Step]
    goals: dict[str, str] = field(default_factory=dict)

    def add(self, role: str, kind: str, params: Mapping[str, Json], inputs: Mapping[str, Input]) -> None:
        step = Step(
            kind=kind,
            params=params,
            inputs=tuple(inputs.values()),
            toolchain=self.around.toolchain(kind),
            title=self.title(role),
            section=SECTIONS.get(role, ""),
        )
        self.steps.setdefault(step.id, step)
        self.goals[role] = step.id

    def title(self, role: str) -> str:
        """The role, and the scheme where variants of a sweep differ by it."""
        quantization = self.resolved.recipe.quantization
        if role not in ("quantize", "check", "verify", "benchmark", "package"):
            return role
        engine = " converter" if quantization.engine == "converter" and quantization.scheme != "none" else ""
        return f"{role} {quantization.scheme}{engine}"

    def of(self, role: str, output: str, name: str) -> StepInput:
        return StepInput(name=name, step_id=self.goals[role], output=output)

    def file(self, role: str, name: str) -> FileInput:
        found = self.resolved.files[role]
        return FileInput(name=name, digest=found.digest, path=found.path)

    # the corridor, step by step

    def plan(self) -> None:
        recipe = self.resolved.recipe
        self.plan_import()
        if not self.from_tflite:
            self.add("convert", "convert", {"select_tf": recipe.opset.select_tf}, self.signed_snapshot())
        if recipe.verify.dataset is not None:
            self.plan_sample("evaluation samples", recipe.verify.dataset, EVALUATION)
            inputs = {**self.signed_snapshot(), "samples": self.of("evaluation samples", "samples.npz", "samples")}
            self.add("predict", "predict_tflite" if self.from_tflite else "predict", {}, inputs)
        self.plan_quantize()
        self.plan_check()
        if recipe.verify.dataset is not None:
            self.plan_verify()
        if recipe.benchmark.kind == "host":
            self.plan_benchmark()
        self.plan_package()

    def plan_import(self) -> None:
        recipe = self.resolved.recipe
        source = {"source": self.file(SOURCE, "source")}
        if self.from_tflite:
            must_be_float = recipe.quantization.scheme != "none"
            params = {"signature": asdict(recipe.signature), "must_be_float": must_be_float}
            self.add("import", "import_tflite", params, source)
            self.goals["convert"] = self.goals["import"]  # the source is the float model
            return
        params = {"kind": recipe.source.kind, "tags": recipe.source.tags, "signature": asdict(recipe.signature)}
        self.add("import", "import", params, source)

    @property
    def from_tflite(self) -> bool:
        return self.resolved.recipe.source.kind == "tflite"

    def signed_snapshot(self) -> dict[str, Input]:
        return {
            "snapshot": self.of("import", "model.tflite" if self.from_tflite else "snapshot/", "snapshot"),
            "signature": self.of("import", "signature.json", "signature"),
        }

    def plan_sample(self, role: str, dataset: Dataset, file: str) -> None:
        params = {name: value for name, value in asdict(dataset).items() if name != "path"}
        if dataset.kind == "synthetic":
            params = {name: params[name] for name in ("kind", "count", "seed", "low", "high")}
        else:
            params = {name: value for name, value in params.items() if name not in ("low", "high")}
        inputs: dict[str, Input] = {"signature": self.of("import", "signature.json", "signature")}
        if dataset.path:
            inputs["dataset"] = self.file(file, "dataset")
        self.add(role, "sample", params, inputs)

    def plan_quantize(self) -> None:
        quantization = self.resolved.recipe.quantization
        if quantization.scheme == "none":
            return
        params: dict[str, Json] = {"scheme": quantization.scheme}
        calibrated = quantization.scheme == "int8"
        if calibrated:
            assert self.resolved.recipe.dataset is not None
            self.plan_sample("calibration samples", self.resolved.recipe.dataset, DATASET)
            params |= {"input_type": quantization.input_type, "output_type": quantization.output_type}
        if quantization.engine == "converter":
            inputs = self.signed_snapshot()
            if calibrated:
                inputs["samples"] = self.of("calibration samples", "samples.npz", "samples")
            params["select_tf"] = self.resolved.recipe.opset.select_tf
            self.add("quantize", "quantize_in_converter", params, inputs)
            return
        inputs = {"model": self.of("convert", "model.tflite", "model")}
        if calibrated:
            self.plan_calibrate()
            inputs["ranges"] = self.of("calibrate", "ranges.json", "ranges")
        self.add("quantize", "quantize", params, inputs)

    def plan_calibrate(self) -> None:
        calibration = self.resolved.recipe.quantization.calibration
        assert calibration is not None
        params: dict[str, Json] = {"method": calibration.method, "kernels": calibration.kernels}
        if calibration.method == "percentile":
            params["percentile"] = calibration.percentile
        if calibration.method == "moving_average":
            params["smoothing"] = calibration.smoothing
        if calibration.kernels == "fast":
            params["cpu"] = self.around.cpu
        inputs = {
            "model": self.of("convert", "model.tflite", "model"),
            "signature": self.of("import", "signature.json", "signature"),
            "samples": self.of("calibration samples", "samples.npz", "samples"),
        }
        self.add("calibrate", "calibrate", params, inputs)

    def artifact(self) -> StepInput:
        role = "quantize" if "quantize" in self.goals else "convert"
        return self.of(role, "model.tflite", "model")

    def plan_check(self) -> None:
        recipe = self.resolved.recipe
        params: dict[str, Json] = {
            "scheme": recipe.quantization.scheme,
            "input_type": recipe.quantization.input_type,
            "output_type": recipe.quantization.output_type,
            "select_tf": recipe.opset.select_tf,
            "full_integer": recipe.target.full_integer,
            "static_shapes": recipe.target.static_shapes,
        }
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.of("import", "signature.json", "signature"),
        }
        if "calibrate" in self.goals:
            inputs["ranges"] = self.of("calibrate", "ranges.json", "ranges")
        elif "calibration samples" in self.goals:
            inputs["samples"] = self.of("calibration samples", "samples.npz", "samples")
        self.add("check", "check", params, inputs)

    def run_params(self) -> dict[str, Json]:
        target = self.resolved.recipe.target
        return {"delegate": target.delegate, "threads": target.threads}

    def plan_verify(self) -> None:
        verify = self.resolved.recipe.verify
        params = {"kind": verify.kind, "output": verify.output, "top_k": verify.top_k, **self.run_params()}
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.of("import", "signature.json", "signature"),
            "samples": self.of("evaluation samples", "samples.npz", "samples"),
            "predictions": self.of("predict", "predictions.npz", "predictions"),
        }
        self.add("verify", "verify", params, inputs)

    def plan_benchmark(self) -> None:
        benchmark = self.resolved.recipe.benchmark
        params = {"runs": benchmark.runs, "warmup": benchmark.warmup, "host": self.around.host, **self.run_params()}
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.of("import", "signature.json", "signature"),
        }
        self.add("benchmark", "benchmark", params, inputs)

    def plan_package(self) -> None:
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "check": self.of("check", "check.json", "check"),
            "float": self.of("convert", "model.tflite", "float"),
        }
        if "verify" in self.goals:
            inputs["verify"] = self.of("verify", "verify.json", "verify")
        self.add("package", "package", {"name": self.resolved.recipe.name}, inputs)


def make_plan(resolved: Sequence[ResolvedRecipe], around: Surroundings) -> Plan:
    """One DAG for all variants; `goals` are in the order of `resolved`."""
    steps: dict[str, Step] = {}
    goals = []
    for one in resolved:
        variant = _Variant(one, around, steps)
        variant.plan()
        goals.append(variant.goals)
    return Plan(steps=steps, goals=tuple(goals))
