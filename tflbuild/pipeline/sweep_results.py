"""The end of a sweep: its record and its report, in a folder of their own."""

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
    """A sweep and the files that tell of it, the report last."""

    sweep: SweepRecord
    files: tuple[Path, ...]


def write_sweep(arguments: Sequence[str], prepared: PreparedBuild, outcomes: Sequence[VariantResult]) -> WrittenSweep:
    """Write sweep.csv, report.html and sweep.json into a folder of their own. Raises MachineError for a full disk."""
    started = datetime.now(UTC)
    recipes = [one.recipe for one in prepared.resolved]
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
        files = {name: write_page(folder, name, text) for name, text in texts.items()}  # the record says all are there
    return WrittenSweep(sweep, (files[RECORD], files[TABLE], files[PAGE]))


def open_folder(root: Path, started: datetime, asked: Sequence[str]) -> Path:
    """A new folder that no other process has: the time (UTC), a digest of what was asked, a number on a clash."""
    name = f"{started:%Y%m%d-%H%M%S}-{hash_value('Sweep', protect(list(asked)))[:6]}"
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
    """An entry a variant. Those whose error by operator can be asked for know the key of the answer."""
    keys = sensitivity_keys(prepared.resolved, outcomes, store)
    places = {
        (one.recipe.name, one.recipe.variant): at for one, at in zip(prepared.resolved, prepared.places, strict=True)
    }
    entries = []
    for outcome in outcomes:
        model = next((path for path in outcome.files if path.suffix == ".tflite"), None)
        shown = None if model is None else Path(show_path(model))
        entry = make_entry(outcome.row, outcome.recipe, shown, outcome.steps, outcome.error)
        key = keys.get((outcome.recipe, outcome.row.name), "")
        layers = None if outcome.found is None else layers_of_search(outcome.found)
        where = places.get((outcome.recipe, outcome.row.name))
        alone = entry.overrides if where is None else tuple(text for text in entry.overrides if where.is_read(text))
        entries.append(replace(entry, sensitivity=key, alone=alone, layers=layers))
    return tuple(entries)


def sensitivity_keys(
    resolved: Sequence[ResolvedRecipe], outcomes: Sequence[VariantResult], store: Store
) -> dict[tuple[str, str], str]:
    """(recipe, variant) -> the key under which the store has, or would have, what `tflbuild sensitivity` measures."""
    built = {(one.recipe, one.row.name) for one in outcomes if one.row.manifest is not None}
    able = [one for one in resolved if (one.recipe.name, one.recipe.variant) in built and is_sensitive(one.recipe)]
    if not able:
        return {}
    plan = make_sensitivities(able, describe_environment())
    keys = {one.step.id: one.key for one in preview_plan(plan, store)}
    return {
        (one.recipe.name, one.recipe.variant): keys[goals["sensitivity"]]
        for one, goals in zip(able, plan.goals, strict=True)
    }


def is_sensitive(recipe: Recipe) -> bool:
    """Whether its error by operator can be measured: it is quantized as it says, and there are evaluation samples."""
    return recipe.search is None and recipe.quantization.scheme != "none" and recipe.verify.dataset is not None


def layers_of_search(found: SearchResult) -> SensitivityTable | None:
    """What a search measured of single operators."""
    if not found.costly:
        return None
    operators = tuple(
        OperatorSensitivity(name=one.name, operator=one.operator, snr_db=one.snr_db) for one in found.costly
    )
    return SensitivityTable(source="the search", scheme=found.costly[0].scheme, operators=operators)


def add_sensitivity(sweep: SweepRecord, store: Store) -> SweepRecord:
    """The sweep with the errors by operator that the store has now; nothing is measured."""
    return replace(sweep, variants=tuple(replace(one, layers=find_layers(one, store)) for one in sweep.variants))


def find_layers(entry: SweepEntry, store: Store) -> SensitivityTable | None:
    """What `tflbuild sensitivity` found of a variant, as the store has it."""
    kept = store.read(entry.sensitivity) if entry.layers is None and entry.sensitivity else None
    if kept is None:
        return entry.layers
    operators = tuple(
        OperatorSensitivity(name=one["name"], operator=one["operator"], snr_db=one["snr_db"])
        for one in kept.facts["operators"]
    )
    facts = kept.facts
    return SensitivityTable(
        source="tflbuild sensitivity", scheme=facts["scheme"], operators=operators, samples=facts["samples"]
    )


def variants_json(swept: WrittenSweep) -> list[dict[str, Json]]:
    """What a program is told of each variant besides its own: whether it is on the front, its figures, the report."""
    front, page = swept.sweep.front, str(swept.files[-1])
    return [
        {"pareto": place in front, "figures": dict(entry.figures), "report": page}
        for place, entry in enumerate(swept.sweep.variants)
    ]
