"""The step `lint_target`: an artifact held against a target's published rules, where nothing can run it."""

from __future__ import annotations

from dataclasses import replace

from tflbuild.targets.lint import lint
from tflbuild.targets.tables import TABLES
from tflbuild.workers.contract import Facts, Request
from tflbuild.workers.flatbuffer import read_model
from tflbuild.workers.target_trial import finish


def run(request: Request) -> Facts:
    """Outputs verdict.json. `params.target` has the target's name, table and version, `params.to_prove` what lacks."""
    target = request.params["target"]
    verdict = lint(TABLES[target["table"]], read_model(request.inputs["model"]), target["name"], target["version"])
    return finish(request, replace(verdict, to_prove=request.params["to_prove"]))
