"""A sweep as a record: one entry a variant, all that the tables and pages say of it, as JSON and as CSV."""

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
FIGURES = (*SIZE_FIGURES, *ACCURACIES, *WORST_OF_OUTPUTS, *LATENCIES)  # columns that every CSV has, measured or not
MARGINS = ("top1", "top1_drop", "topk", "agreement", "snr_db")  # figures whose margin has a column
CSV_COLUMNS = (
    *("sweep", "created", "commit", "recipe", "variant", "overrides", "result", "pareto", *FIGURES, "float_bytes"),
    *("samples", "latency_host", "targets", "devices", "sha256", "path", "error_kind", "error"),
    *("warnings", *(f"{name}_margin" for name in MARGINS), "tied_to_cpu"),
)


@dataclass(frozen=True, kw_only=True)
class StepEnd:
    """How a variant's step ended: `hit`, `ran`, `failed` or `skipped`.

    `seconds` is the wall time of the run that made the outputs, in this sweep or before. Steps of one `id`
    are one step, whoever asked for it; `key` is the store's name of its result, "" where there is none.
    """

    id: str
    key: str
    status: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class VariantError:
    """Why a variant did not pass: the fields of an error."""

    kind: str
    what: str
    where: str = ""
    why: str = ""
    next_step: str = ""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What was built. Sizes are bytes; `zeros` is the share of zero weights where the model was pruned."""

    path: str
    sha256: str
    bytes: int
    gzip_bytes: int
    float_bytes: int
    optimized: bool = False
    zeros: float | None = None


@dataclass(frozen=True, kw_only=True)
class OperatorSensitivity:
    """An operator, and the worst output's SNR in dB when it alone is quantized."""

    name: str
    operator: str
    snr_db: float


@dataclass(frozen=True, kw_only=True)
class SensitivityTable:
    """The error by operator, worst first, as `source` (sensitivity, or a search) measured it with a scheme."""

    source: str
    scheme: str
    operators: tuple[OperatorSensitivity, ...]
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class SweepEntry:
    """One variant. `figures` are those of `core.gates`, measured on `samples` evaluation samples, and those of targets;
    `margins` are half the widths of their 95 % intervals. A `collapsed` one is on no front; `warnings` say why.
    `tied` says what in the artifact depends on the CPU that built it.

    `steps` are by role. `latency_host` is where the latency was measured, `targets` what each says, in short, `devices`
    where the figures of each were had, or by whose estimate.
    `alone` are the overrides that make it where no other variant is asked for: those that it reads.
    `sensitivity` is the key under which a store may hold the error by operator, `layers` that error where it was there.
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
        """Whether it was built and is good enough."""
        return self.trouble is None and self.artifact is not None

    @property
    def sound(self) -> bool:
        """Return whether it passed and its figures can be believed: whether it may be on a front."""
        return self.passed and not self.collapsed


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The project's commit at the end of the sweep; `dirty`: tracked files differed from it."""

    commit: str
    dirty: bool

    @property
    def short(self) -> str:
        """Ten digits, and a + where files differed."""
        return f"{self.commit[:10]}{'+' if self.dirty else ''}"


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """What was asked, when (UTC, ISO 8601), where and with what, and one entry a variant in the order asked for."""

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
    def aims(self) -> tuple[Objective, ...]:
        """The objectives asked for, or the usual ones."""
        return self.objectives or choose_default_objectives([entry.figures for entry in self.variants])

    @property
    def front(self) -> frozenset[int]:
        """The places of the variants on the Pareto front."""
        return find_front(self.variants, self.aims)


def find_front(entries: Sequence[SweepEntry], aims: Sequence[Objective]) -> frozenset[int]:
    """Return the places of those on the front: only what passed, is sound and has every objective measured can be."""
    return find_pareto_front([costs_of(entry.figures, aims) if entry.sound else None for entry in entries])


def rank_entries(entries: Sequence[SweepEntry], aims: Sequence[Objective]) -> list[int]:
    """Return places, best first by the first objective, then by the others; of equals the smaller first, then by name.
    What collapsed and then what did not pass come last.
    """

    def rank(place: int) -> tuple[bool, bool, list[tuple[bool, float]], int, str]:
        entry = entries[place]
        costs = [objective.cost(entry.figures) for objective in aims]
        size = entry.artifact.bytes if entry.artifact is not None else 0
        known = [(cost is None, cost or 0.0) for cost in costs]
        return not entry.passed, not entry.sound, known, size, entry.name if entry.sound else ""

    return sorted(range(len(entries)), key=rank)


