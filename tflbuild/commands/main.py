"""Run a command line: find the command, run it, and turn errors into messages and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from tflbuild import interrupts
from tflbuild.commands.build_command import build
from tflbuild.commands.cache_command import cache
from tflbuild.commands.command_line import COMMAND_NAMES, make_parser
from tflbuild.commands.command_words import parse_command
from tflbuild.commands.doctor_command import doctor
from tflbuild.commands.plan_commands import explain, plan
from tflbuild.commands.question_commands import advise, benchmark, inspect, sensitivity, targets
from tflbuild.errors import EXIT_DONE, EXIT_INTERRUPTED, TflbuildError


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return the exit code. Errors are printed here and nowhere else."""
    from tflbuild.terminal.redacted_output import redacted_output

    interrupts.listen()
    with redacted_output(arguments):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        options = make_parser().parse_intermixed_args(list(arguments))
        command = parse_command(options)
        if options.trust_store:
            from tflbuild.config.freezing.freeze_store import confirm_store

            confirm_store(command, options.overrides, multirun=options.multirun)
        return COMMANDS[command](options, list(arguments))
    except TflbuildError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: no incomplete file was left; the same command continues from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def report(options: argparse.Namespace, _: list[str]) -> int:
    """Write the page of sweeps anew."""
    from tflbuild.commands.report_command import show_report

    show_report(options)
    return EXIT_DONE


def hydra(options: argparse.Namespace, _: list[str]) -> int:
    """Print Hydra's own views of the configuration: help, config, info, completion."""
    from tflbuild.config.reference import config_views

    config_views.print_view(options, make_parser(), COMMAND_NAMES)
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
