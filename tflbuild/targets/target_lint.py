"""The step `lint_target`: comparison of an artifact with the support table of a target, if nothing can run it."""

from __future__ import annotations

from dataclasses import replace

from tflbuild.core.verdict import UNPROVEN, Verdict
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.targets.common.cpu_comparison import write_verdict
from tflbuild.targets.common.lint import lint
from tflbuild.targets.support_tables import TABLES
from tflbuild.tflite.tflite_reader import read_model


def run(request: StepRequest) -> Facts:
    """Write verdict.json, the verdict of the support table.

    A target without a table is unproven, because its vendor publishes no list of operators.

    Args:
        request: `params.target` has `name`, `table` and `version` of the target, and `params.to_prove` what a proof
            needs.

    Returns:
        The fact `verdict`.
    """
    target = request.params["target"]
    model = read_model(request.inputs["model"])
    if target["table"]:
        verdict = lint(TABLES[target["table"]], model, target["name"], target["version"])
    else:
        verdict = Verdict(
            target=target["name"],
            proof=UNPROVEN,
            how="no list of its supported operators is published, and its compiler is not installed",
            ops=sum(len(graph.ops) for graph in model.subgraphs),
        )
    return write_verdict(request, replace(verdict, to_prove=request.params["to_prove"]))
