"""The command `build`, which also runs when the command line names no command."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from tflbuild.commands.command_line import read_limits
from tflbuild.core.digest import Json
from tflbuild.errors import EXIT_DONE, TflbuildError

# With more variants than this, the verdicts of targets are not printed as a table for each variant.
FULL_TABLE_VARIANTS = 3


def build(options: argparse.Namespace, arguments: list[str]) -> int:
    """Build one variant or a sweep, print the result, and return the exit code."""
    from tflbuild.pipeline import build as pipeline
    from tflbuild.pipeline import sweep_batches, sweep_results
    from tflbuild.report.benchmark_text import latency_line
    from tflbuild.report.quality_warnings import warning_text
    from tflbuild.report.search_text import search_text
    from tflbuild.report.sweeps.ranking import sweep_table
    from tflbuild.report.text_table import screen_width
    from tflbuild.report.variant_summary import label_variants, show_path
    from tflbuild.report.verdict_text import targets_table

    result = sweep_batches.build(options.overrides, read_limits(options), multirun=options.multirun)
    prepared, outcomes = result.prepared, result.outcomes
    errors = [error for error in (*(outcome.error for outcome in outcomes), result.stopped) if error]
    ran = any(outcome.ran for outcome in outcomes)
    # Targets that need different artifacts make a sweep without -m.
    several = options.multirun or len(outcomes) > 1
    sweep = sweep_results.write_sweep(arguments, prepared, outcomes) if several else None
    if options.json:
        sweep_figures = [{}] * len(outcomes) if sweep is None else sweep_results.variants_json(sweep)
        rows_json = [
            {**_outcome_json(outcome), **figures} for outcome, figures in zip(outcomes, sweep_figures, strict=True)
        ]
        print(json.dumps(rows_json, indent=2))
    rows = [outcome.row for outcome in outcomes]
    table = ""
    for outcome, label in zip(outcomes, label_variants(rows), strict=True):
        if outcome.search is not None:
            table += f"search  {label}\n" if several else ""
            table += search_text(outcome.search) + ("\n\n" if several else "\n")
    for outcome, label in zip(outcomes, label_variants(rows), strict=True) if len(rows) <= FULL_TABLE_VARIANTS else ():
        verdicts = targets_table(outcome.row.manifest or {}, screen_width())
        verdicts += "" if several else latency_line(outcome.row.manifest or {})
        table += (f"{label}\n" if several and verdicts else "") + verdicts
    table += sweep_table(sweep.sweep) + "\n" if sweep is not None else ""
    if not options.json:
        print(table, end="")
    for error in distinct_errors(errors):
        print(error, file=sys.stderr)
    answer = _last_line(outcomes, several)
    if answer and not options.json:
        print(("built  " if ran else "up to date  ") + answer, flush=True)
    report_line = "" if sweep is None else f"report  {show_path(sweep.files[-1])}"
    if report_line and not options.json:
        print(report_line, flush=True)
    # Warnings are printed last, where the user sees them.
    warnings = warning_text(rows)
    print(warnings, end="", file=sys.stderr)
    if errors:
        return find_exit_code(errors)
    if not options.json and result.repeatable:
        files = () if sweep is None else sweep.files
        repeated_answer = f"{table}up to date  {answer}" + (f"\n{report_line}" if report_line else "")
        pipeline.remember_build(arguments, prepared, outcomes, files, repeated_answer, warnings)
    return EXIT_DONE


def distinct_errors(errors: Sequence[TflbuildError]) -> list[TflbuildError]:
    """Return the errors without repetitions: variants that share a failed step share its error."""
    return list({(error.what, error.why): error for error in reversed(errors)}.values())[::-1]


def find_exit_code(errors: list[TflbuildError]) -> int:
    """Return the exit code that all errors share, or 1 if they differ."""
    codes = {error.exit_code for error in errors}
    return codes.pop() if len(codes) == 1 else 1


def _last_line(outcomes: Sequence[Json], multirun: bool) -> str:
    if not multirun:
        return str(outcomes[0].line) if outcomes[0].error is None else ""
    passed = [outcome for outcome in outcomes if outcome.error is None]
    if not passed:
        return ""
    root = passed[0].files[0].parent.parent
    failed = len(outcomes) - len(passed)
    return f"{len(passed)} of {len(outcomes)} variants in {root}/" + (f", {failed} failed" if failed else "")


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
        "search": None if outcome.search is None else search_json(outcome.search),
        "error": None if outcome.error is None else str(outcome.error),
    }
