"""The front door: arguments in, exit code out. The no-op build is answered here, before any import."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tflbuild.unchanged import recall


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    recalled = recall(arguments)
    if recalled is not None:
        answer, warnings = recalled
        print(answer, flush=True)
        print(warnings, end="", file=sys.stderr)
        sys.exit(0)
    from tflbuild.commands import run

    sys.exit(run(arguments))
