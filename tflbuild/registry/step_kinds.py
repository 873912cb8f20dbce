"""All step kinds by name, collected from the modules `spec` of the folders in `steps/` and `targets/`.

To add a step kind, add a row to the `spec` of its folder, a module with `run(request)` to that folder, and a call to
`plan.planner`.
"""

from __future__ import annotations

from tflbuild.core.step_kind import StepKind
from tflbuild.steps.benchmarking import spec as benchmarking
from tflbuild.steps.calibration import spec as calibration
from tflbuild.steps.checking import spec as checking
from tflbuild.steps.conversion import spec as conversion
from tflbuild.steps.datasets import spec as datasets
from tflbuild.steps.foreign_models import spec as foreign_models
from tflbuild.steps.packaging import spec as packaging
from tflbuild.steps.quantization import spec as quantization
from tflbuild.steps.sources import spec as sources
from tflbuild.steps.training import spec as training
from tflbuild.steps.verification import spec as verification
from tflbuild.targets import spec as any_target
from tflbuild.targets.cpu import spec as cpu
from tflbuild.targets.edgetpu import spec as edgetpu
from tflbuild.targets.ethos_u import spec as ethos_u
from tflbuild.targets.gpu import spec as gpu
from tflbuild.targets.npu import spec as npu
from tflbuild.targets.tflm import spec as tflm

# The extra of tflbuild that installs an optional package, by the name of the package.
EXTRAS = {
    "tensorflow-model-optimization": "optimize",
    "obstore": "remote",
    "ray": "ray",
    "ethos-u-vela": "ethos-u",
    "tflite-micro": "tflm",
}

# The output of every step kind that contains what the step printed.
LOG = "log.txt"

KINDS: dict[str, StepKind] = {
    kind.name: kind
    for kind in (
        *sources.KINDS,
        *foreign_models.KINDS,
        *training.KINDS,
        *datasets.KINDS,
        *conversion.KINDS,
        *verification.KINDS,
        *calibration.KINDS,
        *quantization.KINDS,
        *packaging.KINDS,
        *checking.KINDS,
        *benchmarking.KINDS,
        *any_target.KINDS,
        *cpu.KINDS,
        *gpu.KINDS,
        *ethos_u.KINDS,
        *tflm.KINDS,
        *edgetpu.KINDS,
        *npu.KINDS,
    )
}
