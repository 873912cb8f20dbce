"""Entry point of the command line. It answers an unchanged build before it imports anything else."""

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
    unchanged = read_unchanged_answer(arguments)
    if unchanged is not None:
        answer, warnings = unchanged
        print(answer, flush=True)
        print(warnings, end="", file=sys.stderr)
        sys.exit(0)
    from tflbuild.commands.main import run

    sys.exit(run(arguments))


def drop_current_folder() -> None:
    """Remove the current folder from Python's module search path, unless PYTHONPATH names it.

    `python -m` and an empty entry of PYTHONPATH add it. The folder may be untrusted, and contain modules such as
    `hydra_plugins` or `numpy.py`.
    """
    current = os.path.realpath(".")
    python_path = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}
    if current not in python_path:
        sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != current]
