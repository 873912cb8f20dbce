"""The manifest: everything that is known about one artifact, and where each part of it came from."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from typing import Any

from tflbuild import __version__
from tflbuild.core.digest import Json
from tflbuild.core.gates import Gate
from tflbuild.core.recipe import Recipe
from tflbuild.core.search_result import SearchResult
from tflbuild.core.step import artifact_role
from tflbuild.core.step_result import StepResult
from tflbuild.report.cpu_dependence_text import StepCpuDependence, collect_cpu_dependence, ties_json
from tflbuild.report.quality_warnings import list_warnings
from tflbuild.report.search_text import search_json
from tflbuild.resolve.input_digests import CODE_OF, ResolvedRecipe, named_paths
from tflbuild.resolve.machine_identity import describe_cpu

FORMAT = 1
SAMPLES = ("calibration samples", "evaluation samples", "training samples")
OF_THE_PROCESS = ("peak_bytes", "confined")  # facts of every step
LOG = "log.txt"  # times and process numbers stand in it: no part of what was made


def describe_host() -> dict[str, str]:
    """The machine that this runs on."""
    return {"platform": platform.platform(), "machine": platform.machine(), "python": sys.version.split()[0]}


def make_manifest(
    resolved: ResolvedRecipe,
    roles: Mapping[str, StepResult],
    toolchain: Mapping[str, str],
    gates: list[Gate],
    targets: Json,
    wrong: list[str],
    git: dict[str, Any] | None,
    search: SearchResult | None = None,
) -> dict[str, Json]:
    """Return the manifest as JSON.

    `roles` are the variant's finished steps, `wrong` what fails on a target, in words, `search` how its quantization
    was chosen.
    """
    recipe = resolved.recipe
    facts = {role: result.facts for role, result in roles.items()}
    verified = "unverified" if "verify" not in roles else "passed"
    if wrong or not all(gate.passed for gate in gates):
        verified = "failed"
    samples = {role: facts[role] for role in SAMPLES if role in facts}
    ties = [
        *collect_cpu_dependence(roles),
        *(StepCpuDependence("search", tie) for tie in (search.ties if search else ())),
    ]
    manifest: dict[str, Json] = {
        "format": FORMAT,
        "tflbuild": __version__,
        "recipe": recipe.as_json(),
        "overrides": list(recipe.overrides),
        "inputs": describe_inputs(resolved),
        "toolchain": dict(toolchain),
        "host": describe_host(),
        "tied_to_cpu": ties_json(ties),
        "cpu": describe_cpu() if ties else None,
        "git": git,
        "source_note": facts["import"].get("note"),
        "optimized": describe_training(recipe, facts),
        "artifact": describe_artifact(roles),
        "samples": samples,
        "synthetic_data": sorted(role for role, value in samples.items() if value["synthetic"]),
        "overlap": describe_overlap(facts.get("overlap")),
        "training_overlap": describe_overlap(facts.get("training overlap")),
        "verification": verified,
        "metrics": {role: facts[role] for role in ("verify", "benchmark", "benchmark android") if role in facts},
        "targets": targets,
        "problems": wrong,
        "gates": [describe_gate(gate) for gate in gates],
        "steps": {role: describe_step(result) for role, result in roles.items()},
    }
    if search is not None:
        manifest["search"] = search_json(search)
    budget = () if search is None else search.reported
    manifest["warnings"] = list_warnings(manifest, [*gates, *budget])
    return manifest


def describe_gate(gate: Gate) -> dict[str, Json]:
    """Return a gate as JSON; `bound` and `confidence` where it demands the bound of an interval."""
    bound = {} if gate.bound is None else {"bound": gate.bound, "confidence": gate.confidence}
    return {"name": gate.name, "limit": gate.limit, "value": gate.value, **bound, "passed": gate.passed}


def describe_inputs(resolved: ResolvedRecipe) -> Json:
    """Every file, folder and choice of files that the recipe reads, by role: as it is named there, and its digest."""
    paths = {role: path for role, _, path in named_paths(resolved.recipe)}
    paths |= {CODE_OF[role]: ", ".join(code.entries) for role, code in resolved.codes.items()}
    return {
        role: {
            "path": paths.get(role) or ", ".join(resolved.entries),
            "sha256": port.digest,
            **({"files": [name for name, _ in port.files]} if port.files else {}),
        }
        for role, port in resolved.files.items()
    }


def describe_overlap(found: Mapping[str, Json] | None) -> Json:
    """How many evaluation samples were used before, None where that was not looked at."""
    return None if found is None else {name: found[name] for name in ("count", "of")}


def describe_training(recipe: Recipe, facts: Mapping[str, Mapping[str, Json]]) -> Json:
    """What was done before conversion, None where nothing was; ranges of activations that training brought."""
    trained = facts.get("calibrate", {}).get("trained", 0)
    if recipe.optimize is None:
        return {"trained_ranges": trained} if trained else None
    done = facts["optimize"]
    return {
        "steps": done["steps"],
        "losses": done["losses"],
        "samples": facts["training samples"]["count"],
        "pruned": done["pruned"],
        "clustered": done["clustered"],
        "trained_ranges": trained,
    }


def describe_artifact(roles: Mapping[str, StepResult]) -> Json:
    """The artifact beside the float model that it came from, and what `check` read in it."""
    found = roles["check"].facts
    return {
        "sha256": roles[artifact_role(roles)].outputs["model.tflite"],
        "bytes": found["bytes"],
        "gzip_bytes": found["gzip_bytes"],
        "float_sha256": roles["convert"].outputs["model.tflite"],
        "float_bytes": roles["package"].facts["float_bytes"],
        "contents": {name: value for name, value in found.items() if name not in OF_THE_PROCESS},
    }


def describe_step(result: StepResult) -> Json:
    """A step: its key, what it made, what it took when it ran."""
    return {
        "key": result.key,
        "status": result.status,
        "seconds": round(result.elapsed, 3),
        "peak_bytes": result.facts.get("peak_bytes"),
        "confined": result.facts.get("confined"),
        "outputs": {name: digest for name, digest in result.outputs.items() if name != LOG},
    }
