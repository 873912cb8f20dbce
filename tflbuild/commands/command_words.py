"""Find the command among the words of a command line, and refuse words that have no meaning."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from tflbuild.commands.command_line import COMMAND_NAMES, REPORT_USAGE
from tflbuild.errors import UsageError, nearest

INSPECT_USAGE = "tflbuild inspect MODEL [source.key=value ...] [--target NAMES] [--as-recipe]"


def parse_command(options: argparse.Namespace) -> str:
    """Return the command of a command line, and remove its word from `options.overrides`.

    The words `report` and `inspect` are not removed.

    Raises:
        UsageError: for a word that is neither a command nor an override, and for a flag of another command.
    """
    if options.shell_completion or options.hydra_help or options.help or options.info or options.cfg:
        options.overrides = [text for text in options.overrides if text not in COMMAND_NAMES]
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
    if len(words) > 1 and all(word in COMMAND_NAMES for word in words):
        raise UsageError(
            f"there are several commands: {' and '.join(words)}", where="command line", next_step="use one command"
        )
    if words and (len(words) > 1 or words[0] not in COMMAND_NAMES):
        stray = next(word for word in words if word not in COMMAND_NAMES)
        raise UsageError(
            f"'{stray}' is neither a command nor an override",
            where="command line",
            why=nearest(stray, COMMAND_NAMES),
            next_step="tflbuild [build|plan|explain|doctor|sensitivity|advise|benchmark] +recipe=NAME [key=value ...],"
            " or inspect MODEL, or targets, or report [SWEEP ...], or cache",
        )
    command = words[0] if words else "build"
    if command == "report":
        raise UsageError(
            "report must be the first word, and only sweeps may follow it",
            where="command line",
            next_step=REPORT_USAGE,
        )
    refuse_objectives_without_sweep(options)
    if options.clear and command != "cache":
        raise UsageError("--clear goes with cache", where="command line", next_step="tflbuild cache --clear")
    if options.as_recipe:
        raise UsageError("--as-recipe goes with inspect", where="command line", next_step=INSPECT_USAGE)
    if options.target is not None:
        raise UsageError("--target goes with inspect", where="command line", next_step="a recipe has target=NAME")
    return command


def refuse_objectives_without_sweep(options: argparse.Namespace) -> None:
    """Raise UsageError for objectives without a sweep, where they would have no effect."""
    objectives = [text for text in options.overrides if text.lstrip("+").startswith("sweep.")]
    if objectives and not options.multirun:
        raise UsageError(
            "sweep.* needs -m: a single variant has nothing to be compared with",
            where=f"command line: {objectives[0]}",
            next_step="add -m, or remove the override",
        )


def require_one_variant(options: argparse.Namespace, command: str) -> None:
    """Raise UsageError for -m with a command that works on one variant."""
    if options.multirun:
        raise UsageError(f"{command} takes one variant", where="command line", next_step="remove -m")


def build_command_line(arguments: Sequence[str], command: str) -> str:
    """Return the command line that builds the recipe which another command analysed."""
    return "tflbuild " + " ".join(shlex.quote(text) for text in arguments if text not in (command, "--json"))
