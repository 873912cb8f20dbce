"""Schema -> Recipe: what was composed, cross-checked and made immutable.

A contradiction is refused here, before anything is read or run.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from tflbuild.config import schema
from tflbuild.config.compose import Composed
from tflbuild.core.digest import leaves
from tflbuild.core.recipe import (
    Benchmark,
    Calibration,
    Dataset,
    Opset,
    Quantization,
    Recipe,
    Signature,
    Source,
    Target,
    TensorSpec,
    Verify,
)
from tflbuild.errors import RecipeError

PARITY_GATES = ("max_abs_error", "rmse", "cosine", "snr_db")
CLASSIFICATION_GATES = ("top1", "top1_drop", "agreement")


class _Freezer:
    """Makes one recipe; holds only what an error needs to say where."""

    def __init__(self, composed: Composed) -> None:
        self.composed = composed
        self.build = composed.build

    def refuse(self, what: str, key: str, why: str = "", next_step: str = "") -> RecipeError:
        return RecipeError(what, where=self.composed.places.find(key), why=why, next_step=next_step)

    def require(self, holds: bool, key: str, value: object, rule: str) -> None:
        if not holds:
            raise self.refuse(f"'{key}' is {value}, and must be {rule}", key)

    def check_kinds(self) -> None:
        """What names an option is chosen with the option, never set by itself."""
        verify = self.build.verify
        nodes: dict[str, tuple[str, object]] = {
            "source": ("kind", self.build.source),
            "quantization": ("scheme", self.build.quantization),
            "dataset": ("kind", self.build.dataset),
            "verify": ("kind", verify),
            "benchmark": ("kind", self.build.benchmark),
        }
        if verify.kind != "none":
            nodes["verify.dataset"] = ("kind", verify.dataset)
        for group, (field, node) in nodes.items():
            if getattr(node, field) != getattr(type(node), field):
                option = "dataset@verify.dataset" if group == "verify.dataset" else group
                raise self.refuse(
                    f"'{group}.{field}' cannot be set to '{getattr(node, field)}'",
                    f"{group}.{field}",
                    why="it goes with the option, whose other keys would not fit",
                    next_step=f"choose the option: {option}={getattr(node, field)}",
                )

    def check_name(self) -> None:
        parts = Path(self.composed.name).parts
        if not parts or Path(self.composed.name).is_absolute() or ".." in parts:
            raise self.refuse(
                f"'{self.composed.name}' cannot be the name of a folder below output_root",
                "name",
                next_step="name it without '/' at the start and without '..'; output_root=... chooses another place",
            )

    def recipe(self) -> Recipe:
        self.check_name()
        self.check_kinds()
        recipe = Recipe(
            name=self.composed.name,
            variant=self.composed.variant,
            source=self.source(),
            signature=self.signature(),
            opset=Opset(select_tf=self.build.opset.select_tf),
            quantization=self.quantization(),
            dataset=self.dataset(self.build.dataset, "dataset"),
            verify=self.verify(),
            target=self.target(),
            benchmark=self.benchmark(),
            output_root=self.build.output_root,
            overrides=self.composed.overrides,
        )
        self.check_finite(recipe)
        self.check_engine(recipe)
        self.check_data(recipe)
        self.check_gates(recipe)
        self.check_target(recipe)
        return recipe

    def source(self) -> Source:
        source = self.build.source
        tags = tuple(source.tags) if isinstance(source, schema.SavedModelSource) else ()
        pinned = source.sha256.lower()
        if pinned:
            self.require(
                bool(re.fullmatch(r"[0-9a-f]{64}", pinned)), "source.sha256", f"'{source.sha256}'", "64 hex digits"
            )
        return Source(kind=source.kind, path=source.path, sha256=pinned, tags=tags)

    def signature(self) -> Signature:
        signature = self.build.signature
        if signature.batch is not None:
            self.require(signature.batch >= 1, "signature.batch", signature.batch, "at least 1, or null")
        for name, tensor in signature.inputs.items():
            for size in tensor.shape:
                key = f"signature.inputs.{name}.shape"
                self.require(size is None or size >= 1, key, tensor.shape, "made of sizes from 1, and null where free")
        inputs = tuple(
            TensorSpec(name=name, shape=tuple(tensor.shape), dtype=tensor.dtype.value)
            for name, tensor in sorted(signature.inputs.items())
        )
        return Signature(key=signature.key, inputs=inputs, batch=signature.batch)

    def quantization(self) -> Quantization:
        quantization = self.build.quantization
        engine = quantization.engine.value
        if not isinstance(quantization, schema.Int8Quantization):
            return Quantization(scheme=quantization.scheme, engine=engine)
        calibration = quantization.calibration
        self.require(
            50 < calibration.percentile <= 100,
            "quantization.calibration.percentile",
            calibration.percentile,
            "above 50 and at most 100",
        )
        self.require(
            0 < calibration.smoothing < 1,
            "quantization.calibration.smoothing",
            calibration.smoothing,
            "between 0 and 1",
        )
        if engine == "converter" and calibration.method is not schema.Method.min_max:
            raise self.refuse(
                f"engine 'converter' cannot calibrate by '{calibration.method.value}'",
                "quantization.calibration.method",
                why="TFLiteConverter has a calibrator of its own, which takes minimum and maximum",
                next_step="use quantization.engine=litert, or quantization.calibration.method=min_max",
            )
        return Quantization(
            scheme=quantization.scheme,
            engine=engine,
            input_type=quantization.input_type.value,
            output_type=quantization.output_type.value,
            calibration=Calibration(
                method=calibration.method.value,
                kernels=calibration.kernels.value,
                percentile=calibration.percentile,
                smoothing=calibration.smoothing,
            ),
        )

    def dataset(self, dataset: schema.Dataset, key: str) -> Dataset | None:
        if dataset.kind == "none":
            return None
        if dataset.count is not None:
            self.require(dataset.count >= 1, f"{key}.count", dataset.count, "at least 1, or null")
        if isinstance(dataset, schema.SyntheticDataset):
            self.require(dataset.low < dataset.high, f"{key}.low", dataset.low, f"below {key}.high, {dataset.high}")
            self.require(dataset.count is not None, f"{key}.count", "null", "a number: synthetic data has no end")
            return Dataset(
                kind=dataset.kind, count=dataset.count, seed=dataset.seed, low=dataset.low, high=dataset.high
            )
        return Dataset(
            kind=dataset.kind,
            path=dataset.path,
            count=dataset.count,
            seed=dataset.seed,
            arrays=tuple(sorted(dataset.arrays.items())),
            label=dataset.label,
            scale=dataset.scale,
            offset=dataset.offset,
        )

    def verify(self) -> Verify:
        verify = self.build.verify
        if verify.kind == "none":
            return Verify(kind=verify.kind)
        gates = tuple(sorted((name, float(limit)) for name, limit in vars(verify.gates).items() if limit is not None))
        for name, limit in gates:
            self.require(math.isfinite(limit), f"verify.gates.{name}", limit, "a finite number, or null")
        dataset = self.dataset(verify.dataset, "verify.dataset")
        if dataset is None:
            raise self.refuse(
                f"verify={verify.kind} has no dataset",
                "verify.dataset",
                next_step="dataset@verify.dataset=npz verify.dataset.path=..., or verify=none",
            )
        if not isinstance(verify, schema.ClassificationVerify):
            return Verify(kind=verify.kind, dataset=dataset, gates=gates)
        self.require(verify.top_k >= 1, "verify.top_k", verify.top_k, "at least 1")
        if not dataset.label:
            raise self.refuse(
                "verify=classification has no labels",
                "verify.dataset.label",
                why="accuracy is measured against an array of integer class labels",
                next_step="name that array: verify.dataset.label=label, or use verify=parity",
            )
        return Verify(kind=verify.kind, dataset=dataset, output=verify.output, top_k=verify.top_k, gates=gates)

    def target(self) -> Target:
        target = self.build.target
        self.require(target.threads >= 1, "target.threads", target.threads, "at least 1")
        return Target(
            name=target.name,
            delegate=target.delegate.value,
            threads=target.threads,
            full_integer=target.full_integer,
            static_shapes=target.static_shapes,
        )

    def benchmark(self) -> Benchmark:
        benchmark = self.build.benchmark
        if not isinstance(benchmark, schema.HostBenchmark):
            return Benchmark(kind=benchmark.kind)
        self.require(benchmark.runs >= 10, "benchmark.runs", benchmark.runs, "at least 10, for a 90th percentile")
        self.require(benchmark.warmup >= 0, "benchmark.warmup", benchmark.warmup, "at least 0")
        return Benchmark(kind=benchmark.kind, runs=benchmark.runs, warmup=benchmark.warmup)

    def check_finite(self, recipe: Recipe) -> None:
        for key, value in leaves(recipe.as_json()).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise self.refuse(f"'{key}' is {value}, and must be a finite number", key)

    def check_data(self, recipe: Recipe) -> None:
        if recipe.quantization.scheme == "int8" and recipe.dataset is None:
            raise self.refuse(
                "quantization=int8 has no calibration data",
                "dataset",
                why="activation ranges are measured on representative samples; without them int8 would be a guess",
                next_step="dataset=npz dataset.path=..., or, for a trial that says nothing about accuracy,"
                " dataset=synthetic",
            )

    def check_engine(self, recipe: Recipe) -> None:
        if recipe.source.kind == "tflite" and recipe.quantization.engine == "converter":
            raise self.refuse(
                "engine 'converter' cannot start from a .tflite file",
                "quantization.engine",
                why="TFLiteConverter quantizes while it converts the original model",
                next_step="use quantization.engine=litert, or give the original model as the source",
            )

    def check_gates(self, recipe: Recipe) -> None:
        known = {"bytes": True}
        known |= dict.fromkeys(PARITY_GATES, recipe.verify.kind in ("parity", "classification"))
        known |= dict.fromkeys(CLASSIFICATION_GATES, recipe.verify.kind == "classification")
        for name, _ in recipe.verify.gates:
            if not known[name]:
                raise self.refuse(
                    f"the gate '{name}' is not measured by verify={recipe.verify.kind}",
                    f"verify.gates.{name}",
                    next_step="use verify=" + ("classification" if name in CLASSIFICATION_GATES else "parity"),
                )

    def check_target(self, recipe: Recipe) -> None:
        quantization, target = recipe.quantization, recipe.target
        integer_io = "float32" not in (quantization.input_type, quantization.output_type)
        if target.full_integer and not (quantization.scheme == "int8" and integer_io):
            has = quantization.scheme if integer_io or quantization.scheme != "int8" else "int8 with float32 I/O"
            raise self.refuse(
                f"target={target.name} takes integer models alone, and the recipe makes {has}",
                "target",
                next_step="quantization=int8 with quantization.input_type and output_type int8 or uint8",
            )
        if target.full_integer and recipe.opset.select_tf:
            raise self.refuse(
                f"target={target.name} cannot run TensorFlow (Flex) operators",
                "opset.select_tf",
                next_step="opset=builtins",
            )
        free = recipe.signature.batch is None or any(None in spec.shape[1:] for spec in recipe.signature.inputs)
        if target.static_shapes and free:
            raise self.refuse(
                f"target={target.name} needs fixed shapes, and the signature leaves a dimension free",
                "signature",
                next_step="signature=static, and sizes for every dimension in signature.inputs",
            )


def freeze(composed: Composed) -> Recipe:
    """The immutable recipe. Raises RecipeError for values out of range and for contradictions."""
    return _Freezer(composed).recipe()
