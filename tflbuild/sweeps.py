"""The end of a sweep: its record and its report, written once; and reports made again from records."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tflbuild import __version__
from tflbuild.core.digest import Json, hash_value
from tflbuild.core.recipe import Recipe
from tflbuild.core.trial import Found
from tflbuild.errors import UsageError, nearest
from tflbuild.execute.preview import preview
from tflbuild.locations import store_root
from tflbuild.pipeline import Outcome, Prepared, disk_errors, surroundings, used_packages
from tflbuild.plan.inquiries import make_sensitivities
from tflbuild.report.history import find_commit, is_since, order_commits
from tflbuild.report.manifest import describe_host, git_state
from tflbuild.report.outputs import cannot_write, write_page
from tflbuild.report.summary import show_path
from tflbuild.report.sweep import (
    PAGE,
    RECORD,
    TABLE,
    Commit,
    Entry,
    Layer,
    Layers,
    Sweep,
    make_entry,
    read_record,
    write_csv,
    write_record,
)
from tflbuild.report.sweep_page import sweep_page
from tflbuild.resolve.inputs import ResolvedRecipe
from tflbuild.storage.store import Store

FOLDER = "sweeps"
OUTPUTS = "outputs"
USAGE = "tflbuild report [SWEEP ...] [--since REV] [output_root=FOLDER]"


@dataclass(frozen=True)
class Recorded:
    """A sweep and the files that tell of it, the report last."""

    sweep: Sweep
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Report:
    """A page that was made again, of which sweeps, and why others were left out."""

    page: Path
    sweeps: tuple[Sweep, ...]
    left_out: tuple[str, ...]


# at the end of a sweep


def record(arguments: Sequence[str], prepared: Prepared, outcomes: Sequence[Outcome]) -> Recorded:
    """Write sweep.csv, report.html and sweep.json into a folder of their own. Raises MachineError for a full disk."""
    started = datetime.now(UTC)
    recipes = [one.recipe for one in prepared.resolved]
    root = Path(recipes[0].output_root if recipes else OUTPUTS) / FOLDER
    store = Store(store_root())
    git = git_state()
    with disk_errors(root):
        folder = open_folder(root, started, arguments)
        sweep = Sweep(
            id=folder.name,
            created=f"{started:%Y-%m-%dT%H:%M:%SZ}",
            command=tuple(arguments),
            tflbuild=__version__,
            host=describe_host(),
            toolchain=used_packages(),
            git=None if git is None else Commit(**git),
            objectives=recipes[0].objectives if recipes else (),
            variants=make_entries(prepared, outcomes, store),
        )
        sweep = with_layers(sweep, store)
        texts = {TABLE: write_csv([sweep]), PAGE: sweep_page([sweep]), RECORD: write_record(sweep)}
        files = {name: write_page(folder, name, text) for name, text in texts.items()}  # the record says all are there
    return Recorded(sweep, (files[RECORD], files[TABLE], files[PAGE]))


def open_folder(root: Path, started: datetime, asked: Sequence[str]) -> Path:
    """A new folder that no other process has: the time (UTC), a digest of what was asked, a number on a clash."""
    name = f"{started:%Y%m%d-%H%M%S}-{hash_value('Sweep', list(asked))[:6]}"
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


def make_entries(prepared: Prepared, outcomes: Sequence[Outcome], store: Store) -> tuple[Entry, ...]:
    """An entry a variant. Those whose error by operator can be asked for know the key of the answer."""
    keys = sensitivity_keys(prepared.resolved, outcomes, store)
    entries = []
    for outcome in outcomes:
        model = next((path for path in outcome.files if path.suffix == ".tflite"), None)
        shown = None if model is None else Path(show_path(model))
        entry = make_entry(outcome.row, outcome.recipe, shown, outcome.steps, outcome.error)
        key = keys.get((outcome.recipe, outcome.row.name), "")
        layers = None if outcome.found is None else layers_of_search(outcome.found)
        entries.append(replace(entry, sensitivity=key, layers=layers))
    return tuple(entries)


def sensitivity_keys(
    resolved: Sequence[ResolvedRecipe], outcomes: Sequence[Outcome], store: Store
) -> dict[tuple[str, str], str]:
    """(recipe, variant) -> the key under which the store has, or would have, what `tflbuild sensitivity` measures."""
    built = {(one.recipe, one.row.name) for one in outcomes if one.row.manifest is not None}
    able = [one for one in resolved if (one.recipe.name, one.recipe.variant) in built and is_sensitive(one.recipe)]
    if not able:
        return {}
    plan = make_sensitivities(able, surroundings())
    keys = {one.step.id: one.key for one in preview(plan, store)}
    return {
        (one.recipe.name, one.recipe.variant): keys[goals["sensitivity"]]
        for one, goals in zip(able, plan.goals, strict=True)
    }


def is_sensitive(recipe: Recipe) -> bool:
    """Whether its error by operator can be measured: it is quantized as it says, and there are evaluation samples."""
    return recipe.search is None and recipe.quantization.scheme != "none" and recipe.verify.dataset is not None


def layers_of_search(found: Found) -> Layers | None:
    """What a search measured of single operators."""
    if not found.costly:
        return None
    operators = tuple(Layer(name=one.name, operator=one.operator, snr_db=one.snr_db) for one in found.costly)
    return Layers(source="the search", scheme=found.costly[0].scheme, operators=operators)


def with_layers(sweep: Sweep, store: Store) -> Sweep:
    """The sweep with the errors by operator that the store has now; nothing is measured."""
    return replace(sweep, variants=tuple(replace(one, layers=find_layers(one, store)) for one in sweep.variants))


def find_layers(entry: Entry, store: Store) -> Layers | None:
    """What `tflbuild sensitivity` found of a variant, as the store has it."""
    kept = store.read(entry.sensitivity) if entry.layers is None and entry.sensitivity else None
    if kept is None:
        return entry.layers
    operators = tuple(
        Layer(name=one["name"], operator=one["operator"], snr_db=one["snr_db"]) for one in kept.facts["operators"]
    )
    facts = kept.facts
    return Layers(source="tflbuild sensitivity", scheme=facts["scheme"], operators=operators, samples=facts["samples"])


def told_of_variants(swept: Recorded) -> list[dict[str, Json]]:
    """What a program is told of each variant besides its own: whether it is on the front, its figures, the report."""
    front, page = swept.sweep.front, str(swept.files[-1])
    return [
        {"pareto": place in front, "figures": dict(entry.figures), "report": page}
        for place, entry in enumerate(swept.sweep.variants)
    ]


# made again


def report(words: Sequence[str], since: str | None) -> Report:
    """The page of one sweep in its folder, or of several beside their folders.

    Raises UsageError for a sweep that is not there or cannot be read, and for a revision that git does not know.
    """
    named, outputs = take_root(words)
    root = Path(outputs) / FOLDER
    folders = [find_folder(word, root) for word in named] if named else list(folders_below(root))
    if not folders:
        raise UsageError(
            f"there is no sweep below {root}",
            where="command line",
            next_step="tflbuild -m +recipe=NAME key=a,b makes one; output_root=... looks in another place",
        )
    if not named and since is None:
        folders = folders[-1:]
    folders = list({folder.resolve(): folder for folder in folders}.values())
    sweeps = [read_record(folder / RECORD) for folder in folders]
    left_out: list[str] = []
    if since is not None:
        sweeps, left_out = choose_since(sweeps, since)
    store = Store(store_root())
    sweeps = [with_layers(sweep, store) for sweep in in_order(sweeps)]
    place = folders[0] if len(folders) == 1 and since is None else root
    with disk_errors(root):
        page = write_page(place, PAGE, sweep_page(sweeps))
    return Report(page, tuple(sweeps), tuple(left_out))


def told_of_report(made: Report) -> dict[str, Json]:
    """The same for programs."""
    sweeps = [
        {"id": one.id, "commit": one.git and one.git.commit, "variants": len(one.variants)} for one in made.sweeps
    ]
    return {"report": str(made.page), "sweeps": sweeps, "left_out": list(made.left_out)}


def take_root(words: Sequence[str]) -> tuple[list[str], str]:
    """(sweeps named, output folder)."""
    mark = "output_root="
    roots = [word.removeprefix(mark) for word in words if word.startswith(mark)]
    return [word for word in words if not word.startswith(mark)], roots[-1] if roots else OUTPUTS


def folders_below(root: Path) -> Iterator[Path]:
    """Every finished sweep's folder, the oldest first: names begin with the time."""
    return (path.parent for path in sorted(root.glob(f"*/{RECORD}")))


