"""Run a command line: find the command, run it, turn an error into text and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from tflbuild import interrupts
from tflbuild.commands.build_command import build
from tflbuild.commands.cache_command import cache
from tflbuild.commands.command_line import VERBS, make_parser
from tflbuild.commands.command_words import parse_command
from tflbuild.commands.doctor_command import doctor
from tflbuild.commands.plan_commands import explain, plan
from tflbuild.commands.question_commands import advise, benchmark, inspect, sensitivity, targets
from tflbuild.errors import EXIT_DONE, EXIT_INTERRUPTED, TflbuildError


def run(arguments: Sequence[str]) -> int:
    """Parse, dispatch, report: the only place that turns an error into text and a code."""
    from tflbuild.terminal.redacted_output import redacted_output

    interrupts.listen()
    with redacted_output(arguments):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        options = make_parser().parse_intermixed_args(list(arguments))
        verb = parse_command(options)
        if options.trust_store:
            from tflbuild.config.freezing.freeze_store import confirm_store

            confirm_store(verb, options.overrides, multirun=options.multirun)
        return COMMANDS[verb](options, list(arguments))
    except TflbuildError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing half-written was left; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def report(options: argparse.Namespace, _: list[str]) -> int:
    """Make the page of sweeps again."""
    from tflbuild.commands.report_command import show_report

    show_report(options)
    return EXIT_DONE


def hydra(options: argparse.Namespace, _: list[str]) -> int:
    """Hydra's own views of the configuration: help, config, info, completion."""
    from tflbuild.config.reference import config_views

    config_views.print_view(options, make_parser(), VERBS)
    return EXIT_DONE


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int]] = {
    "build": build,
    "plan": plan,
    "explain": explain,
    "doctor": doctor,
    "sensitivity": sensitivity,
    "advise": advise,
    "benchmark": benchmark,
    "inspect": inspect,
    "targets": targets,
    "report": report,
    "cache": cache,
    "hydra": hydra,
}
