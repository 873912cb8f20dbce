"""The command `doctor`: find fixes for a build that fails, and try each."""

from __future__ import annotations

import argparse
import sys

from tflbuild.commands.command_line import read_limits
from tflbuild.commands.command_words import build_command_line, require_one_variant
from tflbuild.errors import EXIT_DONE


def doctor(options: argparse.Namespace, arguments: list[str]) -> int:
    """Try fixes for a build that fails, and print which ones work."""
    from tflbuild.commands.doctor import diagnose
    from tflbuild.report.questions import doctor_text

    require_one_variant(options, "doctor")
    diagnosis = diagnose(options.overrides, read_limits(options))
    chosen = doctor_text.choose_fix(diagnosis.trials)
    if options.json:
        print(doctor_text.as_json(diagnosis.problem, diagnosis.trials))
    elif not diagnosis.problem:
        print("nothing is wrong: the recipe builds and passes its gates")
    else:
        print(diagnosis.problem, file=sys.stderr)
        print(
            doctor_text.make_trial_table(diagnosis.trials)
            if diagnosis.trials
            else "no automatic fix is known for this failure"
        )
        if chosen is not None:
            fitting_arguments = doctor_text.without_replaced(arguments, chosen)
            result = "works" if chosen.works else "builds"
            print(f"{result}  {build_command_line(fitting_arguments, 'doctor')} {chosen.command}")
        elif diagnosis.trials:
            print("none of these fixes passes")
    return EXIT_DONE if chosen is not None or not diagnosis.problem else 1