def find_folder(word: str, root: Path) -> Path:
    """The folder that a path or an id names. Raises UsageError where no sweep is."""
    for place in (Path(word), root / word):
        folder = place.parent if place.name == RECORD else place
        if (folder / RECORD).is_file():
            return folder
    there = Path(word).is_dir() or (root / word).is_dir()
    known = [folder.name for folder in folders_below(root)]
    raise UsageError(
        f"'{word}' has no {RECORD}" if there else f"there is no sweep '{word}'",
        where="command line",
        why=nearest(os.path.basename(word), known) or f"looked for a folder with a {RECORD}, here and in {root}",
        next_step=USAGE,
    )


def choose_since(sweeps: Sequence[Sweep], revision: str) -> tuple[list[Sweep], list[str]]:
    """(the sweeps made at a commit or after it, why the others are none). Raises UsageError when there is none."""
    first = find_commit(revision)
    answers = {sweep.git.commit: is_since(sweep.git.commit, first) for sweep in sweeps if sweep.git is not None}
    kept, left_out = [], []
    for sweep in sweeps:
        answer = None if sweep.git is None else answers[sweep.git.commit]
        if answer:
            kept.append(sweep)
        elif answer is None:
            why = "it has no commit" if sweep.git is None else f"git does not know its commit {sweep.git.short}"
            left_out.append(f"{sweep.id}: {why}")
    if not kept:
        raise UsageError(
            f"no sweep was made at {revision} or after it",
            where=f"command line: --since {revision}",
            why="\n".join([f"of {len(sweeps)} sweeps, {len(sweeps) - len(left_out)} are from before", *left_out]),
            next_step="an earlier revision, or name the sweeps",
        )
    return kept, left_out


def in_order(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """By the place of their commits in history where git knows all of them, else by time."""
    commits = {sweep.git.commit for sweep in sweeps if sweep.git is not None}
    places = order_commits(commits) if len(commits) > 1 else {}

    def rank(sweep: Sweep) -> tuple[int, str]:
        known = sweep.git is not None and places.keys() >= commits
        return places[sweep.git.commit] if known and sweep.git is not None else -1, sweep.created

    return sorted(sweeps, key=rank)
