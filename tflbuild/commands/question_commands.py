"""The commands that analyse: `sensitivity`, `advise`, `benchmark`, `inspect`, `targets`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from tflbuild.commands.command_line import read_limits
from tflbuild.commands.command_words import INSPECT_USAGE, build_command_line, require_one_variant
from tflbuild.core.digest import Json
from tflbuild.errors import EXIT_DONE, UsageError

BENCHMARK_USAGE = "tflbuild benchmark +recipe=NAME [key=value ...], or benchmark MODEL.tflite"


def sensitivity(options: argparse.Namespace, _: list[str]) -> int:
    """Print which operators lose most accuracy when they are quantized."""
    from tflbuild.commands import analysis_commands
    from tflbuild.report.output_files import variant_folder, write_page
    from tflbuild.report.questions.analysis_pages import sensitivity_page
    from tflbuild.report.questions.sensitivity_text import sensitivity_text

    require_one_variant(options, "sensitivity")
    answer = analysis_commands.sensitivity(options.overrides, read_limits(options))
    text = sensitivity_page(answer.facts, answer.recipe)
    page = write_page(variant_folder(answer.recipe), "sensitivity.html", text)
    _print_answer(options, answer.facts, sensitivity_text(answer.facts), page)
    return EXIT_DONE


def advise(options: argparse.Namespace, arguments: list[str]) -> int:
    """Print whether the calibration samples are enough."""
    from tflbuild.commands import analysis_commands
    from tflbuild.report.output_files import variant_folder, write_page
    from tflbuild.report.questions.analysis_pages import advice_page
    from tflbuild.report.questions.calibration_advice import advice_text, evaluate_samples

    require_one_variant(options, "advise")
    answer = analysis_commands.advise(options.overrides, read_limits(options))
    verdict = evaluate_samples(answer.facts, answer.recipe, build_command_line(arguments, "advise"))
    text = advice_page(answer.facts, verdict, answer.recipe)
    page = write_page(variant_folder(answer.recipe), "advice.html", text)
    summary = {"enough": verdict.enough, "verdict": verdict.text, "next": verdict.next_step}
    _print_answer(options, {**summary, **answer.facts}, advice_text(answer.facts, verdict), page)
    return EXIT_DONE


def benchmark(options: argparse.Namespace, _: list[str]) -> int:
    """Measure the latency and memory of the artifact anew."""
    from tflbuild.commands import analysis_commands
    from tflbuild.report.benchmark_text import benchmark_text

    require_one_variant(options, "benchmark")
    words = [text for text in options.overrides if "=" not in text and not text.startswith("~")]
    if len(words) > 1:
        raise UsageError("benchmark takes one model", where="command line", next_step=BENCHMARK_USAGE)
    answer = analysis_commands.benchmark(options.overrides, read_limits(options))
    print(json.dumps(answer.facts, indent=2) if options.json else benchmark_text(answer.facts))
    return EXIT_DONE


def _print_answer(options: argparse.Namespace, facts: Mapping[str, Json], text: str, page: Path) -> None:
    from tflbuild.report.variant_summary import show_path

    print(json.dumps({**facts, "page": str(page)}, indent=2) if options.json else f"{text}\nchart  {show_path(page)}")


def inspect(options: argparse.Namespace, _: list[str]) -> int:
    """Print the inputs, outputs and contents of a model, or write a recipe for it."""
    from tflbuild.commands import analysis_commands
    from tflbuild.report.questions.model_inspection import inspection_text, proposed_recipe
    from tflbuild.report.text_table import screen_width
    from tflbuild.report.verdict_text import targets_text, verdicts_json

    paths = [text for text in options.overrides[1:] if not text.startswith("source.")]
    if len(paths) != 1:
        raise UsageError("inspect takes one model", where="command line", next_step=INSPECT_USAGE)
    path = paths[0]
    overrides = [text for text in options.overrides[1:] if text != path]
    targets = [name for name in (options.target or "").strip("[] ").split(",") if name]
    model = analysis_commands.inspect(path, overrides, read_limits(options), targets)
    if options.as_recipe:
        print(proposed_recipe(path, model.kind, model.signature, model.contents))
    elif options.json:
        answer = {"path": path} | {name: getattr(model, name) for name in ("kind", "signature", "contents", "asks")}
        print(json.dumps(answer | ({"targets": verdicts_json(model.verdicts)} if targets else {}), indent=2))
    else:
        print(inspection_text(path, model.kind, model.signature, model.contents, model.asks))
        print("\n" + targets_text(model.verdicts, screen_width()) if targets else "", end="\n" if targets else "")
    return EXIT_DONE


def targets(options: argparse.Namespace, _: list[str]) -> int:
    """List the targets that a recipe may have, and how this machine can check each of them."""
    from tflbuild.commands import analysis_commands
    from tflbuild.report.verdict_text import listing_json, listing_text

    if options.overrides:
        raise UsageError("targets takes no overrides", where=f"command line: {options.overrides[0]}")
    listed_targets = analysis_commands.list_targets()
    print(json.dumps(listing_json(listed_targets), indent=2) if options.json else listing_text(listed_targets))
    return EXIT_DONE
