"""The step `lint_target`: an artifact held against a target's published rules, where nothing can run it."""

from __future__ import annotations

from dataclasses import replace

from tflbuild.core.verdict import UNPROVEN, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.targets.common.cpu_comparison import write_verdict
from tflbuild.targets.common.lint import lint
from tflbuild.targets.support_tables import TABLES
from tflbuild.tflite.tflite_reader import read_model


def run(request: StepRequest) -> Facts:
    """Outputs verdict.json. `params.target` has the target's name, table and version, `params.to_prove` what lacks.

    A target without a table is one whose operators nobody publishes: nothing is claimed of it.
    """
    target = request.params["target"]
    model = read_model(request.inputs["model"])
    if target["table"]:
        verdict = lint(TABLES[target["table"]], model, target["name"], target["version"])
    else:
        verdict = Verdict(
            target=target["name"],
            proof=UNPROVEN,
            how="no list of the operators that it takes is published, and what compiles for it is not installed",
            ops=sum(len(graph.ops) for graph in model.subgraphs),
        )
    return write_verdict(request, replace(verdict, to_prove=request.params["to_prove"]))
