"""The commands `plan` and `explain`: show what a build would run, and why."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tflbuild.commands.build_command import distinct_errors, find_exit_code
from tflbuild.errors import EXIT_DONE


def plan(options: argparse.Namespace, _: list[str]) -> int:
    """Print the steps that a build would run."""
    from tflbuild.report.questions.plan_text import plan_text

    return _preview(options, plan_text)


def explain(options: argparse.Namespace, _: list[str]) -> int:
    """Print, for every step that would run, which parts of its cache key changed."""
    from tflbuild.report.questions.plan_text import explain_text

    return _preview(options, explain_text)


def _preview(options: argparse.Namespace, text: Callable[..., str]) -> int:
    from tflbuild.pipeline import build as pipeline
    from tflbuild.report.questions import plan_text

    prepared, previews, store = pipeline.preview_build(options.overrides, multirun=options.multirun)
    reasons = plan_text.find_changes(prepared.resolved, prepared.plan, previews, store)
    print(plan_text.plan_json(previews, reasons) if options.json else text(previews, reasons))
    searches = [resolved.recipe.search for resolved in prepared.resolved if resolved.recipe.search is not None]
    for search in [] if options.json else searches:
        print(f"then a search: at most {search.trials} artifacts, built one after another and measured")
    errors = distinct_errors([refused.error for refused in prepared.refused.values()])
    print("".join(f"{line}\n" for line in (*prepared.notes, *errors)), end="", file=sys.stderr)
    return find_exit_code(errors) if errors else EXIT_DONE
