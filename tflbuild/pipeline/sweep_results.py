"""Write the results of a sweep: its record, table and page, in a folder of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tflbuild import __version__
from tflbuild.core.digest import Json, hash_value
from tflbuild.core.recipe import Recipe
from tflbuild.core.search_result import SearchResult
from tflbuild.core.secrets import hide, protect
from tflbuild.execute.plan_preview import preview_plan
from tflbuild.locations import store_root
from tflbuild.pipeline.build import VariantResult
from tflbuild.pipeline.preparation import PreparedBuild, describe_environment
from tflbuild.pipeline.tracked_files import used_packages
from tflbuild.plan.analysis_plans import make_sensitivities
from tflbuild.report.git_state import read_state
from tflbuild.report.manifest import describe_host
from tflbuild.report.output_files import cannot_write, disk_errors, write_page
from tflbuild.report.sweeps.sweep_page import sweep_page
from tflbuild.report.sweeps.sweep_record import (
    PAGE,
    RECORD,
    TABLE,
    Commit,
    OperatorSensitivity,
    SensitivityTable,
    SweepEntry,
    SweepRecord,
    make_entry,
    write_csv,
    write_record,
)
from tflbuild.report.variant_summary import show_path
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.storage.store import Store

FOLDER = "sweeps"
OUTPUTS = "outputs"


@dataclass(frozen=True)
class WrittenSweep:
    """A sweep and its files. The last file is the page."""

    sweep: SweepRecord
    files: tuple[Path, ...]


def write_sweep(arguments: Sequence[str], prepared: PreparedBuild, outcomes: Sequence[VariantResult]) -> WrittenSweep:
    """Write sweep.csv, report.html and sweep.json of a sweep into a new folder.

    Raises:
        MachineError: for a full disk, or for a folder that cannot be written to.
    """
    started = datetime.now(UTC)
    recipes = [resolved.recipe for resolved in prepared.resolved]
    root = Path(recipes[0].output_root if recipes else OUTPUTS) / FOLDER
    store = Store(store_root())
    git = read_state()
    with disk_errors(root):
        folder = open_folder(root, started, arguments)
        sweep = SweepRecord(
            id=folder.name,
            created=f"{started:%Y-%m-%dT%H:%M:%SZ}",
            command=tuple(map(hide, arguments)),
            tflbuild=__version__,
            host=describe_host(),
            toolchain=used_packages(),
            git=None if git is None else Commit(**git),
            objectives=recipes[0].objectives if recipes else (),
            variants=make_entries(prepared, outcomes, store),
        )
        sweep = add_sensitivity(sweep, store)
        texts = {TABLE: write_csv([sweep]), PAGE: sweep_page([sweep]), RECORD: write_record(sweep)}
        # The record is written last: a folder with a record is complete.
        files = {name: write_page(folder, name, text) for name, text in texts.items()}
    return WrittenSweep(sweep, (files[RECORD], files[TABLE], files[PAGE]))


def open_folder(root: Path, started: datetime, arguments: Sequence[str]) -> Path:
    """Create a folder that no other process has created.

    Its name consists of the time in UTC, a digest of the arguments, and a number if that name exists.
    """
    name = f"{started:%Y%m%d-%H%M%S}-{hash_value('Sweep', protect(list(arguments)))[:6]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = root / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise cannot_write(root, error) from None
    raise AssertionError("numbers do not end")


def make_entries(prepared: PreparedBuild, outcomes: Sequence[VariantResult], store: Store) -> tuple[SweepEntry, ...]:
    """Return the record of each variant, with the cache key of its sensitivity analysis if it has one."""
    keys = sensitivity_keys(prepared.resolved, outcomes, store)
    locations = {
        (resolved.recipe.name, resolved.recipe.variant): recipe_locations
        for resolved, recipe_locations in zip(prepared.resolved, prepared.locations, strict=True)
    }
    entries = []
    for outcome in outcomes:
        model = next((path for path in outcome.files if path.suffix == ".tflite"), None)
        shown_path = None if model is None else Path(show_path(model))
        entry = make_entry(outcome.row, outcome.recipe, shown_path, outcome.steps, outcome.error)
        key = keys.get((outcome.recipe, outcome.row.name), "")
        layers = None if outcome.search is None else layers_of_search(outcome.search)
        recipe_locations = locations.get((outcome.recipe, outcome.row.name))
        effective = (
            entry.overrides
            if recipe_locations is None
            else tuple(text for text in entry.overrides if recipe_locations.is_read(text))
        )
        entries.append(replace(entry, sensitivity=key, alone=effective, layers=layers))
    return tuple(entries)


def sensitivity_keys(
    resolved: Sequence[ResolvedRecipe], outcomes: Sequence[VariantResult], store: Store
) -> dict[tuple[str, str], str]:
    """Return the cache key of the sensitivity analysis of each variant: (recipe, variant) -> cache key.

    Variants that were not built, or whose sensitivity cannot be measured, have none.
    """
    built = {(outcome.recipe, outcome.row.name) for outcome in outcomes if outcome.row.manifest is not None}
    analyzable = [
        variant
        for variant in resolved
        if (variant.recipe.name, variant.recipe.variant) in built and can_measure_sensitivity(variant.recipe)
    ]
    if not analyzable:
        return {}
    plan = make_sensitivities(analyzable, describe_environment())
    keys = {preview.step.id: preview.key for preview in preview_plan(plan, store)}
    return {
        (variant.recipe.name, variant.recipe.variant): keys[goals["sensitivity"]]
        for variant, goals in zip(analyzable, plan.goals, strict=True)
    }


def can_measure_sensitivity(recipe: Recipe) -> bool:
    """Return whether the sensitivity of operators can be measured: the recipe has a scheme and evaluation samples."""
    return recipe.search is None and recipe.quantization.scheme != "none" and recipe.verify.dataset is not None


def layers_of_search(search: SearchResult) -> SensitivityTable | None:
    """Return the sensitivities that a search measured, or None if it measured none."""
    if not search.costly:
        return None
    operators = tuple(
        OperatorSensitivity(name=loss.name, operator=loss.operator, snr_db=loss.snr_db) for loss in search.costly
    )
    return SensitivityTable(source="the search", scheme=search.costly[0].scheme, operators=operators)


def add_sensitivity(sweep: SweepRecord, store: Store) -> SweepRecord:
    """Add to a sweep the sensitivities that the store has. Nothing is measured."""
    return replace(sweep, variants=tuple(replace(entry, layers=find_layers(entry, store)) for entry in sweep.variants))


def find_layers(entry: SweepEntry, store: Store) -> SensitivityTable | None:
    """Return the sensitivities of a variant: those of its search, or the stored result of `tflbuild sensitivity`."""
    stored = store.read(entry.sensitivity) if entry.layers is None and entry.sensitivity else None
    if stored is None:
        return entry.layers
    operators = tuple(
        OperatorSensitivity(name=loss["name"], operator=loss["operator"], snr_db=loss["snr_db"])
        for loss in stored.facts["operators"]
    )
    facts = stored.facts
    return SensitivityTable(
        source="tflbuild sensitivity", scheme=facts["scheme"], operators=operators, samples=facts["samples"]
    )


def variants_json(written: WrittenSweep) -> list[dict[str, Json]]:
    """Return a JSON object for each variant: its figures, whether it is on the Pareto front, and the page's path."""
    front, page = written.sweep.front, str(written.files[-1])
    return [
        {"pareto": index in front, "figures": dict(entry.figures), "report": page}
        for index, entry in enumerate(written.sweep.variants)
    ]
