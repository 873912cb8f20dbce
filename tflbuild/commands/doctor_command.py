"""The command `doctor`: fixes for a build that fails, each tried."""

from __future__ import annotations

import argparse
import sys

from tflbuild.commands.command_line import read_limits
from tflbuild.commands.command_words import build_command_line, require_one_variant
from tflbuild.errors import EXIT_DONE


def doctor(options: argparse.Namespace, arguments: list[str]) -> int:
    """Try what may help a build that fails, and say what works."""
    from tflbuild.commands import doctor as clinic
    from tflbuild.report.questions import doctor_text

    require_one_variant(options, "doctor")
    found = clinic.diagnose(options.overrides, read_limits(options))
    chosen = doctor_text.choose_fix(found.trials)
    if options.json:
        print(doctor_text.as_json(found.problem, found.trials))
    elif not found.problem:
        print("nothing is wrong: the recipe builds as it is, and passes its gates")
    else:
        print(found.problem, file=sys.stderr)
        print(
            doctor_text.make_trial_table(found.trials) if found.trials else "no automatic fix is known for this failure"
        )
        if chosen is not None:
            kept = doctor_text.without_replaced(arguments, chosen)
            print(f"{'works' if chosen.works else 'builds'}  {build_command_line(kept, 'doctor')} {chosen.command}")
        elif found.trials:
            print("none of these passes")
    return EXIT_DONE if chosen is not None or not found.problem else 1
