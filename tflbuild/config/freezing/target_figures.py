"""List the figures that the verdict of a target can have, which may be objectives of a sweep."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tflbuild.config.schema import recipe_schema as schema
from tflbuild.core.recipe import Target
from tflbuild.core.target_gates import ON_DELEGATE
from tflbuild.targets.target_runtimes import COUNTS, LINT, RUNTIMES

# The figures that support rules report, too.
COUNTED = (*COUNTS, ON_DELEGATE)
# By runtime: figures that cannot have a limit.
UNLIMITED = {
    "gpu": ("max_abs_activation", "float16_headroom"),
    "ethos_u": ("cycles_npu", "macs", "dram_bytes", "npu_ms", "model_bytes"),
}
# The prefixes of figures of the runtime `cpu`. The number of threads follows.
THREADS = ("latency_p50_ms_threads_", "latency_p90_ms_threads_")
GROUP = "target"


def list_target_figures(target: Target, *, proves: bool) -> tuple[str, ...]:
    """Return the figures of a target's verdict. `proves`: this machine has what a proof needs."""
    if not proves or RUNTIMES[target.runtime].step == LINT:
        return COUNTED if target.table else ()
    swept = [count for count in target.options.get("threads_swept", ()) if count != target.options["threads"]]
    return (*list_runtime_figures(target.runtime), *(f"{mark}{count}" for mark in THREADS for count in swept))


def list_runtime_figures(runtime: str) -> tuple[str, ...]:
    """Return the figures of a proven target of a runtime, without those for numbers of threads."""
    return (*RUNTIMES[runtime].limits, ON_DELEGATE, *UNLIMITED.get(runtime, ()))


def is_reported(figure: str) -> bool:
    """Return whether the verdict of some target has a figure."""
    threads = any(re.fullmatch(rf"{mark}\d+", figure) for mark in THREADS)
    return threads or any(figure in list_runtime_figures(runtime) for runtime in RUNTIMES)


def is_profile(name: str) -> bool:
    """Return whether a target is shipped with tflbuild, and is not the project's own."""
    return bool(_runtime_of(name))


def list_figure_names(target: str = "") -> Iterator[str]:
    """Yield `TARGET.FIGURE` for all shipped profiles, or for one target. A project's own target may have any figure."""
    for name in [target] if target else schema.OPTIONS[GROUP]:
        runtimes = [_runtime_of(name)] if is_profile(name) else RUNTIMES if target else ()
        yield from dict.fromkeys(f"{name}.{figure}" for runtime in runtimes for figure in list_runtime_figures(runtime))


def _runtime_of(profile: str) -> str:
    return str(getattr(schema.OPTIONS[GROUP].get(profile), "runtime", ""))
