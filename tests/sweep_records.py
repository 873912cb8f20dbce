"""Sweeps for tests of what is said of them."""

from dataclasses import replace

from tflbuild.report.sweeps.sweep_record import Artifact, Commit, StepEnd, SweepEntry, SweepRecord, VariantError

VERIFY = {"top1_source": 0.932, "agreement": 0.99, "snr_db": 34.8, "cosine": 0.999, "rmse": 0.01, "max_abs_error": 0.1}
BROKEN = VariantError(
    kind="recipe", what="it holds 256 samples", where="dataset.count", why="999", next_step="count=256"
)


def end(id, status="ran", seconds=1.0):
    return StepEnd(id=id, key="" if status == "failed" else id * 2, status=status, seconds=seconds)


def entry(told, size=187464, top1=0.93, **changes):
    """A variant that was built and passed; `told` are its overrides in one text, `top1=None` leaves it unverified."""
    accuracy = {} if top1 is None else {**VERIFY, "top1": top1, "top1_drop": 0.932 - top1}
    made = SweepEntry(
        name=told or "default",
        verdict="ok" if accuracy else "unverified",
        recipe="net",
        overrides=("+recipe=net", *told.split()),
        scheme="int8",
        artifact=Artifact(
            path="outputs/net/x/model.tflite", sha256="5" * 64, bytes=size, gzip_bytes=size * 3 // 4, float_bytes=550704
        ),
        figures={"bytes": float(size), "gzip_bytes": float(size * 3 // 4), **accuracy},
        samples=2000 if accuracy else None,
        steps={"import": end("a"), "convert": end("b", seconds=2.5), "quantize": end(told or "q", seconds=0.1)},
    )
    return replace(made, **changes)


def timed(made, latency, host="this cpu"):
    figures = {"latency_ms": latency, "latency_p10_ms": latency * 0.9, "latency_p90_ms": latency * 1.2}
    return replace(made, figures={**made.figures, **figures}, latency_host=host)


def judged(made, devices=None, **figures):
    """With figures of targets: `tflm__arena_bytes` is that of `tflm`."""
    told = {name.replace("__", "."): float(value) for name, value in figures.items()}
    return replace(made, figures={**made.figures, **told}, devices=devices or {})


def failed(told, trouble=BROKEN, verdict="failed in calibrate"):
    steps = {"import": end("a"), "calibrate": end("broken", "failed", 0.5), "quantize": end("none", "skipped", 0.0)}
    return SweepEntry(
        name=told, verdict=verdict, recipe="net", overrides=("+recipe=net", told), trouble=trouble, steps=steps
    )


def sweep(*variants, **changes):
    made = SweepRecord(
        id="20261121-134500-ab12cd",
        created="2026-11-21T13:45:00Z",
        command=("-m", "+recipe=net", "quantization=none,int8"),
        tflbuild="0.1.0",
        host={"platform": "Linux", "machine": "x86_64", "python": "3.11.7"},
        toolchain={"tensorflow": "2.21.0"},
        git=Commit(commit="c" * 40, dirty=False),
        variants=variants,
    )
    return replace(made, **changes)


FOUR = (
    entry("quantization=none", 550704, 0.932, scheme="none"),
    entry("quantization=int8", 187464, 0.93),
    entry("quantization=float16", 281000, 0.9325),
    entry("quantization=int4", 120000, 0.71, verdict="gate failed", trouble=replace(BROKEN, kind="gate", what="low")),
)
