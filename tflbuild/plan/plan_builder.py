"""Builder of plans: adds steps by role and connects them to the outputs of other roles."""

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

# The first words of the roles whose steps depend on the quantization scheme. Their titles contain the scheme.
SCHEME_DEPENDENT_STEPS = ("quantize", "check", "verify", "benchmark", "package", "sensitivity", "target")
SECTIONS = {
    "calibration samples": "dataset",
    "evaluation samples": "verify.dataset",
    "training samples": "optimize.dataset",
}


@dataclass(frozen=True)
class KeyEnvironment:
    """The machine's contribution to cache keys, which is determined before planning.

    Attributes:
        toolchain: Returns the package versions that a step kind depends on.
        host: The identity of this machine, for host-specific steps.
        cpu: The identity of the CPU, for CPU-dependent steps.
        session: A name of this run, for measurements on a device that cannot be identified.
        tool: Returns the tool that proves a target on this machine.
    """

    toolchain: Callable[[str], Mapping[str, str]]
    host: str
    cpu: str
    session: str = ""
    tool: Callable[[Target], TargetTool] = lambda target: TargetTool(to_prove="nothing was looked for")


@dataclass
class PlanBuilder:
    """Builder of the steps of one variant.

    Attributes:
        resolved: The resolved recipe of the variant.
        environment: The machine's contribution to cache keys.
        steps: The steps by id. Several builders may share them.
        goals: The id of the step of each role.
    """

    resolved: ResolvedRecipe
    environment: KeyEnvironment
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
        """Add the step of a role.

        Args:
            role: The role of the step within the variant.
            kind: The kind of the step.
            params: The parameters of the step.
            inputs: The inputs of the step. Only the values are used.
            expect: The digests that the recipe pins, by output name.
            seconds: The time limit, None for that of the run.
            ties: The CPU dependences that are known before the step runs.
        """
        step = Step(
            kind=kind,
            params=protect(params),
            inputs=tuple(inputs.values()),
            toolchain=self.environment.toolchain(kind),
            expect=tuple(expect.items()),
            title=self.title(role),
            section=SECTIONS.get(role, ""),
            seconds=seconds,
            cpu=self.environment.cpu,
            ties=ties,
        )
        self.steps.setdefault(step.id, step)
        self.goals[role] = step.id

    def title(self, role: str) -> str:
        """Return the title of a role's step: the role, and the scheme if the step depends on it."""
        quantization = self.resolved.recipe.quantization
        if role.partition(" ")[0] not in SCHEME_DEPENDENT_STEPS:
            return role
        engine = " converter" if quantization.engine == "converter" and quantization.scheme != "none" else ""
        return f"{role} {quantization.scheme}{engine}"

    def step_input(self, role: str, output: str, name: str) -> StepInput:
        """Return an output of a role's step as the input `name` of another step."""
        return StepInput(name=name, step_id=self.goals[role], output=output)

    def file_input(self, role: str, name: str) -> FileInput:
        """Return the resolved file of a role as the input `name` of a step."""
        return replace(self.resolved.files[role], name=name)

    def artifact(self) -> StepInput:
        """Return the artifact, in its latest form, as the input `model` of a step."""
        return self.step_input(artifact_role(self.goals), "model.tflite", "model")

    def interpreter_parameters(self) -> dict[str, Json]:
        """Return the parameters of a step that runs the artifact in an interpreter."""
        return self.resolved.recipe.interpreter
