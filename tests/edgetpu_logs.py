"""Logs in the form of edgetpu_compiler 16.0, written by hand for models of ours. None was printed by the compiler."""

from __future__ import annotations

VERSION = "16.0.384591198"
HEAD = f"Edge TPU Compiler version {VERSION}\n"
STARTED = "Started a compilation timeout timer of 180 seconds.\n\n"
ENDED = "Compilation child process completed within timeout period.\nCompilation succeeded!\n"
PARTLY = (
    "Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will"
    " instead run on the CPU, which is slower. If possible, consider updating your model to use only operations"
    " supported by the Edge TPU. For details, visit g.co/coral/model-reqs.\n"
    "Number of operations that will run on Edge TPU: {mapped}\n"
    "Number of operations that will run on CPU: {left}\n"
)
CRASHED = f"{HEAD}{STARTED}\nInternal compiler error. Aborting! \n"
UNQUANTIZED = f"{HEAD}{STARTED}Invalid model: model.tflite\nModel not quantized\n"
LATE = f"{HEAD}{STARTED}Compilation timed out.\n"


def summary(ops: int, on_chip: str, left: str, off_chip: str, subgraphs: int = 1) -> str:
    return (
        "Model compiled successfully in 96 ms.\n\n"
        "Input model: model.tflite\nInput size: 7.02MiB\nOutput model: model_edgetpu.tflite\nOutput size: 7.14MiB\n"
        f"On-chip memory used for caching model parameters: {on_chip}\n"
        f"On-chip memory remaining for caching model parameters: {left}\n"
        f"Off-chip memory used for streaming uncached model parameters: {off_chip}\n"
        f"Number of Edge TPU subgraphs: {subgraphs}\nTotal number of operations: {ops}\n"
        "Operation log: model_edgetpu.log\n\n"
    )


def table(*rows: tuple[str, int, str]) -> str:
    lines = [f"{op:<30} {count:<10} {status}" for op, count, status in rows]
    return "\n".join(["Operator                       Count      Status", "", *lines, "", ""])


def log(*rows: tuple[str, int, str], on_chip: str = "80.00KiB", left: str = "6.04MiB", off_chip: str = "0.00B") -> str:
    """What `edgetpu_compiler -s` prints of a model that compiles."""
    mapped = sum(count for _, count, status in rows if status == "Mapped to Edge TPU")
    ops = sum(count for _, count, _ in rows)
    partly = PARTLY.format(mapped=mapped, left=ops - mapped) if mapped < ops else ""
    said = summary(ops, on_chip, left, off_chip, 1 if mapped else 0)
    return f"{HEAD}{STARTED}{said}{partly}\n{table(*rows)}{ENDED}"
