"""The steps that judge an artifact on the recipe's targets: a proof where one can be had here, else rules."""

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

SAMPLES_OF = ("evaluation samples", "calibration samples")  # what outputs are compared on, the first that there are
TARGET_ROLE = "target "
BESIDE_S = 3600.0  # for all that is done beside the compiler's runs


def target_role(target: str) -> str:
    """What the step is called that judges a target."""
    return TARGET_ROLE + target


def add_targets(draft: PlanBuilder, artifact: StepInput, signature: StepInput) -> None:
    """One step a target, all of the same artifact."""
    for target in draft.resolved.recipe.targets:
        tool = draft.around.tool(target)
        runtime = RUNTIMES[target.runtime]
        kind = runtime.step if tool.present or runtime.lints else LINT
        inputs: dict[str, Input] = {"model": artifact}
        params = target_params(target, tool, proves=kind != LINT)
        if kind != LINT:
            inputs["signature"] = signature
            if runtime.timed:
                params["host"] = draft.around.host
            sampled = next((role for role in SAMPLES_OF if role in draft.goals), None)
            if runtime.compares and sampled is not None:
                inputs["samples"] = draft.of(sampled, SAMPLES, "samples")
            if target.options.get("config"):
                inputs["config"] = draft.file(config_role(target.name), "config")
        draft.add(target_role(target.name), kind, params, inputs, seconds=seconds_of(target))


def seconds_of(target: Target) -> float | None:
    """What the step may take, so that each run of its compiler has the time that the profile gives it; None: as any.

    For each chip of an NPU there are two: LiteRT's compiler is asked again when nothing was made.
    """
    each = target.options.get("timeout_s")
    if each is None:
        return None
    vendor = VENDORS.get(str(target.options.get("vendor", "")))
    chips = 1 if vendor is None or target.options.get("soc") else len(vendor.socs)
    return BESIDE_S + float(each) * chips * (1 if vendor is None else 2)


def target_params(target: Target, tool: TargetTool, *, proves: bool) -> dict[str, Json]:
    """What a verdict depends on: the profile without its limits, and what it is had with."""
    usual = asdict(TargetRequirements())
    needs = {name: value for name in usual if (value := getattr(target, name)) != usual[name]}
    told: dict[str, Json] = {"name": target.name, "runtime": target.runtime, "table": target.table, "version": ""}
    told |= {"needs": needs} if needs else {}
    if not proves:
        known = {"version": target.options["version"]} if "version" in target.options else {}
        return {"target": told | known, "to_prove": tool.to_prove}
    told |= {name: value for name, value in target.options.items() if name != "config"}
    return {"target": told, "tool": dict(tool.key), "to_prove": ""}
