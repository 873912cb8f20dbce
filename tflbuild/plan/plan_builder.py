"""What plans are drafted with: steps added by role, and fed by what other roles made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from tflbuild.core.cpu_dependence import CpuDependence
from tflbuild.core.digest import Json
from tflbuild.core.recipe import Target
from tflbuild.core.secrets import protect
from tflbuild.core.step import FileInput, Input, Step, StepInput, artifact_role
from tflbuild.resolve.input_digests import ResolvedRecipe
from tflbuild.resolve.target_tools import TargetTool

VARYING = ("quantize", "check", "verify", "benchmark", "package", "sensitivity", "target")  # with the scheme
SECTIONS = {
    "calibration samples": "dataset",
    "evaluation samples": "verify.dataset",
    "training samples": "optimize.dataset",
}


@dataclass(frozen=True)
class KeyEnvironment:
    """What the machine contributes to keys, looked up before planning."""

    toolchain: Callable[[str], Mapping[str, str]]
    host: str
    cpu: str
    session: str = ""  # names this run: of what is measured on a device that nobody here can name
    tool: Callable[[Target], TargetTool] = lambda target: TargetTool(to_prove="nothing was looked for")


@dataclass
class PlanBuilder:
    """The steps of one variant, as they are added. `goals` maps a role to the id of its step."""

    resolved: ResolvedRecipe
    around: KeyEnvironment
    steps: dict[str, Step]
    goals: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        role: str,
        kind: str,
        params: Mapping[str, Json],
        inputs: Mapping[str, Input],
        expect: Mapping[str, str] = MappingProxyType({}),
        seconds: float | None = None,
        ties: tuple[CpuDependence, ...] = (),
    ) -> None:
        step = Step(
            kind=kind,
            params=protect(params),
            inputs=tuple(inputs.values()),
            toolchain=self.around.toolchain(kind),
            expect=tuple(expect.items()),
            title=self.title(role),
            section=SECTIONS.get(role, ""),
            seconds=seconds,
            cpu=self.around.cpu,
            ties=ties,
        )
        self.steps.setdefault(step.id, step)
        self.goals[role] = step.id

    def title(self, role: str) -> str:
        """The role, and the scheme where variants of a sweep differ by it."""
        quantization = self.resolved.recipe.quantization
        if role.partition(" ")[0] not in VARYING:
            return role
        engine = " converter" if quantization.engine == "converter" and quantization.scheme != "none" else ""
        return f"{role} {quantization.scheme}{engine}"

    def of(self, role: str, output: str, name: str) -> StepInput:
        return StepInput(name=name, step_id=self.goals[role], output=output)

    def file(self, role: str, name: str) -> FileInput:
        found = self.resolved.files[role]
        return replace(found, name=name)

    def artifact(self) -> StepInput:
        return self.of(artifact_role(self.goals), "model.tflite", "model")

    def run_params(self) -> dict[str, Json]:
        return self.resolved.recipe.interpreter
