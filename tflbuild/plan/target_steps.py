"""Steps that evaluate the artifact on the recipe's targets: by a proof if this machine can run one, else by rules."""

from __future__ import annotations

from dataclasses import asdict

from tflbuild.core.digest import Json
from tflbuild.core.recipe import Target
from tflbuild.core.step import Input, StepInput
from tflbuild.core.target_requirements import TargetRequirements
from tflbuild.plan.plan_builder import PlanBuilder
from tflbuild.plan.step_parameters import SAMPLES
from tflbuild.resolve.input_digests import config_role
from tflbuild.resolve.target_tools import TargetTool
from tflbuild.targets.npu.profile import VENDORS
from tflbuild.targets.target_runtimes import LINT, RUNTIMES

# The samples on which outputs are compared: those of the first role that the plan contains.
SAMPLE_ROLES = ("evaluation samples", "calibration samples")
TARGET_ROLE = "target "
# The time limit of everything that a step does in addition to its runs of a compiler.
OVERHEAD_SECONDS = 3600.0


def target_role(target: str) -> str:
    """Return the role of the step that evaluates a target."""
    return TARGET_ROLE + target


def add_targets(builder: PlanBuilder, artifact: StepInput, signature: StepInput) -> None:
    """Add a step for every target of the recipe. Without its tool, a target is only checked against rules."""
    for target in builder.resolved.recipe.targets:
        tool = builder.environment.tool(target)
        runtime = RUNTIMES[target.runtime]
        kind = runtime.step if tool.present or runtime.lints else LINT
        inputs: dict[str, Input] = {"model": artifact}
        params = target_parameters(target, tool, proves=kind != LINT)
        if kind != LINT:
            inputs["signature"] = signature
            if runtime.timed:
                params["host"] = builder.environment.host
            sample_role = next((role for role in SAMPLE_ROLES if role in builder.goals), None)
            if runtime.compares and sample_role is not None:
                inputs["samples"] = builder.step_input(sample_role, SAMPLES, "samples")
            if target.options.get("config"):
                inputs["config"] = builder.file_input(config_role(target.name), "config")
        builder.add(target_role(target.name), kind, params, inputs, seconds=find_time_limit(target))


def find_time_limit(target: Target) -> float | None:
    """Return the time limit of a target's step in seconds, None for that of the run.

    Every run of the compiler may take the `timeout_s` of the profile. For each chip of an NPU there are two runs,
    because LiteRT's compiler is run again if the first run made nothing.
    """
    seconds_per_run = target.options.get("timeout_s")
    if seconds_per_run is None:
        return None
    vendor = VENDORS.get(str(target.options.get("vendor", "")))
    chips = 1 if vendor is None or target.options.get("soc") else len(vendor.socs)
    runs_per_chip = 1 if vendor is None else 2
    return OVERHEAD_SECONDS + float(seconds_per_run) * chips * runs_per_chip


def target_parameters(target: Target, tool: TargetTool, *, proves: bool) -> dict[str, Json]:
    """Return the parameters of a target's step: the profile without its gates, and the identity of the tool.

    With `proves` false, the step only checks rules, so the options of the tool are left out.
    """
    defaults = asdict(TargetRequirements())
    needs = {name: value for name in defaults if (value := getattr(target, name)) != defaults[name]}
    profile: dict[str, Json] = {"name": target.name, "runtime": target.runtime, "table": target.table, "version": ""}
    profile |= {"needs": needs} if needs else {}
    if not proves:
        version = {"version": target.options["version"]} if "version" in target.options else {}
        return {"target": profile | version, "to_prove": tool.to_prove}
    profile |= {name: value for name, value in target.options.items() if name != "config"}
    return {"target": profile, "tool": dict(tool.key), "to_prove": ""}
