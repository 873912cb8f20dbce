"""The verbs that ask something of a recipe or a model: a plan of their own, and the one answer of its last step."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tflbuild.config.composing.benchmark_overrides import compose_timed
from tflbuild.config.composing.compose import Composed, compose
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

Require = Callable[[Recipe, KeyLocations], None]
Composing = Callable[[list[str]], list[Composed]]


@dataclass(frozen=True)
class AnalysisResult:
    """What a question's step found, and the recipe that it was asked of."""

    recipe: Recipe
    found: Mapping[str, Json]


def sensitivity(overrides: Sequence[str], limits: Limits) -> AnalysisResult:
    """What quantizing each operator alone costs. Raises TflbuildError for a recipe that cannot say."""
    return _ask(overrides, limits, _require_sensitive, make_sensitivity, "sensitivity")


def advise(overrides: Sequence[str], limits: Limits) -> AnalysisResult:
    """Whether the calibration samples are enough. Raises TflbuildError for a recipe without any."""
    return _ask(overrides, limits, _require_samples, make_advice, "advise")


def benchmark(overrides: Sequence[str], limits: Limits) -> AnalysisResult:
    """Time the artifact of a recipe anew, or a .tflite that stands for one; on this host unless the recipe says where.

    Raises TflbuildError where it cannot be built or timed.
    """
    words = [text for text in overrides if "=" not in text and not text.startswith("~")]
    told = [text for text in overrides if text not in words]
    if words:
        told = [*_as_source("tflite", words[0]), *told]
    if any(text.lstrip("+") == "benchmark=none" for text in told):
        raise UsageError("benchmark=none leaves nothing to time", where="command line: benchmark=none")
    make = partial(make_benchmark, again=uuid.uuid4().hex)
    return _ask(told, limits, _require_settled, make, "benchmark", compose_timed)


def _as_source(kind: str, path: str) -> list[str]:
    """The overrides that make a model the source, taken as it is."""
    quoted = path.replace("\\", "\\\\").replace("'", "\\'")
    return [f"source={kind}", f"source.{LOCATORS.get(kind, 'path')}='{quoted}'", "signature=dynamic"]


def _ask(
    overrides: Sequence[str], limits: Limits, require: Require, make: MakePlan, role: str, by: Composing = compose
) -> AnalysisResult:
    with open_executor(limits) as (executor, console):
        read = observe_configuration()
        prepared = prepare_jobs(by(list(overrides)), read, executor.store)
        prepared.require_any()
        require_one_artifact(prepared)
        resolved, locations = prepared.resolved[0], prepared.locations[0]
        require(resolved.recipe, locations)
        for note in prepared.notes:
            console.say(note)
        claim_folders([resolved.recipe], [locations])
        prepare(variant_folder(resolved.recipe))
        connect(executor, prepared.shared, prepared.cluster)
        plan = make(resolved, describe_environment())
        found = execute_all(executor, plan, locations)[role].facts
    return AnalysisResult(resolved.recipe, {name: value for name, value in found.items() if name not in OF_THE_PROCESS})


def _require_settled(recipe: Recipe, locations: KeyLocations) -> None:
    if recipe.search is not None:
        raise RecipeError(
            "what quantization=auto ends with is not known",
            where=locations.find("quantization"),
            next_step="build it: its last line names the artifact, which `tflbuild benchmark MODEL.tflite` times",
        )


def _require_sensitive(recipe: Recipe, locations: KeyLocations) -> None:
    unquantized = recipe.quantization.scheme == "none" or recipe.search is not None
    if unquantized or recipe.verify.dataset is None:
        lacks = "quantization" if unquantized else "verify"
        raise RecipeError(
            f"sensitivity needs {'a scheme' if lacks == 'quantization' else 'evaluation data'}",
            where=locations.find(lacks),
            why="each operator is quantized alone, and the outputs compared on evaluation samples",
            next_step="quantization=int8" if lacks == "quantization" else "verify=parity verify.dataset.path=...",
        )


def _require_samples(recipe: Recipe, locations: KeyLocations) -> None:
    if recipe.dataset is None:
        raise RecipeError(
            "advise needs calibration data",
            where=locations.find("dataset"),
            why="it says whether the samples are enough, and there are none",
            next_step="dataset=npz dataset.path=...",
        )


@dataclass(frozen=True)
class InspectedModel:
    """A model as it is: its kind, its signature and, of a .tflite, its contents.

    `asks` are the parts of any other model that a build refuses unless the recipe names them: `path`, `why`, `key`.
    """

    kind: str
    signature: Json
    contents: Mapping[str, Json]
    verdicts: tuple[Verdict, ...] = ()
    asks: tuple[Mapping[str, str], ...] = ()


def inspect(path: str, settings: Sequence[str], limits: Limits, targets: Sequence[str] = ()) -> InspectedModel:
    """Open a model, and ask targets of it; `settings` are overrides of its source.

    Raises TflbuildError for what is no model, and for targets of one that is not converted yet.
    """
    kind = guess_source_kind(path)
    if targets and kind != "tflite":
        raise UsageError(
            f"'{path}' is not converted yet",
            where="command line: --target",
            why="targets judge a .tflite file",
            next_step=f"build it for them: target=[{','.join(targets)}]",
        )
    store = Store(store_root())
    overrides = [*_as_source(kind, path), *([f"target=[{','.join(targets)}]"] if targets else []), *settings]
    with disk_errors(store.root), Executor(store, show_notices, limits) as executor:
        prepared = prepare_plan(overrides, multirun=False, store=store)
        recipe = prepared.resolved[0].recipe
        if targets and not recipe.targets:
            raise UsageError(
                f"'{','.join(targets)}' names no target", where="command line: --target", next_step="tflbuild targets"
            )
        connect(executor, prepared.shared, prepared.cluster)
        plan = make_description(prepared.resolved[0], describe_environment())
        results = execute_all(executor, plan, prepared.locations[0])
        described = results["describe"]
        signature = json.loads(store.blob(described.outputs["signature.json"]).read_text())
    contents, asks = described.facts.get("contents", {}), tuple(described.facts.get("asks", ()))
    return InspectedModel(kind, signature, contents, tuple(verdicts_of(recipe, results)), asks)


def list_targets() -> list[ListedTarget]:
    """Every profile, the project's own in conf/target/ included. Raises RecipeError for one that is not sound."""
    return [ListedTarget(text, target, find_tool(target)) for text, target in list_profiles()]


def guess_source_kind(path: str) -> str:
    """The kind of source that a path, a handle or a reference looks like."""
    if is_remote(path) or path.endswith(ARCHIVES):
        return "hub"
    if re.fullmatch(r".+\.py:[A-Za-z_][\w.]*", path):
        return "function"
    place = locate(path)
    if place.is_dir():
        return "saved_model"
    kinds = {".tflite": "tflite", ".keras": "keras", ".h5": "keras", ".hdf5": "keras"}
    if place.exists() and place.suffix not in kinds:
        raise UsageError(
            f"'{path}' is no model that tflbuild knows",
            where="command line",
            next_step="give a .keras or .h5 file, a SavedModel folder, a .tflite file, a TF Hub handle,"
            " or file.py:function",
        )
    return kinds.get(place.suffix, "keras")
