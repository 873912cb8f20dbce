"""Read and write the record of a sweep: an entry for each variant, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tflbuild.core.digest import Json
from tflbuild.core.figure_warnings import is_collapsed
from tflbuild.core.gates import ACCURACIES, LATENCIES, SIZE_FIGURES, WORST_OF_OUTPUTS, collect_figures, collect_margins
from tflbuild.core.objective import Objective
from tflbuild.core.step_result import StepResult
from tflbuild.core.target_gates import collect_target_figures
from tflbuild.core.typed_json import from_json
from tflbuild.core.untrusted_files import read_json
from tflbuild.core.verdict import short_verdict
from tflbuild.errors import TflbuildError, UsageError
from tflbuild.report.cpu_dependence_text import show_ties
from tflbuild.report.sweeps.pareto_front import choose_default_objectives, costs_of, find_pareto_front
from tflbuild.report.variant_summary import SweepRow, is_optimized
from tflbuild.report.verdict_text import verdicts_in

FORMAT = 1
RECORD = "sweep.json"
TABLE = "sweep.csv"
PAGE = "report.html"
# Figures that have a column in every CSV, measured or not.
FIGURES = (*SIZE_FIGURES, *ACCURACIES, *WORST_OF_OUTPUTS, *LATENCIES)
# Figures whose margin has a column.
MARGINS = ("top1", "top1_drop", "topk", "agreement", "snr_db")
CSV_COLUMNS = (
    *("sweep", "created", "commit", "recipe", "variant", "overrides", "result", "pareto", *FIGURES, "float_bytes"),
    *("samples", "latency_host", "targets", "devices", "sha256", "path", "error_kind", "error"),
    *("warnings", *(f"{name}_margin" for name in MARGINS), "tied_to_cpu"),
)


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """The end of a step of a variant. `status` is `hit`, `ran`, `failed` or `skipped`.

    `seconds` is the wall time of the run that made the outputs, in this sweep or before. Steps with the same `id` are
    one step, whichever variant needs it. `key` is the cache key of its result, or "".
    """

    id: str
    key: str
    status: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class VariantError:
    """The error of a variant that did not pass."""

    kind: str
    what: str
    where: str = ""
    why: str = ""
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """The artifact of a variant. Sizes are in bytes. `zeros` is the fraction of zero weights of a pruned model."""

    path: str
    sha256: str
    bytes: int
    gzip_bytes: int
    float_bytes: int
    optimized: bool = False
    zeros: float | None = None


@dataclass(frozen=True, kw_only=True)
class OperatorSensitivity:
    """An operator, and the SNR of the worst output in dB when only this operator is quantized."""

    name: str
    operator: str
    snr_db: float


@dataclass(frozen=True, kw_only=True)
class SensitivityTable:
    """The sensitivities of operators, the worst first. `source` is the command or search that measured them."""

    source: str
    scheme: str
    operators: tuple[OperatorSensitivity, ...]
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class SweepEntry:
    """The record of one variant.

    `figures` are those of `core.gates`, measured on `samples` evaluation samples, and those of targets. `margins` are
    half of the widths of their 95 % intervals. A `collapsed` variant is not on the front; `warnings` explain why.
    `tied` lists what depends on the CPU that built the artifact.

    `steps` are by role. `latency_host` is the host that measured the latency. `targets` has the verdicts in short form,
    `devices` where the figures of each target were measured, or the tool that estimated them. `alone` are the overrides
    that the variant needs if it is built without the others. `sensitivity` is the cache key of its sensitivity
    analysis, and `layers` the result if the store has it.
    """

    name: str
    verdict: str
    recipe: str = ""
    overrides: tuple[str, ...] = ()
    scheme: str = ""
    trouble: VariantError | None = None
    artifact: Artifact | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    collapsed: bool = False
    samples: int | None = None
    latency_host: str = ""
    targets: str = ""
    devices: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, StepEnd] = field(default_factory=dict)
    sensitivity: str = ""
    alone: tuple[str, ...] = ()
    layers: SensitivityTable | None = None

    @property
    def passed(self) -> bool:
        """Return whether the variant was built and passed its gates."""
        return self.trouble is None and self.artifact is not None

    @property
    def sound(self) -> bool:
        """Return whether the variant passed and has not collapsed, so that it may be on the Pareto front."""
        return self.passed and not self.collapsed


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The commit of the project at the end of the sweep. `dirty`: tracked files differ from it."""

    commit: str
    dirty: bool

    @property
    def short(self) -> str:
        """Return the first ten digits, with a + if files differ."""
        return f"{self.commit[:10]}{'+' if self.dirty else ''}"


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """A sweep: its command, time (UTC, ISO 8601), host and packages, and the records of its variants.

    The variants are in the order of the sweep's jobs.
    """

    id: str
    created: str
    command: tuple[str, ...]
    tflbuild: str
    host: Mapping[str, str]
    toolchain: Mapping[str, str]
    variants: tuple[SweepEntry, ...]
    git: Commit | None = None
    objectives: tuple[Objective, ...] = ()
    format: int = FORMAT

    @property
    def effective_objectives(self) -> tuple[Objective, ...]:
        """Return the objectives of the recipe, or the default ones."""
        return self.objectives or choose_default_objectives([entry.figures for entry in self.variants])

    @property
    def front(self) -> frozenset[int]:
        """Return the indices of the variants on the Pareto front."""
        return find_front(self.variants, self.effective_objectives)


