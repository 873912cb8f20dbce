"""The flags of the command line, and the limits of a run that some of them set."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from tflbuild import __version__
from tflbuild.errors import UsageError

if TYPE_CHECKING:
    from tflbuild.execute.run_limits import Limits

COMMAND_NAMES = (
    *("build", "plan", "explain", "doctor", "sensitivity", "advise", "benchmark"),
    *("inspect", "targets", "report", "cache"),
)
REPORT_USAGE = "tflbuild report [SWEEP ...] [--since REV] [output_root=FOLDER]"


class _Parser(argparse.ArgumentParser):
    """Raises UsageError for a wrong flag, so that it is reported like every other mistake."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, where="command line", next_step="tflbuild --help")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all flags: Hydra's flags as far as they apply, and tflbuild's own."""
    parser = _Parser(prog="tflbuild", add_help=False, usage=argparse.SUPPRESS)
    add = parser.add_argument
    add(
        "overrides", nargs="*", help="Any key=value arguments to override config values (use dots for.nested=overrides)"
    )
    add("--help", "-h", action="store_true", help="This text")
    add("--hydra-help", action="store_true", help="Hydra's help")
    add("--version", action="version", version=f"tflbuild {__version__}", help="tflbuild's version")
    add("--multirun", "-m", action="store_true", help="Sweep: build every combination of key=a,b")
    add("--cfg", "-c", choices=["job", "hydra", "all"], help="Show the composed config instead of building")
    add("--resolve", action="store_true", help="With --cfg: resolve interpolations")
    add("--package", "-p", help="With --cfg: the config package to show")
    views = ["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"]
    add("--info", "-i", nargs="?", const="all", choices=views, help=f"Show Hydra's view: {'|'.join(views)}")
    add("--shell-completion", "-sc", action="store_true", help='Completion: eval "$(tflbuild -sc install=bash)"')
    add("--jobs", "-j", type=int, help="Steps that run at the same time; default: the number of cores")
    add("--memory", help="Memory for all steps that run at the same time, such as 8G; default: 4/5 of the free memory")
    add("--timeout", type=float, help="Seconds that a step may take; default: 3600")
    add("--fail-fast", action="store_true", help="Start no new step after the first failure")
    add("--offline", action="store_true", help="Fetch nothing: refuse what is not in the store")
    add("--trust-store", action="store_true", help="Confirm, once, the remote cache that the recipe names")
    add("--json", action="store_true", help="Print JSON instead of text")
    add("--as-recipe", action="store_true", help="With inspect: print a recipe for the model")
    add("--target", metavar="NAMES", help="With inspect: check a .tflite for these targets, such as gpu,edgetpu")
    add("--since", metavar="REV", help="With report: all sweeps made at this git revision or after it")
    add("--clear", action="store_true", help="With cache: empty the store")
    return parser


def read_limits(options: argparse.Namespace) -> Limits:
    """Return the limits of a run that the flags set.

    Raises:
        UsageError: for a value out of range.
    """
    from tflbuild.core.byte_sizes import read_size
    from tflbuild.execute.run_limits import Limits

    memory = None if options.memory is None else read_size(options.memory)
    if options.memory is not None and memory is None:
        raise UsageError(f"--memory is '{options.memory}'", where="command line", next_step="a size such as 8G or 512M")
    for flag, value, minimum in (("jobs", options.jobs, 1), ("timeout", options.timeout, 0.001)):
        if value is not None and not value >= minimum:
            raise UsageError(f"--{flag} is {value}, and must be at least {minimum}", where="command line")
    return Limits(
        jobs=options.jobs,
        memory=memory,
        seconds=options.timeout,
        fail_fast=options.fail_fast,
        offline=options.offline,
    )
