"""What a benchmark found, as text: the latency and how sure it is, threads, the slowest operators, the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.digest import Json
from tflbuild.report.text_table import align, shorten

BAR = 24  # characters of a bar of 100 %
TOP = 12  # operators that are shown
UNITS = (("s", 1000.0), ("ms", 1.0), ("µs", 1e-3))


def benchmark_text(found: Mapping[str, Json]) -> str:
    """The report of a step `benchmark`, of `benchmark_android`, or the verdict of a CPU target, for a person."""
    parts = [headline(found), latency_table(found), thread_table(found.get("figures", {}))]
    parts += [profile_table(found.get("profile", {})), environment_table(found), notes_text(found.get("notes", []))]
    return "\n\n".join("\n".join(part) for part in parts if part)


def headline(found: Mapping[str, Json]) -> list[str]:
    """The median with its interval, and where it was had."""
    return [line for line in (place_text(found), median_text(found)) if line]


def place_text(found: Mapping[str, Json]) -> str:
    """The device, the delegate and the threads, as far as they are known."""
    where = [str(found["device"])] if found.get("device") else []
    where += [f"delegate {found['delegate']}"] if found.get("delegate") else []
    where += [f"{found['threads']} thread{'' if found['threads'] == 1 else 's'}"] if found.get("threads") else []
    return ", ".join(where)


def median_text(found: Mapping[str, Json]) -> str:
    """The median and how sure it is; the mean where no median is known."""
    if found.get("p50_ms") is not None:
        return f"median {show_ms(found['p50_ms'])}{interval_text(found)}"
    if found.get("mean_ms") is not None:
        return f"mean {show_ms(found['mean_ms'])}; the tool on the device tells no median"
    return ""


def latency_line(manifest: Mapping[str, Json]) -> str:
    """What a build timed, a line for its end: `latency  median 59.8 µs (...), 1,024 runs; this host: ...`, or ""."""
    found = manifest.get("metrics", {}).get("benchmark") or {}
    told = median_text(found)
    return f"latency  {told}; {place_text(found)}\n" if told else ""


def interval_text(found: Mapping[str, Json]) -> str:
    """` (95 % confidence: 1.20 ms to 1.22 ms, ±0.8%), 1,024 runs`."""
    runs = f", {found['runs']:,} runs" if found.get("runs") else ""
    if "interval_ms" not in found:
        return runs
    low, high = (show_ms(one) for one in found["interval_ms"])
    if found["reached_precision"] is None:
        return f" (too few runs for an interval){runs}"
    missed = "" if found["reached"] else f", not the ±{found['precision']:.1%} that were asked for"
    interval = f"{found['confidence']:.0%} confidence: {low} to {high}, ±{found['reached_precision']:.1%}{missed}"
    return f" ({interval}){runs}"


def latency_table(found: Mapping[str, Json]) -> list[str]:
    """How the runs are spread, and the memory."""
    names = {"least_ms": "least", "p5_ms": "p5", "p10_ms": "p10", "p50_ms": "p50", "p90_ms": "p90", "p95_ms": "p95"}
    names |= {
        "most_ms": "most",
        "mad_ms": "MAD",
        "iqr_ms": "IQR",
        "std_ms": "std",
        "first_ms": "first",
        "init_ms": "init",
    }
    told = [(name, show_ms(found[key])) for key, name in names.items() if found.get(key) is not None]
    memory = found.get("model_peak_bytes") or found.get("memory_delta_bytes")
    told += [("memory", show_bytes(memory))] if memory else []
    told += [("drift", f"{found['drift']:+.1%}")] if "drift" in found else []
    if not told:
        return []
    headings = [name for name, _ in told]
    return align(headings, [tuple(value for _, value in told)], right=headings)


def thread_table(figures: Mapping[str, float]) -> list[str]:
    """Latency by numbers of threads, where several were timed."""
    mark = "latency_p50_ms_threads_"
    counts = sorted(int(name.removeprefix(mark)) for name in figures if name.startswith(mark))
    if not counts:
        return []
    rows = [("as declared", show_ms(figures["latency_p50_ms"]), show_ms(figures["latency_p90_ms"]), "")]
    for count in counts:
        p50, p90 = figures[f"{mark}{count}"], figures[f"latency_p90_ms_threads_{count}"]
        rows.append((str(count), show_ms(p50), show_ms(p90), f"{figures['latency_p50_ms'] / p50:.2f} x"))
    return align(("threads", "p50", "p90", "speed"), rows, right=("p50", "p90", "speed"))


def profile_table(profile: Mapping[str, Json]) -> list[str]:
    """The slowest operators, each with a bar."""
    operators: Sequence[Mapping[str, Json]] = profile.get("operators", ())
    if not operators:
        return [f"no profile of operators: {profile['why']}"] if profile.get("why") else []
    shown = operators[:TOP]
    rows = [
        (
            f"{one['percent']:.1f}%",
            bar(one["percent"]),
            show_ms(one["us"] / 1000),
            describe_entry(one),
            shorten(one["layer"]),
        )
        for one in shown
    ]
    lines = align(("share", "", "time", "operator", "layer"), rows, right=("share", "time"))
    rest = sum(one["percent"] for one in operators[TOP:])
    told = [f"{len(operators) - TOP} more: {rest:.1f}%"] if len(operators) > TOP else []
    return [*lines, *told, profile["how"]]


def describe_entry(one: Mapping[str, Json]) -> str:
    """`CONV_2D: Convolution (NHWC, F32) IGEMM`, or what is known of that."""
    names = (one["op"], one["kernel"])
    return names[1] if names[0] in ("", names[1]) else f"{names[0]}: {names[1]}"


def bar(percent: float) -> str:
    """A bar of so many percent, never none for something."""
    length = round(BAR * percent / 100)
    return "█" * (max(1, length) if percent > 0 else 0) or "▏"


def environment_table(found: Mapping[str, Json]) -> list[str]:
    """What the machine was, and how busy."""
    told: Mapping[str, Json] = found.get("environment", {})
    if not told:
        return []
    rows = [(name.replace("_", " "), show_value(value)) for name, value in told.items() if value not in (None, "")]
    disturbed = found.get("disturbance", {})
    rows += [(name.replace("_", " "), show_value(value)) for name, value in disturbed.items()]
    return align(("host", ""), rows)


def show_value(value: Json) -> str:
    """Yes and no, numbers to two digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def notes_text(notes: Sequence[str]) -> list[str]:
    """What speaks against the figures."""
    return [f"note: {note}" for note in notes]


def show_ms(value: float) -> str:
    """Milliseconds in the unit that reads best, three digits."""
    unit, size = next(((unit, size) for unit, size in UNITS if value >= size), UNITS[-1])
    return f"{value / size:.3g} {unit}" if value / size < 1000 else f"{value / size:,.0f} {unit}"


def show_bytes(value: float) -> str:
    """Bytes as MiB or KiB."""
    return f"{value / 2**20:.1f} MiB" if value >= 2**20 else f"{value / 2**10:.1f} KiB"
