"""The runtimes of targets: for each one the step that proves an artifact, and the figures of its verdict.

To add a runtime: add a row here, a folder `targets/<name>/` with its step kind (`spec`) and the step's module
(`proof`), and a profile in `config.schema.schema_target`. docs/adding-a-target.md describes the steps.
"""

from __future__ import annotations

from dataclasses import dataclass

# The figures of every verdict.
COUNTS = ("fallback_ops", "partitions", "unknown_ops")
# The figures of a runtime whose outputs are compared.
NEARNESS = ("snr_db", "max_abs_error", "cosine")


@dataclass(frozen=True)
class TargetRuntime:
    """A runtime of targets.

    Attributes:
        name: The name.
        step: The step that proves an artifact if its tools are installed. Without them the support table is used.
        figures: The figures that can have gates.
        package: The package that the step needs, "" for none or something else.
        timed: Whether the verdict is only valid for this host.
        lints: Whether the step itself uses the support table if it cannot prove.
    """

    name: str
    step: str
    figures: tuple[str, ...] = ()
    package: str = ""
    timed: bool = False
    lints: bool = False

    @property
    def compares(self) -> bool:
        """Return whether outputs are compared with those of the CPU."""
        return "snr_db" in self.figures

    @property
    def limits(self) -> tuple[str, ...]:
        """Return the names of all figures that gates on such a target may use."""
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