def find_front(entries: Sequence[SweepEntry], objectives: Sequence[Objective]) -> frozenset[int]:
    """Return the indices of the variants on the Pareto front.

    A variant can be on the front if it passed, has not collapsed, and has a figure for every objective.
    """
    return find_pareto_front([costs_of(entry.figures, objectives) if entry.sound else None for entry in entries])


def rank_entries(entries: Sequence[SweepEntry], objectives: Sequence[Objective]) -> list[int]:
    """Return the indices of variants, best first by the first objective, then by the others.

    Equal variants are sorted by size, then by name. Collapsed variants, and then those that did not pass, come last.
    """

    def rank(index: int) -> tuple[bool, bool, list[tuple[bool, float]], int, str]:
        entry = entries[index]
        costs = [objective.cost(entry.figures) for objective in objectives]
        size = entry.artifact.bytes if entry.artifact is not None else 0
        sort_costs = [(cost is None, cost or 0.0) for cost in costs]
        return not entry.passed, not entry.sound, sort_costs, size, entry.name if entry.sound else ""

    return sorted(range(len(entries)), key=rank)


def collect_manifest_figures(manifest: Mapping[str, Json]) -> dict[str, float]:
    """Return the figures of a manifest, including those of its targets."""
    return {
        **collect_figures({"check": manifest["artifact"], **manifest["metrics"]}),
        **collect_target_figures(verdicts_in(manifest)),
    }


def make_entry(
    row: SweepRow,
    recipe: str,
    model: Path | None,
    steps: Mapping[str, StepResult],
    error: TflbuildError | None,
) -> SweepEntry:
    """Return the record of a variant.

    Args:
        row: Its row in the table, with the manifest if it was built.
        recipe: The name of the recipe.
        model: The path of the artifact.
        steps: The results of its steps by role.
        error: Its error, None if it passed.
    """
    ends = {
        role: StepEnd(id=step.step_id, key=step.key, status=step.status, seconds=round(step.elapsed, 3))
        for role, step in steps.items()
    }
    trouble = None
    if error is not None:
        parts = ("kind", "what", "where", "why", "next_step")
        trouble = VariantError(**{part: getattr(error, part) for part in parts})
    entry = SweepEntry(
        name=row.name,
        verdict=row.verdict,
        recipe=recipe,
        overrides=list_variant_overrides(row),
        trouble=trouble,
        steps=ends,
    )
    return entry if row.manifest is None else _with_artifact(entry, row.manifest, model)


def list_variant_overrides(row: SweepRow) -> tuple[str, ...]:
    """Return the overrides that make the variant. Those of `sweep.*` only compare variants, and are left out."""
    return tuple(text for text in row.overrides if not text.lstrip("+").startswith("sweep."))


