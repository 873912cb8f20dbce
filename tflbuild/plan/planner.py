"""ResolvedRecipes -> Plan: which steps, with which parameters, fed by what.

Pure: same recipes and toolchain, same plan. Equal steps of several variants are one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json
from tflbuild.core.recipe import CONVERTER_QUANTIZER_OPTIONS, Calibration, Dataset, Optimize
from tflbuild.core.secrets import hide
from tflbuild.core.step import Input, Plan, Step
from tflbuild.plan.auxiliary_steps import add_benchmark, add_metadata, add_overlaps, metadata_files
from tflbuild.plan.plan_builder import KeyEnvironment, PlanBuilder
from tflbuild.plan.step_parameters import (
    SAMPLES,
    list_scheme_parameters,
    signature_params,
    source_params,
    training_params,
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
    """The steps of one variant, one after another."""

    # the corridor, step by step

    def plan(self) -> None:
        recipe = self.resolved.recipe
        self.plan_float()
        if recipe.search is not None:
            return  # what follows is found out by trials
        self.plan_quantize()
        add_metadata(self)
        add_overlaps(self)
        self.plan_check()
        if recipe.verify.dataset is not None:
            self.plan_verify()
        add_benchmark(self)
        add_targets(self, self.artifact(), self.of("import", "signature.json", "signature"))
        self.plan_package()

    def plan_float(self) -> None:
        """The float model, and what the source itself, as it was given, says to the evaluation samples."""
        self.plan_model()
        if self.resolved.recipe.verify.dataset is not None:
            self.plan_evaluation_samples()
            self.plan_predict("predict", "import")

    def plan_model(self) -> None:
        """The float model alone."""
        optimize = self.resolved.recipe.optimize
        self.plan_import()
        if optimize is not None:
            self.plan_optimize(optimize)
        self.plan_convert()
        self.plan_comparison()

    def plan_comparison(self) -> None:
        """Compare what the source itself gave with the float model, and with snapshots that `predict` leaves out."""
        if self.from_tflite:
            return
        for role in dict.fromkeys(("import", self.model)):
            if role == OPTIMIZED or self.resolved.recipe.verify.dataset is None:
                inputs = {**self.signed_snapshot(role), **self.witness(role)}
                self.add(f"compare {role}", "check_import", {}, inputs)
        inputs = {
            "model": self.of("convert", "model.tflite", "model"),
            "signature": self.of(self.model, "signature.json", "signature"),
            **self.witness(self.model),
            **self.trained_ranges(),
        }
        self.add("compare float", "check_float", {}, inputs)

    def witness(self, role: str) -> dict[str, Input]:
        """Return what the source itself gave. A .tflite is its own float model: nothing wraps it."""
        return {} if self.from_tflite else {"witness": self.of(role, "witness.npz", "witness")}

    def plan_predict(self, role: str, model: str) -> None:
        inputs = {
            **self.witness(model),
            **self.signed_snapshot(model),
            "samples": self.of("evaluation samples", SAMPLES, "samples"),
        }
        self.add(role, "predict_tflite" if self.from_tflite else "predict", {}, inputs)

    def plan_optimize(self, optimize: Optimize) -> None:
        """Train between the source and its import."""
        signature = self.resolved.recipe.signature
        self.plan_sample("training samples", optimize.dataset, TRAINING)
        params = {**source_params(self.resolved), **training_params(optimize, signature)}
        inputs = {**self.source_inputs(), "samples": self.of("training samples", SAMPLES, "samples")}
        self.add("optimize", "optimize", params, inputs, ties=TRAINING_TIES)
        saved: dict[str, Json] = {"kind": "snapshot", "tags": (), "signatures": [asdict(signature)]}
        if "large" in params:
            saved["large"] = params["large"]
        self.add(OPTIMIZED, "import", saved, {"source": self.of("optimize", "model/", "source")})

    def plan_convert(self) -> None:
        if not self.from_tflite:
            self.add("convert", "convert", self.convert_params(quantizing=False), self.signed_snapshot(self.model))

    def plan_evaluation_samples(self) -> None:
        dataset = self.resolved.recipe.verify.dataset
        assert dataset is not None
        self.plan_sample("evaluation samples", dataset, EVALUATION)

    def plan_import(self) -> None:
        recipe = self.resolved.recipe
        signatures = signature_params(recipe)
        if self.from_tflite:
            must_be_float = recipe.quantization.scheme != "none"
            params: dict[str, Json] = {"signature": signatures[0], "must_be_float": must_be_float}
            self.add("import", "import_tflite", params, {"source": self.file(SOURCE, "source")})
            self.goals["convert"] = self.goals["import"]  # the source is the float model
            return
        self.plan_fetch()
        self.add("import", "import", {**source_params(self.resolved), "signatures": signatures}, self.source_inputs())

    def plan_fetch(self) -> None:
        source = self.resolved.recipe.source
        if not source.handle or SOURCE in self.resolved.files:
            return
        local = ARCHIVE in self.resolved.files
        params: dict[str, Json] = {} if local else {"handle": source.handle}
        inputs: dict[str, Input] = {ARCHIVE: self.file(ARCHIVE, ARCHIVE)} if local else {}
        self.add("fetch", "fetch", params, inputs, expect={"model/": source.sha256} if source.sha256 else {})

    def source_inputs(self) -> dict[str, Input]:
        roles = [role for role in (SOURCE, CODE, WEIGHTS) if role in self.resolved.files]
        inputs: dict[str, Input] = {role: self.file(role, role) for role in roles}
        if "fetch" in self.goals:
            inputs["source"] = replace(
                self.of("fetch", "model/", "source"), label=hide(self.resolved.recipe.source.handle)
            )
        return inputs

    @property
    def from_tflite(self) -> bool:
        return self.resolved.recipe.source.kind == "tflite"

    @property
    def model(self) -> str:
        """The role that gives the model which becomes the artifact."""
        return OPTIMIZED if OPTIMIZED in self.goals else "import"

    def signed_snapshot(self, role: str) -> dict[str, Input]:
        return {
            "snapshot": self.of(role, "model.tflite" if self.from_tflite else "snapshot/", "snapshot"),
            "signature": self.of(role, "signature.json", "signature"),
        }

    def plan_sample(self, role: str, dataset: Dataset, file: str) -> None:
        """A dataset's step. Where it lies is in no key, nor is what its kind has no use for."""
        left_out = {"path", "files"} | (set() if dataset.call else {"call"})
        left_out |= set() if dataset.options else {"options"}
        params = {name: value for name, value in asdict(dataset).items() if name not in left_out}
        if dataset.kind == "synthetic":
            params = {name: params[name] for name in ("kind", "count", "seed", "low", "high")}
        else:
            params = {name: value for name, value in params.items() if name not in ("low", "high")}
        inputs: dict[str, Input] = {"signature": self.of("import", "signature.json", "signature")}
        if dataset.path:
            inputs["dataset"] = self.file(file, "dataset")
        if file in self.resolved.codes:
            (params["call"],) = self.resolved.codes[file].entries
        self.add_code(file, params, inputs)
        self.add(role, "sample", params, inputs)

    def add_code(self, role: str, params: dict[str, Json], inputs: dict[str, Input]) -> None:
        """What the user's code behind a role adds to a step: its files, and the packages that it imports."""
        code = self.resolved.codes.get(role)
        if code is not None and code.packages:
            params["packages"] = dict(code.packages)
        if code is not None and CODE_OF[role] in self.resolved.files:
            inputs[CODE] = self.file(CODE_OF[role], CODE)

    def plan_quantize(self) -> None:
        quantization = self.resolved.recipe.quantization
        if quantization.scheme == "none":
            return
        params: dict[str, Json] = {"scheme": quantization.scheme}
        calibrated = quantization.calibrated
        if calibrated or quantization.weighs_data:
            self.plan_calibration_samples()
        if calibrated:
            params |= {"input_type": quantization.input_type, "output_type": quantization.output_type}
        params |= list_scheme_parameters(quantization)
        if quantization.engine == "converter":
            inputs = self.signed_snapshot(self.model)
            if "calibration samples" in self.goals:
                inputs["samples"] = self.of("calibration samples", SAMPLES, "samples")
            params |= self.convert_params(quantizing=True)
            self.add("quantize", "quantize_in_converter", params, inputs)
            return
        inputs = {"model": self.of("convert", "model.tflite", "model")}
        inputs |= self.plan_statistics()
        self.add("quantize", "quantize", params, inputs)

    def plan_calibration_samples(self) -> None:
        """Where ranges were trained, samples may be left out, and TFLiteConverter has no use for them."""
        recipe = self.resolved.recipe
        if recipe.dataset is not None and not (recipe.ranges_trained and recipe.quantization.engine == "converter"):
            self.plan_sample("calibration samples", recipe.dataset, DATASET)

    def plan_statistics(self) -> dict[str, Input]:
        """What the LiteRT quantizer goes by, measured on the calibration samples, which are planned."""
        quantization = self.resolved.recipe.quantization
        inputs: dict[str, Input] = {}
        if quantization.calibrated:
            self.plan_calibrate()
            inputs["ranges"] = self.of("calibrate", "ranges.json", "ranges")
        if quantization.weighs_data:
            self.plan_moments()
            inputs["moments"] = self.of("moments", "moments.npz", "moments")
        return inputs

    def plan_moments(self) -> None:
        params: dict[str, Json] = {"moments": MOMENTS[self.resolved.recipe.quantization.algorithm]}
        self.add("moments", "moments", params, self.calibration_inputs())

    def kernel_params(self) -> dict[str, Json]:
        """Return the kernels that run the float model on samples."""
        calibration = self.resolved.recipe.quantization.calibration
        kernels = calibration.kernels if calibration else Calibration.kernels
        return {"kernels": kernels}

    def trained_ranges(self) -> dict[str, Input]:
        return {} if self.from_tflite else {"trained": self.of("convert", "trained.json", "trained")}

    def calibration_inputs(self) -> dict[str, Input]:
        inputs: dict[str, Input] = {
            "model": self.of("convert", "model.tflite", "model"),
            "signature": self.of("import", "signature.json", "signature"),
        }
        if "calibration samples" in self.goals:
            inputs["samples"] = self.of("calibration samples", SAMPLES, "samples")
        return inputs

    def plan_calibrate(self) -> None:
        calibration = self.resolved.recipe.quantization.calibration
        assert calibration is not None
        params: dict[str, Json] = {"method": calibration.method, **self.kernel_params()}
        if calibration.method == "percentile":
            params["percentile"] = calibration.percentile
        if calibration.method == "moving_average":
            params["smoothing"] = calibration.smoothing
        self.add("calibrate", "calibrate", params, {**self.calibration_inputs(), **self.trained_ranges()})

    def convert_params(self, *, quantizing: bool) -> dict[str, Json]:
        """The converter's part of the recipe; options of its quantizer stay out of the float model's key."""
        recipe = self.resolved.recipe
        options = {
            name: value for name, value in recipe.converter if quantizing or name not in CONVERTER_QUANTIZER_OPTIONS
        }
        params: dict[str, Json] = {"select_tf": recipe.opset.select_tf}
        if recipe.opset.custom:
            params["allow_custom"] = True
        return params | ({"options": options} if options else {})

    def plan_check(self) -> None:
        recipe = self.resolved.recipe
        params: dict[str, Json] = {
            "scheme": recipe.quantization.scheme,
            "input_type": recipe.quantization.input_type,
            "output_type": recipe.quantization.output_type,
            "rules": [asdict(rule) for rule in recipe.quantization.rules],
            "opset": asdict(recipe.opset),
            "own_order": self.from_tflite,
        }
        if recipe.source.kind == "tflite" and recipe.quantization.scheme == "none":
            params["as_it_is"] = True
        if recipe.verify.dataset is None:
            params["run"] = self.run_params()
        if recipe.quantization.symmetric:
            params["symmetric"] = True
        if recipe.quantization.engine == "litert" and recipe.quantization.scheme != "none":
            params["granularity"] = recipe.quantization.granularity
        if recipe.quantization.engine == "converter" and recipe.quantization.scheme != "none" and recipe.converter:
            params["converter"] = dict(recipe.converter)
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.of("import", "signature.json", "signature"),
            "float": self.of("convert", "model.tflite", "float"),
        }
        if recipe.metadata is not None:
            params["metadata"] = recipe.metadata.described
            inputs |= metadata_files(self)
        if "calibrate" in self.goals:
            inputs["ranges"] = self.of("calibrate", "ranges.json", "ranges")
        elif recipe.quantization.calibrated and "calibration samples" in self.goals:
            inputs |= {"samples": self.of("calibration samples", SAMPLES, "samples"), **self.trained_ranges()}
        if "optimize" in self.goals:
            inputs["optimized"] = self.of("optimize", "optimized.json", "optimized")
        if recipe.quantization.scheme != "none":
            params |= {"engine": recipe.quantization.engine, "algorithm": recipe.quantization.algorithm}
        self.add("check", "check", params, inputs)

    def plan_verify(self) -> None:
        verify = self.resolved.recipe.verify
        params: dict[str, Json] = {"kind": verify.kind, "output": verify.output, "top_k": verify.top_k}
        params |= self.run_params() | self.part_params()
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "signature": self.of("import", "signature.json", "signature"),
            "samples": self.of("evaluation samples", SAMPLES, "samples"),
            "predictions": self.of("predict", "predictions.npz", "predictions"),
        }
        if verify.metrics:
            entries = self.resolved.codes[METRICS].entries
            params["metrics"] = {name: entry for (name, _), entry in zip(verify.metrics, entries, strict=True)}
        self.add_code(METRICS, params, inputs)
        self.add("verify", "verify", params, inputs)

    def part_params(self) -> dict[str, Json]:
        """Return the part of the evaluation samples that is used; nothing where all are."""
        part = self.resolved.recipe.verify.part
        return {"part": part} if part else {}

    def plan_package(self) -> None:
        inputs: dict[str, Input] = {
            "model": self.artifact(),
            "check": self.of("check", "check.json", "check"),
            "float": self.of("convert", "model.tflite", "float"),
        }
        if "verify" in self.goals:
            inputs["verify"] = self.of("verify", "verify.json", "verify")
        self.add("package", "package", {"name": self.resolved.recipe.name}, inputs)


def make_plan(resolved: Sequence[ResolvedRecipe], around: KeyEnvironment) -> Plan:
    """One DAG for all variants; `goals` are in the order of `resolved`."""
    steps: dict[str, Step] = {}
    goals = []
    for one in resolved:
        variant = VariantPlanner(one, around, steps)
        variant.plan()
        goals.append(variant.goals)
    return Plan(steps=steps, goals=tuple(goals))
