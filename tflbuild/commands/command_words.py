"""Find the command among the words of a command line, and refuse words without a meaning."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from tflbuild.commands.command_line import REPORT_USAGE, VERBS
from tflbuild.errors import UsageError, nearest

INSPECT_USAGE = "tflbuild inspect MODEL [source.key=value ...] [--target NAMES] [--as-recipe]"


def parse_command(options: argparse.Namespace) -> str:
    """The verb that the words before the overrides name. A word that is neither is refused."""
    if options.shell_completion or options.hydra_help or options.help or options.info or options.cfg:
        options.overrides = [text for text in options.overrides if text not in VERBS]
        return "hydra"
    if options.overrides[:1] == ["report"]:
        return "report"
    if options.since is not None:
        raise UsageError("--since goes with report", where="command line", next_step=REPORT_USAGE)
    if options.overrides[:1] == ["inspect"]:
        return "inspect"
    if options.overrides[:1] == ["benchmark"] and any(text.endswith(".tflite") for text in options.overrides):
        options.overrides.pop(0)
        return "benchmark"
    words = [text for text in options.overrides if "=" not in text and not text.startswith("~")]
    options.overrides = [text for text in options.overrides if text not in words]
    if len(words) > 1 and all(word in VERBS for word in words):
        raise UsageError(f"two commands were given: {' and '.join(words)}", where="command line", next_step="give one")
    if words and (len(words) > 1 or words[0] not in VERBS):
        stray = next(word for word in words if word not in VERBS)
        raise UsageError(
            f"'{stray}' is neither a command nor an override",
            where="command line",
            why=nearest(stray, VERBS),
            next_step="tflbuild [build|plan|explain|doctor|sensitivity|advise|benchmark] +recipe=NAME [key=value ...],"
            " or inspect MODEL, or targets, or report [SWEEP ...], or cache",
        )
    verb = words[0] if words else "build"
    if verb == "report":
        raise UsageError("report stands first, and takes sweeps", where="command line", next_step=REPORT_USAGE)
    refuse_objectives_without_sweep(options)
    if options.clear and verb != "cache":
        raise UsageError("--clear goes with cache", where="command line", next_step="tflbuild cache --clear")
    if options.as_recipe:
        raise UsageError("--as-recipe goes with inspect", where="command line", next_step=INSPECT_USAGE)
    if options.target is not None:
        raise UsageError("--target goes with inspect", where="command line", next_step="a recipe has target=NAME")
    return verb


def refuse_objectives_without_sweep(options: argparse.Namespace) -> None:
    """Raises UsageError for objectives told of a single variant, which they would do nothing for."""
    told = [text for text in options.overrides if text.lstrip("+").startswith("sweep.")]
    if told and not options.multirun:
        raise UsageError(
            "there is nothing to hold one variant against",
            where=f"command line: {told[0]}",
            next_step="add -m to sweep, or leave it out",
        )


def require_one_variant(options: argparse.Namespace, verb: str) -> None:
    """Raises UsageError for -m where it has no meaning."""
    if options.multirun:
        raise UsageError(f"{verb} takes one variant", where="command line", next_step="leave out -m")


def build_command_line(arguments: Sequence[str], verb: str) -> str:
    """The command line that builds what a verb was asked of."""
    return "tflbuild " + " ".join(shlex.quote(text) for text in arguments if text not in (verb, "--json"))
