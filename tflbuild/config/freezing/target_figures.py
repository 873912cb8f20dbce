"""The figures that a target's verdict can have, by how it is had: what a sweep may be judged by."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tflbuild.config.schema import recipe_schema as schema
from tflbuild.core.recipe import Target
from tflbuild.core.target_gates import ON_DELEGATE
from tflbuild.targets.target_runtimes import COUNTS, LINT, RUNTIMES

COUNTED = (*COUNTS, ON_DELEGATE)  # rules tell these, too
UNLIMITED = {  # by runtime: figures that no limit can be set on
    "gpu": ("max_abs_activation", "float16_headroom"),
    "ethos_u": ("cycles_npu", "macs", "dram_bytes", "npu_ms", "model_bytes"),
}
THREADS = ("latency_p50_ms_threads_", "latency_p90_ms_threads_")  # and how many, of the runtime `cpu`
GROUP = "target"


def list_target_figures(target: Target, *, proves: bool) -> tuple[str, ...]:
    """What is known once a target is judged; `proves`: what it needs for a proof is here."""
    if not proves or RUNTIMES[target.runtime].step == LINT:
        return COUNTED if target.table else ()
    swept = [count for count in target.options.get("threads_swept", ()) if count != target.options["threads"]]
    return (*list_runtime_figures(target.runtime), *(f"{mark}{count}" for mark in THREADS for count in swept))


def list_runtime_figures(runtime: str) -> tuple[str, ...]:
    """The same of every target of a runtime, where it is proven; numbers of threads are left out."""
    return (*RUNTIMES[runtime].limits, ON_DELEGATE, *UNLIMITED.get(runtime, ()))


def is_reported(figure: str) -> bool:
    """Whether the verdict of some target has such a figure."""
    threads = any(re.fullmatch(rf"{mark}\d+", figure) for mark in THREADS)
    return threads or any(figure in list_runtime_figures(runtime) for runtime in RUNTIMES)


def is_profile(name: str) -> bool:
    """Whether a target comes along, and is no project's own."""
    return bool(_runtime_of(name))


def list_figure_names(target: str = "") -> Iterator[str]:
    """`TARGET.FIGURE` of every profile that comes along, or of one; of a project's own, whatever any has."""
    for name in [target] if target else schema.OPTIONS[GROUP]:
        runtimes = [_runtime_of(name)] if is_profile(name) else RUNTIMES if target else ()
        yield from dict.fromkeys(f"{name}.{figure}" for runtime in runtimes for figure in list_runtime_figures(runtime))


def _runtime_of(profile: str) -> str:
    return str(getattr(schema.OPTIONS[GROUP].get(profile), "runtime", ""))