def _with_artifact(entry: SweepEntry, manifest: Mapping[str, Json], model: Path | None) -> SweepEntry:
    artifact_facts, metrics = manifest["artifact"], manifest["metrics"]
    verdicts = verdicts_in(manifest)
    pruned = is_optimized(manifest) and manifest["optimized"]["pruned"]
    artifact = Artifact(
        path="" if model is None else str(model),
        **{name: artifact_facts[name] for name in ("sha256", "bytes", "gzip_bytes", "float_bytes")},
        optimized=is_optimized(manifest),
        zeros=artifact_facts["contents"]["weights"]["zeros"] if pruned else None,
    )
    return SweepEntry(
        **{
            **vars(entry),
            "artifact": artifact,
            "scheme": manifest["recipe"]["quantization"]["scheme"],
            "figures": collect_manifest_figures(manifest),
            "margins": collect_margins({"check": artifact_facts, **metrics}),
            "warnings": tuple(manifest["warnings"]),
            "tied": tuple(show_ties(manifest.get("tied_to_cpu") or ())),
            "collapsed": is_collapsed(metrics.get("verify")),
            "devices": {verdict.target: verdict.device for verdict in verdicts if verdict.figures and verdict.device},
            "targets": ", ".join(short_verdict(verdict) for verdict in verdicts),
            "samples": metrics.get("verify", {}).get("samples"),
            "latency_host": metrics.get("benchmark", {}).get("host", ""),
        }
    )


def write_record(sweep: SweepRecord) -> str:
    """Return the text of sweep.json."""
    return json.dumps(asdict(sweep), indent=1) + "\n"


def read_record(path: Path) -> SweepRecord:
    """Read a sweep.json.

    Raises:
        UsageError: for a file that is damaged, or that a newer tflbuild wrote.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        newer = isinstance(content.get("format"), int) and content["format"] > FORMAT
        sweep = None if newer else from_json(SweepRecord, content)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"'{path}' is not a record of a sweep",
            where=str(path),
            why=str(error),
            next_step="run the sweep again; records must not be edited",
        ) from None
    if sweep is None:
        raise UsageError(
            f"'{path}' was written by a newer tflbuild",
            where=str(path),
            why=f"its format is {content['format']}, and this tflbuild reads up to {FORMAT}",
            next_step=f"use the tflbuild that wrote it, {content.get('tflbuild', 'a newer one')}",
        )
    return sweep


def write_csv(sweeps: Sequence[SweepRecord]) -> str:
    """Return the text of sweep.csv, with a line for each variant.

    The columns are CSV_COLUMNS and further figures of these variants.
    """
    entries = [entry for sweep in sweeps for entry in sweep.variants]
    extra_figures = sorted({name for entry in entries for name in entry.figures} - {*FIGURES})
    out = io.StringIO()
    writer = csv.DictWriter(out, [*CSV_COLUMNS, *extra_figures], restval="", lineterminator="\n")
    writer.writeheader()
    for sweep in sweeps:
        front = sweep.front
        for index, entry in enumerate(sweep.variants):
            writer.writerow(_cells(sweep, entry, index in front))
    return out.getvalue()


def _cells(sweep: SweepRecord, entry: SweepEntry, best: bool) -> dict[str, Json]:
    artifact, trouble = entry.artifact, entry.trouble
    return {
        "sweep": sweep.id,
        "created": sweep.created,
        "commit": "" if sweep.git is None else sweep.git.commit,
        "recipe": entry.recipe,
        "variant": entry.name,
        "overrides": " ".join(text.lstrip("+") for text in entry.overrides),
        "result": entry.verdict,
        "pareto": int(best),
        **{name: f"{value:.15g}" for name, value in entry.figures.items()},
        **{f"{name}_margin": f"{entry.margins[name]:.6g}" for name in MARGINS if name in entry.margins},
        "warnings": "; ".join(entry.warnings),
        "tied_to_cpu": "; ".join(entry.tied),
        "float_bytes": "" if artifact is None else artifact.float_bytes,
        "samples": "" if entry.samples is None else entry.samples,
        "latency_host": entry.latency_host,
        "targets": entry.targets,
        "devices": "; ".join(f"{target}: {device}" for target, device in entry.devices.items()),
        "sha256": "" if artifact is None else artifact.sha256,
        "path": "" if artifact is None else artifact.path,
        "error_kind": "" if trouble is None else trouble.kind,
        "error": "" if trouble is None else trouble.what,
    }
