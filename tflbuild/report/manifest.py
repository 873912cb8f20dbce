"""Make the manifest: everything that is known about one artifact, and where each part of it came from."""

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
# Facts about the process of a step, which every step has.
OF_THE_PROCESS = ("peak_bytes", "confined")
# The log contains times and process ids, so it is not listed as an output.
LOG = "log.txt"


def describe_host() -> dict[str, str]:
    """Return the platform, the machine type and the Python version of this machine."""
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
    """Return the manifest of a variant as JSON.

    Args:
        resolved: The recipe with the digests of its inputs.
        roles: The results of its finished steps by role.
        toolchain: The versions of the packages.
        gates: All gates, evaluated.
        targets: The verdicts as JSON, by target.
        wrong: What fails the build on targets, as lines of text.
        git: The state of the git repository, None outside of one.
        search: The search that chose the quantization, if there was one.
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
    """Return a gate as JSON, with `bound` and `confidence` if it limits the bound of an interval."""
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


def describe_overlap(overlap: Mapping[str, Json] | None) -> Json:
    """Return how many evaluation samples were used before; None if that was not checked."""
    return None if overlap is None else {name: overlap[name] for name in ("count", "of")}


def describe_training(recipe: Recipe, facts: Mapping[str, Mapping[str, Json]]) -> Json:
    """Return the training before conversion and the activation ranges that it provided, or None without training."""
    trained = facts.get("calibrate", {}).get("trained", 0)
    if recipe.optimize is None:
        return {"trained_ranges": trained} if trained else None
    optimization = facts["optimize"]
    return {
        "steps": optimization["steps"],
        "losses": optimization["losses"],
        "samples": facts["training samples"]["count"],
        "pruned": optimization["pruned"],
        "clustered": optimization["clustered"],
        "trained_ranges": trained,
    }


def describe_artifact(roles: Mapping[str, StepResult]) -> Json:
    """Return the artifact, the float model from which it was made, and what `check` read in the artifact."""
    check_facts = roles["check"].facts
    return {
        "sha256": roles[artifact_role(roles)].outputs["model.tflite"],
        "bytes": check_facts["bytes"],
        "gzip_bytes": check_facts["gzip_bytes"],
        "float_sha256": roles["convert"].outputs["model.tflite"],
        "float_bytes": roles["package"].facts["float_bytes"],
        "contents": {name: value for name, value in check_facts.items() if name not in OF_THE_PROCESS},
    }


def describe_step(result: StepResult) -> Json:
    """Return a step: its cache key, its outputs, and its resources if it ran."""
    return {
        "key": result.key,
        "status": result.status,
        "seconds": round(result.elapsed, 3),
        "peak_bytes": result.facts.get("peak_bytes"),
        "confined": result.facts.get("confined"),
        "outputs": {name: digest for name, digest in result.outputs.items() if name != LOG},
    }
