"""How verdicts are had: for each runtime the step that proves, and the figures that it brings.

To add a runtime: a row here, a folder `targets/<name>/` with its kind of step (`spec`) and the step's module (`proof`),
and a profile of it in `config.schema.schema_target`; docs/adding-a-target.md walks through it.
"""

from __future__ import annotations

from dataclasses import dataclass

COUNTS = ("fallback_ops", "partitions", "unknown_ops")  # every verdict has them
NEARNESS = ("snr_db", "max_abs_error", "cosine")  # where outputs are compared


@dataclass(frozen=True)
class TargetRuntime:
    """`step` proves, where what it needs is installed; without that there are rules alone. `figures` can be gated.

    `package` is what it needs from the package index, "" for nothing or something else. What was found holds for this
    host alone where it is `timed`. One that `lints` judges by rules itself where it cannot prove.
    """

    name: str
    step: str
    figures: tuple[str, ...] = ()
    package: str = ""
    timed: bool = False
    lints: bool = False

    @property
    def compares(self) -> bool:
        """Whether outputs are held against the CPU's."""
        return "snr_db" in self.figures

    @property
    def limits(self) -> tuple[str, ...]:
        """The names that a gate on such a target may have."""
        return (*COUNTS, *self.figures)


LINT = "lint_target"
RUNTIMES: dict[str, TargetRuntime] = {
    runtime.name: runtime
    for runtime in (
        TargetRuntime("cpu", "prove_cpu", ("latency_p50_ms", "latency_p90_ms", "peak_bytes", *NEARNESS), timed=True),
        TargetRuntime("gpu", "prove_gpu", NEARNESS, timed=True),
        TargetRuntime(
            "ethos_u",
            "prove_ethos_u",
            ("sram_bytes", "flash_bytes", "cycles_total", "inference_ms"),
            package="ethos-u-vela",
        ),
        TargetRuntime("tflm", "prove_tflm", ("arena_bytes", "model_bytes", *NEARNESS), package="tflite-micro"),
        TargetRuntime(
            "edgetpu",
            "prove_edgetpu",
            ("on_chip_bytes", "on_chip_left_bytes", "off_chip_bytes", "compiled_bytes"),
            lints=True,
        ),
        TargetRuntime("npu", "prove_npu", ("compiled_bytes",), lints=True),
        TargetRuntime("table", LINT),
    )
}
