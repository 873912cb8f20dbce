"""Freeze a composed configuration: check it and turn it into an immutable Recipe.

Contradictions are refused here, before any input is read and any step runs.
"""

from __future__ import annotations

from pathlib import Path

from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.config.composing.unused_keys import refuse_unused
from tflbuild.config.freezing import contradictions
from tflbuild.config.freezing.freeze_benchmark import freeze_benchmark
from tflbuild.config.freezing.freeze_data import freeze_dataset
from tflbuild.config.freezing.freeze_metadata import freeze_metadata
from tflbuild.config.freezing.freeze_model import (
    freeze_converter,
    freeze_more,
    freeze_opset,
    freeze_signature,
    freeze_source,
)
from tflbuild.config.freezing.freeze_optimize import freeze_optimize
from tflbuild.config.freezing.freeze_quantization import freeze_quantization, freeze_search
from tflbuild.config.freezing.freeze_sweep import freeze_objectives
from tflbuild.config.freezing.freeze_target import freeze_targets
from tflbuild.config.freezing.freeze_verify import freeze_verify
from tflbuild.core.recipe import Recipe


class _Freezer:
    """Makes one recipe, with errors that name the place of a key."""

    def __init__(self, composed: Composed) -> None:
        self.composed = composed
        self.build = composed.build
        self.refusals = RecipeErrors(composed.locations)
        self.refuse = self.refusals.refuse
        self.require = self.refusals.require

    def check_kinds(self) -> None:
        """Raise RecipeError for a changed key that names the option itself, such as `source.kind`.

        Options are chosen as a whole.
        """
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
        if self.build.optimize.steps:
            nodes["optimize.dataset"] = ("kind", self.build.optimize.dataset)
        for group, (field, node) in nodes.items():
            if getattr(node, field) != getattr(type(node), field):
                option = f"dataset@{group}" if group.endswith(".dataset") else group
                raise self.refuse(
                    f"'{group}.{field}' cannot be set to '{getattr(node, field)}'",
                    f"{group}.{field}",
                    why="it names the option, whose other keys would not fit",
                    next_step=f"choose the option: {option}={getattr(node, field)}",
                )

    def check_name(self) -> None:
        parts = Path(self.composed.name).parts
        if not parts or Path(self.composed.name).is_absolute() or ".." in parts:
            raise self.refuse(
                f"'{self.composed.name}' cannot be the name of a folder below output_root",
                "name",
                next_step="name it without '/' at the start and without '..'; output_root=... names another folder",
            )

    def recipe(self) -> Recipe:
        self.check_name()
        self.check_kinds()
        unused_keys = {unused.key for unused in self.composed.unused_keys}
        recipe = Recipe(
            name=self.composed.name,
            variant=self.composed.variant,
            source=freeze_source(self.build.source, self.refusals),
            signature=freeze_signature(self.build.signature.key, self.build.signature, "signature", self.refusals),
            more_signatures=freeze_more(self.build.signature, self.refusals),
            optimize=freeze_optimize(self.build.optimize, self.refusals),
            opset=freeze_opset(self.build.opset, self.refusals),
            converter=freeze_converter(self.build.converter, self.refusals, unused_keys),
            quantization=freeze_quantization(self.build.quantization, self.refusals),
            search=freeze_search(self.build.quantization, self.refusals),
            dataset=freeze_dataset(self.build.dataset, "dataset", self.refusals),
            verify=freeze_verify(self.build.verify, self.refusals),
            targets=freeze_targets(self.build.target, self.refusals),
            benchmark=freeze_benchmark(self.build.benchmark, self.refusals),
            metadata=freeze_metadata(self.build.metadata, self.composed.name, self.refusals),
            objectives=freeze_objectives(self.build.sweep, self.build.verify.metrics, self.refusals),
            output_root=self.build.output_root,
            overrides=self.composed.overrides,
        )
        self.check_unused_keys()
        contradictions.check(recipe, self.refusals)
        return recipe

    def check_unused_keys(self) -> None:
        """Raise RecipeError for a declared key that no variant uses."""
        for unused in self.composed.unused_keys:
            if not unused.used_by_another:
                raise refuse_unused(unused, self.refusals.locations)


def freeze(composed: Composed) -> Recipe:
    """Return the immutable recipe of a composed variant.

    Raises:
        RecipeError: for values out of range, contradictions, and declared keys that nothing uses.
    """
    return _Freezer(composed).recipe()
