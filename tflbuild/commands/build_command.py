"""The command `build`, which is also what no command means."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tflbuild.commands.command_line import read_limits
from tflbuild.core.digest import Json
from tflbuild.errors import EXIT_DONE, TflbuildError

TOLD_IN_FULL = 3  # variants whose verdicts are tables of their own


def build(options: argparse.Namespace, arguments: list[str]) -> int:
    """Build one variant or a sweep."""
    from tflbuild.pipeline import build as pipeline
    from tflbuild.pipeline import sweep_batches, sweep_results
    from tflbuild.report.benchmark_text import latency_line
    from tflbuild.report.quality_warnings import warning_text
    from tflbuild.report.search_text import search_text
    from tflbuild.report.sweeps.ranking import sweep_table
    from tflbuild.report.text_table import screen_width
    from tflbuild.report.variant_summary import label_variants, show_path
    from tflbuild.report.verdict_text import targets_table

    built = sweep_batches.build(options.overrides, read_limits(options), multirun=options.multirun)
    prepared, outcomes = built.prepared, built.outcomes
    errors = [error for error in (*(outcome.error for outcome in outcomes), built.stopped) if error]
    ran = any(outcome.ran for outcome in outcomes)
    several = options.multirun or len(outcomes) > 1  # targets that want different artifacts are a sweep of them
    swept = sweep_results.write_sweep(arguments, prepared, outcomes) if several else None
    if options.json:
        more = [{}] * len(outcomes) if swept is None else sweep_results.variants_json(swept)
        rows_json = [{**_outcome_json(outcome), **told} for outcome, told in zip(outcomes, more, strict=True)]
        print(json.dumps(rows_json, indent=2))
    rows = [outcome.row for outcome in outcomes]
    table = ""
    for outcome, label in zip(outcomes, label_variants(rows), strict=True):
        if outcome.found is not None:
            table += f"search  {label}\n" if several else ""
            table += search_text(outcome.found) + ("\n\n" if several else "\n")
    for outcome, label in zip(outcomes, label_variants(rows), strict=True) if len(rows) <= TOLD_IN_FULL else ():
        judged = targets_table(outcome.row.manifest or {}, screen_width())
        judged += "" if several else latency_line(outcome.row.manifest or {})
        table += (f"{label}\n" if several and judged else "") + judged
    table += sweep_table(swept.sweep) + "\n" if swept is not None else ""
    if not options.json:
        print(table, end="")
    for error in distinct_errors(errors):
        print(error, file=sys.stderr)
    answer = _last_line(outcomes, several)
    if answer and not options.json:
        print(("built  " if ran else "up to date  ") + answer, flush=True)
    last = "" if swept is None else f"report  {show_path(swept.files[-1])}"
    if last and not options.json:
        print(last, flush=True)
    warnings = warning_text(rows)  # last, where they are seen
    print(warnings, end="", file=sys.stderr)
    if errors:
        return find_exit_code(errors)
    if not options.json and built.repeatable:
        files = () if swept is None else swept.files
        told = f"{table}up to date  {answer}" + (f"\n{last}" if last else "")
        pipeline.remember_build(arguments, prepared, outcomes, files, told, warnings)
    return EXIT_DONE


def distinct_errors(errors: Sequence[TflbuildError]) -> list[TflbuildError]:
    """One of each reason: variants that share a failed step share its error."""
    return list({(error.what, error.why): error for error in reversed(errors)}.values())[::-1]


def find_exit_code(errors: list[TflbuildError]) -> int:
    """The variants' own, where they agree; 1 where they failed in different ways."""
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else 1


def _last_line(outcomes: Sequence[Json], multirun: bool) -> str:
    if not multirun:
        return str(outcomes[0].line) if outcomes[0].error is None else ""
    good = [outcome for outcome in outcomes if outcome.error is None]
    if not good:
        return ""
    root = good[0].files[0].parent.parent
    bad = len(outcomes) - len(good)
    return f"{len(good)} of {len(outcomes)} variants in {root}/" + (f", {bad} failed" if bad else "")


def _outcome_json(outcome: Json) -> Json:
    from tflbuild.report.search_text import search_json

    manifest = outcome.row.manifest
    return {
        "variant": outcome.row.name,
        "result": outcome.row.verdict,
        "ran": outcome.ran,
        "files": [str(file) for file in outcome.files],
        "artifact": None if manifest is None else {k: v for k, v in manifest["artifact"].items() if k != "contents"},
        "metrics": None if manifest is None else manifest["metrics"],
        "targets": None if manifest is None else manifest["targets"],
        "tied_to_cpu": None if manifest is None else manifest["tied_to_cpu"],
        "search": None if outcome.found is None else search_json(outcome.found),
        "error": None if outcome.error is None else str(outcome.error),
    }
