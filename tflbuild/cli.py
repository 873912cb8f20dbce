"""The front door: arguments in, exit code out. The no-op build is answered here, before any import."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    drop_current_folder()
    from tflbuild.terminal.output_filters import install_output_filters
    from tflbuild.unchanged_build import read_unchanged_answer

    arguments = list(sys.argv[1:] if arguments is None else arguments)
    install_output_filters()
    recalled = read_unchanged_answer(arguments)
    if recalled is not None:
        answer, warnings = recalled
        print(answer, flush=True)
        print(warnings, end="", file=sys.stderr)
        sys.exit(0)
    from tflbuild.commands.main import run

    sys.exit(run(arguments))


def drop_current_folder() -> None:
    """Import nothing from the current folder: it may be a stranger's, and have a `hydra_plugins` or a `numpy.py`.

    `python -m` and an empty entry of PYTHONPATH put it on the path. It stays where PYTHONPATH names it.
    """
    here = os.path.realpath(".")
    named = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    if here not in named:
        sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != here]
