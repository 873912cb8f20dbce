"""Run the analysis commands: each has a plan of its own, and its last step has the answer."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tflbuild.config.composing.benchmark_overrides import compose_timed
from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.composed_variant import Composed
from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.config.reference.target_profiles import list_profiles
from tflbuild.core.digest import Json
from tflbuild.core.recipe import LOCATORS, Recipe
from tflbuild.core.verdict import Verdict
from tflbuild.errors import RecipeError, UsageError
from tflbuild.execute.executor import Executor
from tflbuild.execute.run_limits import Limits
from tflbuild.locations import locate, store_root
from tflbuild.pipeline.build import connect, execute_all, open_executor
from tflbuild.pipeline.output_folders import claim_folders
from tflbuild.pipeline.preparation import (
    describe_environment,
    observe_configuration,
    prepare_jobs,
    prepare_plan,
    require_one_artifact,
)
from tflbuild.plan.analysis_plans import (
    MakePlan,
    make_advice,
    make_benchmark,
    make_description,
    make_sensitivity,
)
from tflbuild.report.console import show_notices
from tflbuild.report.manifest import OF_THE_PROCESS
from tflbuild.report.output_files import disk_errors, prepare, variant_folder
from tflbuild.report.verdict_text import ListedTarget, verdicts_of
from tflbuild.resolve.input_digests import ARCHIVES, is_remote
from tflbuild.resolve.target_tools import find_tool
from tflbuild.storage.store import Store

RecipeCheck = Callable[[Recipe, KeyLocations], None]
ComposeFunction = Callable[[list[str]], list[Composed]]


@dataclass(frozen=True)
class AnalysisResult:
    """The facts that an analysis measured, and its recipe."""

    recipe: Recipe
    facts: Mapping[str, Json]


def sensitivity(overrides: Sequence[str], limits: Limits) -> AnalysisResult:
    """Measure the loss of quality when each operator is quantized and the others are not.

    Raises:
        TflbuildError: for a recipe without a scheme or without evaluation data, or for a step that fails.
    """
    return _analyse(overrides, limits, _require_sensitive, make_sensitivity, "sensitivity")


def advise(overrides: Sequence[str], limits: Limits) -> AnalysisResult:
    """Measure whether the calibration samples are enough.

    Raises:
        TflbuildError: for a recipe without calibration samples, or for a step that fails.
    """
    return _analyse(overrides, limits, _require_samples, make_advice, "advise")


def benchmark(overrides: Sequence[str], limits: Limits) -> AnalysisResult:
    """Measure the artifact of a recipe, or a .tflite file, anew; on this host unless the recipe names another device.

    Raises:
        TflbuildError: for an artifact that cannot be built or measured.
    """
    models = [text for text in overrides if "=" not in text and not text.startswith("~")]
    recipe_overrides = [text for text in overrides if text not in models]
    if models:
        recipe_overrides = [*_as_source("tflite", models[0]), *recipe_overrides]
    if any(text.lstrip("+") == "benchmark=none" for text in recipe_overrides):
        raise UsageError("benchmark=none measures nothing", where="command line: benchmark=none")
    make_plan = partial(make_benchmark, again=uuid.uuid4().hex)
    return _analyse(recipe_overrides, limits, _refuse_search, make_plan, "benchmark", compose_timed)


def _as_source(kind: str, path: str) -> list[str]:
    """Return the overrides that make a model the source, with its own signature."""
    quoted = path.replace("\\", "\\\\").replace("'", "\\'")
    return [f"source={kind}", f"source.{LOCATORS.get(kind, 'path')}='{quoted}'", "signature=dynamic"]


def _analyse(
    overrides: Sequence[str],
    limits: Limits,
    check_recipe: RecipeCheck,
    make: MakePlan,
    role: str,
    compose_jobs: ComposeFunction = compose,
) -> AnalysisResult:
    with open_executor(limits) as (executor, console):
        read = observe_configuration()
        prepared = prepare_jobs(compose_jobs(list(overrides)), read, executor.store)
        prepared.require_any()
        require_one_artifact(prepared)
        resolved, locations = prepared.resolved[0], prepared.locations[0]
        check_recipe(resolved.recipe, locations)
        for note in prepared.notes:
            console.say(note)
        claim_folders([resolved.recipe], [locations])
        prepare(variant_folder(resolved.recipe))
        connect(executor, prepared.shared, prepared.cluster)
        plan = make(resolved, describe_environment())
        facts = execute_all(executor, plan, locations)[role].facts
    return AnalysisResult(resolved.recipe, {name: value for name, value in facts.items() if name not in OF_THE_PROCESS})


def _refuse_search(recipe: Recipe, locations: KeyLocations) -> None:
    if recipe.search is not None:
        raise RecipeError(
            "benchmark cannot know which quantization quantization=auto will choose",
            where=locations.find("quantization"),
            next_step="build it: the last line names the artifact, which `tflbuild benchmark MODEL.tflite` measures",
        )


def _require_sensitive(recipe: Recipe, locations: KeyLocations) -> None:
    unquantized = recipe.quantization.scheme == "none" or recipe.search is not None
    if unquantized or recipe.verify.dataset is None:
        missing_group = "quantization" if unquantized else "verify"
        raise RecipeError(
            f"sensitivity needs {'a scheme' if missing_group == 'quantization' else 'evaluation data'}",
            where=locations.find(missing_group),
            why="it quantizes one operator at a time and compares the outputs on evaluation samples",
            next_step="quantization=int8"
            if missing_group == "quantization"
            else "verify=parity verify.dataset.path=...",
        )


def _require_samples(recipe: Recipe, locations: KeyLocations) -> None:
    if recipe.dataset is None:
        raise RecipeError(
            "advise needs calibration data",
            where=locations.find("dataset"),
            why="it analyses whether the calibration samples are enough",
            next_step="dataset=npz dataset.path=...",
        )


@dataclass(frozen=True)
class InspectedModel:
    """A model as it was read: its kind, its signature and, of a .tflite, its contents.

    `asks` lists the parts of any other model that a build refuses unless the recipe names them: `path`, `why`, `key`.
    """

    kind: str
    signature: Json
    contents: Mapping[str, Json]
    verdicts: tuple[Verdict, ...] = ()
    asks: tuple[Mapping[str, str], ...] = ()


def inspect(path: str, settings: Sequence[str], limits: Limits, targets: Sequence[str] = ()) -> InspectedModel:
    """Read a model, and check it for targets.

    Args:
        path: A file, a folder, a TF Hub handle, or `FILE.py:FUNCTION`.
        settings: Overrides of the source.
        limits: The limits of the run.
        targets: The names of the targets, for a .tflite file.

    Raises:
        TflbuildError: for a path that is not a model, and for targets of a model that is not converted yet.
    """
    kind = guess_source_kind(path)
    if targets and kind != "tflite":
        raise UsageError(
            f"'{path}' is not converted yet",
            where="command line: --target",
            why="targets check .tflite files only",
            next_step=f"build it for these targets: target=[{','.join(targets)}]",
        )
    store = Store(store_root())
    overrides = [*_as_source(kind, path), *([f"target=[{','.join(targets)}]"] if targets else []), *settings]
    with disk_errors(store.root), Executor(store, show_notices, limits) as executor:
        prepared = prepare_plan(overrides, multirun=False, store=store)
        recipe = prepared.resolved[0].recipe
        if targets and not recipe.targets:
            raise UsageError(
                f"'{','.join(targets)}' is not a target", where="command line: --target", next_step="tflbuild targets"
            )
        connect(executor, prepared.shared, prepared.cluster)
        plan = make_description(prepared.resolved[0], describe_environment())
        results = execute_all(executor, plan, prepared.locations[0])
        described = results["describe"]
        signature = json.loads(store.blob(described.outputs["signature.json"]).read_text())
    contents, asks = described.facts.get("contents", {}), tuple(described.facts.get("asks", ()))
    return InspectedModel(kind, signature, contents, tuple(verdicts_of(recipe, results)), asks)


def list_targets() -> list[ListedTarget]:
    """Return every target profile, including those of the project in conf/target/.

    Raises:
        RecipeError: for a profile that is not valid.
    """
    return [ListedTarget(text, target, find_tool(target)) for text, target in list_profiles()]


def guess_source_kind(path: str) -> str:
    """Return the kind of source that a path, a handle or a function reference looks like.

    Raises:
        UsageError: for an existing file of an unknown kind.
    """
    if is_remote(path) or path.endswith(ARCHIVES):
        return "hub"
    if re.fullmatch(r".+\.py:[A-Za-z_][\w.]*", path):
        return "function"
    model_path = locate(path)
    if model_path.is_dir():
        return "saved_model"
    kinds = {".tflite": "tflite", ".keras": "keras", ".h5": "keras", ".hdf5": "keras"}
    if model_path.exists() and model_path.suffix not in kinds:
        raise UsageError(
            f"'{path}' is not a model that tflbuild can read",
            where="command line",
            next_step="name a .keras or .h5 file, a SavedModel folder, a .tflite file, a TF Hub handle,"
            " or file.py:function",
        )
    return kinds.get(model_path.suffix, "keras")
