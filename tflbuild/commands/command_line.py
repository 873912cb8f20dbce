"""The flags of the command line, and the limits of a run that some of them set."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from tflbuild import __version__
from tflbuild.errors import UsageError

if TYPE_CHECKING:
    from tflbuild.execute.run_limits import Limits

VERBS = (
    *("build", "plan", "explain", "doctor", "sensitivity", "advise", "benchmark"),
    *("inspect", "targets", "report", "cache"),
)
REPORT_USAGE = "tflbuild report [SWEEP ...] [--since REV] [output_root=FOLDER]"


class _Parser(argparse.ArgumentParser):
    """Refuses a wrong flag the way everything wrong is refused."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, where="command line", next_step="tflbuild --help")


def make_parser() -> argparse.ArgumentParser:
    """Hydra's flags, where they apply, and ours."""
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
    add("--jobs", "-j", type=int, help="Steps run at once; the number of cores when left out")
    add("--memory", help="What steps that run at once may take together, such as 8G; four fifths of what is free")
    add("--timeout", type=float, help="Seconds that a step may take; an hour when left out")
    add("--fail-fast", action="store_true", help="Begin nothing new after the first failure")
    add("--offline", action="store_true", help="Fetch nothing: what the store lacks is refused")
    add("--trust-store", action="store_true", help="Confirm, once, the shared store that the recipe names")
    add("--json", action="store_true", help="Print JSON instead of text")
    add("--as-recipe", action="store_true", help="With inspect: print a recipe for the model")
    add("--target", metavar="NAMES", help="With inspect: what these targets say of a .tflite, such as gpu,edgetpu")
    add("--since", metavar="REV", help="With report: every sweep made at that git revision or after it")
    add("--clear", action="store_true", help="With cache: empty the store")
    return parser


def read_limits(options: argparse.Namespace) -> Limits:
    """What the flags allow. Raises UsageError for none at all."""
    from tflbuild.core.byte_sizes import read_size
    from tflbuild.execute.run_limits import Limits

    memory = None if options.memory is None else read_size(options.memory)
    if options.memory is not None and memory is None:
        raise UsageError(f"--memory is '{options.memory}'", where="command line", next_step="a size such as 8G or 512M")
    for flag, value, least in (("jobs", options.jobs, 1), ("timeout", options.timeout, 0.001)):
        if value is not None and not value >= least:
            raise UsageError(f"--{flag} is {value}, and must be at least {least}", where="command line")
    return Limits(
        jobs=options.jobs,
        memory=memory,
        seconds=options.timeout,
        fail_fast=options.fail_fast,
        offline=options.offline,
    )
