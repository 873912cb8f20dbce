"""Planner: makes the graph of steps, with their parameters and inputs, from resolved recipes.

Planning is pure: the same recipes and the same environment result in the same plan. Equal steps of several variants
are a single step of the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Calibration, Dataset, Optimize
from tflbuild.core.secrets import hide
from tflbuild.core.step import Input, Plan, Step
from tflbuild.plan.auxiliary_steps import add_benchmark, add_metadata, add_overlaps, metadata_files
from tflbuild.plan.plan_builder import KeyEnvironment, PlanBuilder
from tflbuild.plan.step_parameters import (
    SAMPLES,
    converter_parameters,
    scheme_parameters,
    signature_parameters,
    source_parameters,
    training_parameters,
)
from tflbuild.plan.target_steps import add_targets
from tflbuild.resolve.input_digests import (
    ARCHIVE,
    CODE,
    CODE_OF,
    DATASET,
    EVALUATION,
    METRICS,
    SOURCE,
    TRAINING,
    WEIGHTS,
    ResolvedRecipe,
)

TRAINING_TIES = (CpuDependence("training", "", "it adds up floating-point numbers in an order that the CPU decides"),)
MOMENTS = {"gptq": "matrix", "oscar": "diagonal"}
OPTIMIZED = "import optimized"


class VariantPlanner(PlanBuilder):
    """The planner of one variant. Its methods add steps in the order of the pipeline."""

    def plan(self) -> None:
        """Add all steps of the variant, up to the package. For a search, only the steps up to the float model."""
        recipe = self.resolved.recipe
        self.plan_float()
        if recipe.search is not None:
            # The search plans the other steps, for each of its trials.
            return
        self.plan_quantize()
        add_metadata(self)
        add_overlaps(self)
        self.plan_check()
        if recipe.verify.dataset is not None:
            self.plan_verify()
        add_benchmark(self)
        add_targets(self, self.artifact(), self.step_input("import", "signature.json", "signature"))
        self.plan_package()

    def plan_float(self) -> None:
        """Add the steps of the float model, and the predictions of the unmodified source for the evaluation samples."""
        self.plan_model()
        if self.resolved.recipe.verify.dataset is not None:
            self.plan_evaluation_samples()
            self.plan_predict("predict", "import")

    def plan_model(self) -> None:
        """Add the steps of the float model: import, training before conversion, conversion, and their checks."""
        optimize = self.resolved.recipe.optimize
        self.plan_import()
        if optimize is not None:
            self.plan_optimize(optimize)
        self.plan_convert()
        self.plan_comparison()

    def plan_comparison(self) -> None:
        """Add the steps that compare the source outputs with the float model and with the snapshots.

        A snapshot is left out if the step `predict` runs it: that step makes the same comparison.
        """
        if self.is_tflite_source:
            return
        for role in dict.fromkeys(("import", self.model)):
            if role == OPTIMIZED or self.resolved.recipe.verify.dataset is None:
                inputs = {**self.snapshot_inputs(role), **self.source_outputs_input(role)}
                self.add(f"compare {role}", "check_import", {}, inputs)
        inputs = {
            "model": self.step_input("convert", "model.tflite", "model"),
            "signature": self.step_input(self.model, "signature.json", "signature"),
            **self.source_outputs_input(self.model),
            **self.trained_ranges(),
        }
        self.add("compare float", "check_float", {}, inputs)

    def source_outputs_input(self, role: str) -> dict[str, Input]:
        """Return the input with the source outputs. A `.tflite` source has none, since it is its own float model."""
        return {} if self.is_tflite_source else {"witness": self.step_input(role, "witness.npz", "witness")}

    def plan_predict(self, role: str, model: str) -> None:
        """Add the step that runs the model of a role on the evaluation samples."""
        inputs = {
            **self.source_outputs_input(model),
            **self.snapshot_inputs(model),
            "samples": self.step_input("evaluation samples", SAMPLES, "samples"),
        }
        self.add(role, "predict_tflite" if self.is_tflite_source else "predict", {}, inputs)

    def plan_optimize(self, optimize: Optimize) -> None:
        """Add the steps of the training before conversion, between the source and its import."""
        signature = self.resolved.recipe.signature
        self.plan_sample("training samples", optimize.dataset, TRAINING)
        params = {**source_parameters(self.resolved), **training_parameters(optimize, signature)}
        inputs = {**self.source_inputs(), "samples": self.step_input("training samples", SAMPLES, "samples")}
        self.add("optimize", "optimize", params, inputs, ties=TRAINING_TIES)
        saved: dict[str, Json] = {"kind": "snapshot", "tags": (), "signatures": [asdict(signature)]}
        if "large" in params:
            saved["large"] = params["large"]
        self.add(OPTIMIZED, "import", saved, {"source": self.step_input("optimize", "model/", "source")})

    def plan_convert(self) -> None:
        """Add the step that makes the float model. A `.tflite` source needs none."""
        if not self.is_tflite_source:
            params = converter_parameters(self.resolved.recipe, quantizing=False)
            self.add("convert", "convert", params, self.snapshot_inputs(self.model))

    def plan_evaluation_samples(self) -> None:
        """Add the step that samples the evaluation dataset."""
        dataset = self.resolved.recipe.verify.dataset
        assert dataset is not None
        self.plan_sample("evaluation samples", dataset, EVALUATION)

    def plan_import(self) -> None:
        """Add the step that imports the source, and its download if it has a handle."""
        recipe = self.resolved.recipe
        signatures = signature_parameters(recipe)
        if self.is_tflite_source:
            must_be_float = recipe.quantization.scheme != "none"
            params: dict[str, Json] = {"signature": signatures[0], "must_be_float": must_be_float}
            self.add("import", "import_tflite", params, {"source": self.file_input(SOURCE, "source")})
            # The source is the float model.
            self.goals["convert"] = self.goals["import"]
            return
        self.plan_fetch()
        params = {**source_parameters(self.resolved), "signatures": signatures}
        self.add("import", "import", params, self.source_inputs())

    def plan_fetch(self) -> None:
        """Add the step that downloads or unpacks the source, if it is a handle of a model hub."""
        source = self.resolved.recipe.source
        if not source.handle or SOURCE in self.resolved.files:
            return
        local = ARCHIVE in self.resolved.files
        params: dict[str, Json] = {} if local else {"handle": source.handle}
        inputs: dict[str, Input] = {ARCHIVE: self.file_input(ARCHIVE, ARCHIVE)} if local else {}
        self.add("fetch", "fetch", params, inputs, expect={"model/": source.sha256} if source.sha256 else {})

    def source_inputs(self) -> dict[str, Input]:
        """Return the files of the source as inputs of a step."""
        roles = [role for role in (SOURCE, CODE, WEIGHTS) if role in self.resolved.files]
        inputs: dict[str, Input] = {role: self.file_input(role, role) for role in roles}
        if "fetch" in self.goals:
            inputs["source"] = replace(
                self.step_input("fetch", "model/", "source"), label=hide(self.resolved.recipe.source.handle)
            )
        return inputs

    @property
    def is_tflite_source(self) -> bool:
        """Return whether the source is a `.tflite` file."""
        return self.resolved.recipe.source.kind == "tflite"

    @property
    def model(self) -> str:
        """Return the role whose snapshot becomes the artifact: the import, or the import of the trained model."""
        return OPTIMIZED if OPTIMIZED in self.goals else "import"

    def snapshot_inputs(self, role: str) -> dict[str, Input]:
        """Return the snapshot of a role and its signatures as inputs of a step."""
        return {
            "snapshot": self.step_input(role, "model.tflite" if self.is_tflite_source else "snapshot/", "snapshot"),
            "signature": self.step_input(role, "signature.json", "signature"),
        }

    def plan_sample(self, role: str, dataset: Dataset, file: str) -> None:
        """Add the step that samples a dataset.

        Its cache key contains neither the path of the dataset nor options that this kind of dataset does not use.

        Args:
            role: The role of the step.
            dataset: The dataset.
            file: The role of the dataset's files among the resolved files.
        """
        excluded = {"path", "files"} | (set() if dataset.call else {"call"})
        excluded |= set() if dataset.options else {"options"}
        params = {name: value for name, value in asdict(dataset).items() if name not in excluded}
        if dataset.kind == "synthetic":
            params = {name: params[name] for name in ("kind", "count", "seed", "low", "high")}
        else:
            params = {name: value for name, value in params.items() if name not in ("low", "high")}
        inputs: dict[str, Input] = {"signature": self.step_input("import", "signature.json", "signature")}
        if dataset.path:
            inputs["dataset"] = self.file_input(file, "dataset")
        if file in self.resolved.codes:
            (params["call"],) = self.resolved.codes[file].entries
        self.add_code(file, params, inputs)
        self.add(role, "sample", params, inputs)

    def add_code(self, role: str, params: dict[str, Json], inputs: dict[str, Input]) -> None:
        """Add the files of a role's user code to `inputs`, and the packages that it imports to `params`."""
        code = self.resolved.codes.get(role)
        if code is not None and code.packages:
            params["packages"] = dict(code.packages)
        if code is not None and CODE_OF[role] in self.resolved.files:
            inputs[CODE] = self.file_input(CODE_OF[role], CODE)

    def plan_quantize(self) -> None:
        """Add the step that quantizes, and the calibration that it needs."""
        quantization = self.resolved.recipe.quantization
        if quantization.scheme == "none":
            return
        params: dict[str, Json] = {"scheme": quantization.scheme}
        calibrated = quantization.calibrated
        if calibrated or quantization.weighs_data:
            self.plan_calibration_samples()
        if calibrated:
            params |= {"input_type": quantization.input_type, "output_type": quantization.output_type}
        params |= scheme_parameters(quantization)
        if quantization.engine == "converter":
            inputs = self.snapshot_inputs(self.model)
            if "calibration samples" in self.goals:
                inputs["samples"] = self.step_input("calibration samples", SAMPLES, "samples")
            params |= converter_parameters(self.resolved.recipe, quantizing=True)
            self.add("quantize", "quantize_in_converter", params, inputs)
            return
        inputs = {"model": self.step_input("convert", "model.tflite", "model")}
        inputs |= self.plan_statistics()
        self.add("quantize", "quantize", params, inputs)

    def plan_calibration_samples(self) -> None:
        """Add the step that samples the representative dataset, if the recipe has one and the engine uses it.

        With trained ranges, the dataset is optional, and TFLiteConverter does not use it.
        """
        recipe = self.resolved.recipe
        if recipe.dataset is not None and not (recipe.ranges_trained and recipe.quantization.engine == "converter"):
            self.plan_sample("calibration samples", recipe.dataset, DATASET)

    def plan_statistics(self) -> dict[str, Input]:
        """Add the steps that measure statistics for the LiteRT quantizer, and return their outputs as inputs.

        The calibration samples must have been planned.
        """
        quantization = self.resolved.recipe.quantization
        inputs: dict[str, Input] = {}
        if quantization.calibrated:
            self.plan_calibrate()
            inputs["ranges"] = self.step_input("calibrate", "ranges.json", "ranges")
        if quantization.weighs_data:
            self.plan_moments()
            inputs["moments"] = self.step_input("moments", "moments.npz", "moments")
        return inputs

    def plan_moments(self) -> None:
        """Add the step that measures second moments of activations, for the algorithms that use them."""
        params: dict[str, Json] = {"moments": MOMENTS[self.resolved.recipe.quantization.algorithm]}
        self.add("moments", "moments", params, self.calibration_inputs())

    def kernel_parameters(self) -> dict[str, Json]:
        """Return the parameter that says which kernels run the float model on samples."""
        calibration = self.resolved.recipe.quantization.calibration
        kernels = calibration.kernels if calibration else Calibration.kernels
        return {"kernels": kernels}

    def trained_ranges(self) -> dict[str, Input]:
        """Return the ranges that the float model contains from training as an input of a step."""
        return {} if self.is_tflite_source else {"trained": self.step_input("convert", "trained.json", "trained")}

    def calibration_inputs(self) -> dict[str, Input]:
        """Return the float model, its signature and the calibration samples as inputs of a step."""
        inputs: dict[str, Input] = {
            "model": self.step_input("convert", "model.tflite", "model"),
            "signature": self.step_input("import", "signature.json", "signature"),
        }
        if "calibration samples" in self.goals:
            inputs["samples"] = self.step_input("calibration samples", SAMPLES, "samples")
        return inputs

    def plan_calibrate(self) -> None:
        """Add the step that measures the ranges of activations."""
        calibration = self.resolved.recipe.quantization.calibration
        assert calibration is not None
        params: dict[str, Json] = {"method": calibration.method, **self.kernel_parameters()}
        if calibration.method == "percentile":
            params["percentile"] = calibration.percentile
        if calibration.method == "moving_average":
            params["smoothing"] = calibration.smoothing
        self.add("calibrate", "calibrate", params, {**self.calibration_inputs(), **self.trained_ranges()})

    def plan_check(self) -> None:
        """Add the step that compares the artifact with the recipe."""
        recipe = self.resolved.recipe
        params: dict[str, Json] = {
            "scheme": recipe.quantization.scheme,
            "input_type": recipe.quantization.input_type,
            "output_type": recipe.quantization.output_type,
            "rules": [asdict(rule) for rule in recipe.quantization.rules],
            "opset": asdict(recipe.opset),
            "own_order": self.is_tflite_source,
        }
        if recipe.source.kind == "tflite" and recipe.quantization.scheme == "none":
            params["as_it_is"] = True
        if recipe.verify.dataset is None:
            params["run"] = self.interpreter_parameters()
        if recipe.quantization.symmetric:
            params["symmetric"] = True
        if recipe.quantization.engine == "litert" and recipe.quantization.scheme != "none":
            params["granularity"] = recipe.quantization.granularity
        if recipe.quantization.engine == "converter" and recipe.quantization.scheme != "none" and recipe.converter:
            params["converter"] = dict(recipe.converter)
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.step_input("import", "signature.json", "signature"),
            "float": self.step_input("convert", "model.tflite", "float"),
        }
        if recipe.metadata is not None:
            params["metadata"] = recipe.metadata.described
            inputs |= metadata_files(self)
        if "calibrate" in self.goals:
            inputs["ranges"] = self.step_input("calibrate", "ranges.json", "ranges")
        elif recipe.quantization.calibrated and "calibration samples" in self.goals:
            inputs |= {"samples": self.step_input("calibration samples", SAMPLES, "samples"), **self.trained_ranges()}
        if "optimize" in self.goals:
            inputs["optimized"] = self.step_input("optimize", "optimized.json", "optimized")
        if recipe.quantization.scheme != "none":
            params |= {"engine": recipe.quantization.engine, "algorithm": recipe.quantization.algorithm}
        self.add("check", "check", params, inputs)

    def plan_verify(self) -> None:
        """Add the step that runs the artifact on the evaluation samples."""
        verify = self.resolved.recipe.verify
        params: dict[str, Json] = {"kind": verify.kind, "output": verify.output, "top_k": verify.top_k}
        params |= self.interpreter_parameters() | self.part_parameters()
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.step_input("import", "signature.json", "signature"),
            "samples": self.step_input("evaluation samples", SAMPLES, "samples"),
            "predictions": self.step_input("predict", "predictions.npz", "predictions"),
        }
        if verify.metrics:
            entries = self.resolved.codes[METRICS].entries
            params["metrics"] = {name: entry for (name, _), entry in zip(verify.metrics, entries, strict=True)}
        self.add_code(METRICS, params, inputs)
        self.add("verify", "verify", params, inputs)

    def part_parameters(self) -> dict[str, Json]:
        """Return the parameter that selects a part of the evaluation samples, none if all are used."""
        part = self.resolved.recipe.verify.part
        return {"part": part} if part else {}

    def plan_package(self) -> None:
        """Add the step that writes the card, the runners and the other files about the artifact."""
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "check": self.step_input("check", "check.json", "check"),
            "float": self.step_input("convert", "model.tflite", "float"),
        }
        if "verify" in self.goals:
            inputs["verify"] = self.step_input("verify", "verify.json", "verify")
        self.add("package", "package", {"name": self.resolved.recipe.name}, inputs)


def make_plan(resolved: Sequence[ResolvedRecipe], environment: KeyEnvironment) -> Plan:
    """Return the plan of several variants as a single graph.

    Args:
        resolved: The resolved recipes of the variants.
        environment: The machine's contribution to cache keys.

    Returns:
        The plan. Its `goals` are in the order of `resolved`.
    """
    steps: dict[str, Step] = {}
    goals = []
    for recipe in resolved:
        variant = VariantPlanner(recipe, environment, steps)
        variant.plan()
        goals.append(variant.goals)
    return Plan(steps=steps, goals=tuple(goals))