def collect_manifest_figures(manifest: Mapping[str, Json]) -> dict[str, float]:
    """The figures of a manifest, those of its targets included."""
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
    """The entry of a variant that was built, or was not; `model` is where its artifact lies."""
    ends = {
        role: StepEnd(id=one.step_id, key=one.key, status=one.status, seconds=round(one.elapsed, 3))
        for role, one in steps.items()
    }
    trouble = None
    if error is not None:
        parts = ("kind", "what", "where", "why", "next_step")
        trouble = VariantError(**{part: getattr(error, part) for part in parts})
    told = SweepEntry(
        name=row.name,
        verdict=row.verdict,
        recipe=recipe,
        overrides=list_variant_overrides(row),
        trouble=trouble,
        steps=ends,
    )
    return told if row.manifest is None else _with_artifact(told, row.manifest, model)


def list_variant_overrides(row: SweepRow) -> tuple[str, ...]:
    """The overrides that make the variant: how a sweep judges it is no part of that."""
    return tuple(text for text in row.overrides if not text.lstrip("+").startswith("sweep."))


def _with_artifact(entry: SweepEntry, manifest: Mapping[str, Json], model: Path | None) -> SweepEntry:
    made, metrics = manifest["artifact"], manifest["metrics"]
    verdicts = verdicts_in(manifest)
    pruned = is_optimized(manifest) and manifest["optimized"]["pruned"]
    artifact = Artifact(
        path="" if model is None else str(model),
        **{name: made[name] for name in ("sha256", "bytes", "gzip_bytes", "float_bytes")},
        optimized=is_optimized(manifest),
        zeros=made["contents"]["weights"]["zeros"] if pruned else None,
    )
    return SweepEntry(
        **{
            **vars(entry),
            "artifact": artifact,
            "scheme": manifest["recipe"]["quantization"]["scheme"],
            "figures": collect_manifest_figures(manifest),
            "margins": collect_margins({"check": made, **metrics}),
            "warnings": tuple(manifest["warnings"]),
            "tied": tuple(show_ties(manifest.get("tied_to_cpu") or ())),
            "collapsed": is_collapsed(metrics.get("verify")),
            "devices": {one.target: one.device for one in verdicts if one.figures and one.device},
            "targets": ", ".join(short_verdict(one) for one in verdicts),
            "samples": metrics.get("verify", {}).get("samples"),
            "latency_host": metrics.get("benchmark", {}).get("host", ""),
        }
    )


def write_record(sweep: SweepRecord) -> str:
    """The text of sweep.json."""
    return json.dumps(asdict(sweep), indent=1) + "\n"


def read_record(path: Path) -> SweepRecord:
    """The sweep of a sweep.json. Raises UsageError for one that is damaged, or of a newer tflbuild."""
    try:
        told = read_json(path)
        if not isinstance(told, dict):
            raise ValueError("it is no object")
        newer = isinstance(told.get("format"), int) and told["format"] > FORMAT
        sweep = None if newer else from_json(SweepRecord, told)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"'{path}' is no record of a sweep",
            where=str(path),
            why=str(error),
            next_step="sweep again; a record is not meant to be edited",
        ) from None
    if sweep is None:
        raise UsageError(
            f"'{path}' is of a newer tflbuild",
            where=str(path),
            why=f"its format is {told['format']}, and this tflbuild reads up to {FORMAT}",
            next_step=f"use the tflbuild that wrote it, {told.get('tflbuild', 'a newer one')}",
        )
    return sweep


def write_csv(sweeps: Sequence[SweepRecord]) -> str:
    """A line a variant under CSV_COLUMNS, and under the figures that these variants have besides."""
    entries = [entry for sweep in sweeps for entry in sweep.variants]
    more = sorted({name for entry in entries for name in entry.figures} - {*FIGURES})
    out = io.StringIO()
    writer = csv.DictWriter(out, [*CSV_COLUMNS, *more], restval="", lineterminator="\n")
    writer.writeheader()
    for sweep in sweeps:
        front = sweep.front
        for place, entry in enumerate(sweep.variants):
            writer.writerow(_cells(sweep, entry, place in front))
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
