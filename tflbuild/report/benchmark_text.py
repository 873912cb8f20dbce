"""Format the result of a benchmark: latency with its uncertainty, threads, the slowest operators, the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tflbuild.core.digest import Json
from tflbuild.report.text_table import align, shorten

# The number of characters of a bar of 100 %.
BAR = 24
# The number of operators that are shown.
TOP = 12
UNITS = (("s", 1000.0), ("ms", 1.0), ("µs", 1e-3))


def benchmark_text(facts: Mapping[str, Json]) -> str:
    """Return the report of a benchmark step, or of the verdict of a CPU target, as text."""
    parts = [headline(facts), latency_table(facts), thread_table(facts.get("figures", {}))]
    parts += [profile_table(facts.get("profile", {})), environment_table(facts), notes_text(facts.get("notes", []))]
    return "\n\n".join("\n".join(part) for part in parts if part)


def headline(facts: Mapping[str, Json]) -> list[str]:
    """Return the device and the median with its interval."""
    return [line for line in (place_text(facts), median_text(facts)) if line]


def place_text(facts: Mapping[str, Json]) -> str:
    """Return the device, the delegate and the threads, as far as they are known."""
    where = [str(facts["device"])] if facts.get("device") else []
    where += [f"delegate {facts['delegate']}"] if facts.get("delegate") else []
    where += [f"{facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"] if facts.get("threads") else []
    return ", ".join(where)


def median_text(facts: Mapping[str, Json]) -> str:
    """Return the median with its interval, or the mean if the median is not known."""
    if facts.get("p50_ms") is not None:
        return f"median {show_ms(facts['p50_ms'])}{interval_text(facts)}"
    if facts.get("mean_ms") is not None:
        return f"mean {show_ms(facts['mean_ms'])}; the tool on the device does not report a median"
    return ""


def latency_line(manifest: Mapping[str, Json]) -> str:
    """Return the last line of a build: `latency  median 59.8 µs (...), 1,024 runs; this host: ...`.

    "" without a benchmark.
    """
    facts = manifest.get("metrics", {}).get("benchmark") or {}
    median = median_text(facts)
    return f"latency  {median}; {place_text(facts)}\n" if median else ""


def interval_text(facts: Mapping[str, Json]) -> str:
    """Return ` (95 % confidence: 1.20 ms to 1.22 ms, ±0.8%), 1,024 runs`."""
    runs = f", {facts['runs']:,} runs" if facts.get("runs") else ""
    if "interval_ms" not in facts:
        return runs
    low, high = (show_ms(bound) for bound in facts["interval_ms"])
    if facts["reached_precision"] is None:
        return f" (too few runs for an interval){runs}"
    missed = "" if facts["reached"] else f", not the ±{facts['precision']:.1%} that were asked for"
    interval = f"{facts['confidence']:.0%} confidence: {low} to {high}, ±{facts['reached_precision']:.1%}{missed}"
    return f" ({interval}){runs}"


def latency_table(facts: Mapping[str, Json]) -> list[str]:
    """Return the table of the distribution of the runs, and of memory."""
    names = {"least_ms": "least", "p5_ms": "p5", "p10_ms": "p10", "p50_ms": "p50", "p90_ms": "p90", "p95_ms": "p95"}
    names |= {
        "most_ms": "most",
        "mad_ms": "MAD",
        "iqr_ms": "IQR",
        "std_ms": "std",
        "first_ms": "first",
        "init_ms": "init",
    }
    cells = [(name, show_ms(facts[key])) for key, name in names.items() if facts.get(key) is not None]
    memory = facts.get("model_peak_bytes") or facts.get("memory_delta_bytes")
    cells += [("memory", show_bytes(memory))] if memory else []
    cells += [("drift", f"{facts['drift']:+.1%}")] if "drift" in facts else []
    if not cells:
        return []
    headings = [name for name, _ in cells]
    return align(headings, [tuple(value for _, value in cells)], right=headings)


def thread_table(figures: Mapping[str, float]) -> list[str]:
    """Return the table of latency by numbers of threads, if several were measured."""
    prefix = "latency_p50_ms_threads_"
    counts = sorted(int(name.removeprefix(prefix)) for name in figures if name.startswith(prefix))
    if not counts:
        return []
    rows = [("as declared", show_ms(figures["latency_p50_ms"]), show_ms(figures["latency_p90_ms"]), "")]
    for count in counts:
        p50, p90 = figures[f"{prefix}{count}"], figures[f"latency_p90_ms_threads_{count}"]
        rows.append((str(count), show_ms(p50), show_ms(p90), f"{figures['latency_p50_ms'] / p50:.2f} x"))
    return align(("threads", "p50", "p90", "speed"), rows, right=("p50", "p90", "speed"))


def profile_table(profile: Mapping[str, Json]) -> list[str]:
    """Return the table of the slowest operators, each with a bar."""
    operators: Sequence[Mapping[str, Json]] = profile.get("operators", ())
    if not operators:
        return [f"no profile of operators: {profile['why']}"] if profile.get("why") else []
    slowest = operators[:TOP]
    rows = [
        (
            f"{operator['percent']:.1f}%",
            bar(operator["percent"]),
            show_ms(operator["us"] / 1000),
            describe_entry(operator),
            shorten(operator["layer"]),
        )
        for operator in slowest
    ]
    lines = align(("share", "", "time", "operator", "layer"), rows, right=("share", "time"))
    rest = sum(operator["percent"] for operator in operators[TOP:])
    remainder = [f"{len(operators) - TOP} more: {rest:.1f}%"] if len(operators) > TOP else []
    return [*lines, *remainder, profile["how"]]


def describe_entry(entry: Mapping[str, Json]) -> str:
    """Return an operator and its kernel: `CONV_2D: Convolution (NHWC, F32) IGEMM`, or only what is known."""
    names = (entry["op"], entry["kernel"])
    return names[1] if names[0] in ("", names[1]) else f"{names[0]}: {names[1]}"


def bar(percent: float) -> str:
    """Return a bar for a percentage. It has at least one character if the percentage is above 0."""
    length = round(BAR * percent / 100)
    return "█" * (max(1, length) if percent > 0 else 0) or "▏"


def environment_table(facts: Mapping[str, Json]) -> list[str]:
    """Return the table of the machine's properties and of its load."""
    environment: Mapping[str, Json] = facts.get("environment", {})
    if not environment:
        return []
    rows = [
        (name.replace("_", " "), show_value(value)) for name, value in environment.items() if value not in (None, "")
    ]
    disturbed = facts.get("disturbance", {})
    rows += [(name.replace("_", " "), show_value(value)) for name, value in disturbed.items()]
    return align(("host", ""), rows)


def show_value(value: Json) -> str:
    """Return a boolean as yes or no, and a number with two digits after the point."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def notes_text(notes: Sequence[str]) -> list[str]:
    """Return the reasons to doubt the figures."""
    return [f"note: {note}" for note in notes]


def show_ms(value: float) -> str:
    """Return milliseconds in the unit that is easiest to read, with three digits."""
    unit, size = next(((unit, size) for unit, size in UNITS if value >= size), UNITS[-1])
    return f"{value / size:.3g} {unit}" if value / size < 1000 else f"{value / size:,.0f} {unit}"


def show_bytes(value: float) -> str:
    """Return bytes as MiB or KiB."""
    return f"{value / 2**20:.1f} MiB" if value >= 2**20 else f"{value / 2**10:.1f} KiB"
