"""The step `package`: the card, which says what the artifact is and how to feed it, and programs that do."""

from __future__ import annotations

import json
from typing import Any

from tflbuild.core.confidence_intervals import margin_digits
from tflbuild.core.figure_rounding import show_ratio
from tflbuild.core.figure_warnings import find_warnings, show_accuracy
from tflbuild.runtime.step_contract import Facts, StepRequest
from tflbuild.steps.packaging.runners import write_runners
from tflbuild.terminal.text_escaping import show_code, show_line, show_prose
from tflbuild.tflite.artifact_contents import fused_text, list_decisive_features, list_unknown_features

SHOWN_FEATURES = 3
LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int16": (-32768, 32767)}


def run(request: StepRequest) -> Facts:
    """Write card.md and runners/.

    Returns:
        The facts `bytes` and `float_bytes`, the sizes of artifact and float model.
    """
    check = request.read_json("check")
    verify = request.read_json("verify") if "verify" in request.inputs else None
    float_bytes = request.inputs["float"].stat().st_size
    lines = [f"# {show_prose(str(request.params['name']))}", "", *sizes(check, float_bytes), ""]
    for signature in check["signatures"]:
        lines += [*contract(signature), ""]
    lines += quick_start(check["signatures"][0])
    if verify is not None:
        lines += ["", *measured(verify)]
    (request.outputs / "card.md").write_text("\n".join(lines) + "\n")
    write_runners(request.outputs / "runners", str(request.params["name"]), check)
    return {"bytes": check["bytes"], "float_bytes": float_bytes}


def sizes(check: Any, float_bytes: int) -> list[str]:
    """Return the lines on sizes, operators, and requirements on the runtime."""
    operators = ", ".join(f"{show_prose(name)} x{count}" for name, count in check["operators"].items())
    lines = [
        f"- {check['bytes']:,} bytes; the float32 model has {float_bytes:,}",
        f"- operators: {operators}",
    ]
    if "weights" in check:
        lines += packed(check)
    if fused := fused_text(check):
        lines.append(f"- fused into them: {show_prose(fused)}")
    if check["least_runtime"]:
        decisive = "; ".join(list_decisive_features(check)[:SHOWN_FEATURES])
        lines.append(f"- needs TFLite {check['least_runtime']} or newer, for {show_prose(decisive)}")
    if unknown := list_unknown_features(check):
        lines.append(f"- no runtime was tried with {show_prose('; '.join(unknown))}")
    if check["flex_operators"]:
        lines.append(
            f"- needs a runtime with TensorFlow (Flex) operators: {show_prose(', '.join(check['flex_operators']))}"
        )
    if check["custom_operators"]:
        lines.append(f"- needs kernels that the app registers: {show_prose(', '.join(check['custom_operators']))}")
    if check["state_tensors"]:
        lines.append("- keeps state from call to call: `reset_all_variables()` before each sequence")
    return lines


def packed(check: Any) -> list[str]:
    """Return the lines on how well the weights of an optimized model compress."""
    weights = check["weights"]
    lines = [f"- {check['gzip_bytes']:,} bytes packed by gzip"]
    if weights["pruned"]:
        pairs = ", at least two of each four neighbours" if weights["in_pairs"] == 1 else ""
        lines.append(f"- {weights['zeros']:.1%} of its weights are zero{pairs} (depthwise kernels aside)")
    if weights["clustered"]:
        lines.append(
            f"- a channel has at most {weights['channel_distinct']} different weights (depthwise kernels aside)"
        )
    return lines


def contract(signature: Any) -> list[str]:
    """Return the table of inputs and outputs of a signature."""
    lines = [
        f"## Signature {show_code(signature['key'])}",
        "",
        "| | name | type | shape | real value |",
        "| --- | --- | --- | --- | --- |",
    ]
    for side in ("input", "output"):
        for tensor in signature[f"{side}s"]:
            value = "as it is"
            if tensor["scale"] is not None:
                value = f"({shifted('q', tensor['zero_point'])}) * {tensor['scale']:.9g}"
            lines.append(f"| {side} | {show_code(tensor['name'])} | {tensor['dtype']} | {tensor['shape']} | {value} |")
    return lines


def shifted(name: str, zero_point: int) -> str:
    """Return `name - zero_point` as text, without a double sign."""
    return f"{name} {'+' if zero_point < 0 else '-'} {abs(zero_point)}"


def quick_start(signature: Any) -> list[str]:
    """Return Python code that runs the artifact."""
    lines = [
        *(
            "## Feed it",
            "",
            "```python",
            "import numpy as np",
            "from ai_edge_litert.interpreter import Interpreter",
            "",
        ),
        f'runner = Interpreter("model.tflite").get_signature_runner({json.dumps(signature["key"])})',
        "feeds, results = {}, {}",
    ]
    for t in signature["inputs"]:
        shape = [size if size > 0 else 1 for size in t["shape"]]
        if t["dtype"] == "string":
            lines.append(f'feeds[{json.dumps(t["name"])}] = np.full({shape}, b"yours", object)')
            continue
        value = "values"
        if t["scale"] is not None:
            low, high = LIMITS[t["dtype"]]
            integers = shifted(f"np.rint(values / {t['scale']:.9g})", -t["zero_point"])
            value = f"np.clip({integers}, {low}, {high})"
        lines.append(f"values = np.zeros({shape}, np.float32)  # yours, for '{show_line(t['name'])}'")
        lines.append(f"feeds[{json.dumps(t['name'])}] = {value}.astype(np.{t['dtype']})")
    lines.append("outputs = runner(**feeds)")
    for t in signature["outputs"]:
        value = f"outputs[{json.dumps(t['name'])}]"
        if t["scale"] is not None:
            value = f"({shifted(f'{value}.astype(np.float32)', t['zero_point'])}) * {t['scale']:.9g}"
        lines.append(f"results[{json.dumps(t['name'])}] = {value}")
    return [*lines, "```"]


def measured(verify: Any) -> list[str]:
    """Return the lines on the results of verification."""
    lines = [f"## Measured against its source, {verify['samples']:,} samples", ""]
    accuracy = verify.get("classification")
    if accuracy:
        shown = {name: show_accuracy(name, accuracy, "±") for name in accuracy["intervals"] if name != "top1_drop"}
        lines.append(f"- top-1 {shown['top1']}, the source's {shown['top1_source']}")
        lines.append(f"- {show_drop(accuracy)}")
        lines.append(f"- top-{accuracy['top_k']} {shown['topk']}, the source's {shown['topk_source']}")
        lines.append(f"- both name the same class on {shown['agreement']}")
    for name, parity in verify["outputs"].items():
        lines.append(
            f"- output {show_code(name)}: max abs error {parity['max_abs_error']:.4g}, RMSE {parity['rmse']:.4g},"
            f" cosine {parity['cosine']:.6f}, SNR {show_ratio(parity['snr_db'])} dB{show_margin(parity)}"
        )
        lines += channel_lines(parity.get("channels"))
    lines += ["", "± is half the width of the 95 % interval."]
    warnings = find_warnings(verify)
    return [
        *lines,
        *(["", "Warnings:", ""] if warnings else []),
        *(f"- {show_prose(warning.text)}" for warning in warnings),
    ]


def show_drop(accuracy: Any) -> str:
    """Return the drop of top-1 in percentage points, with its margin and p-value."""
    interval = accuracy["intervals"]["top1_drop"]
    half = (interval["high"] - interval["low"]) / 2
    digits = margin_digits(half)
    return (
        f"top-1 falls by {100 * accuracy['top1_drop']:.{digits}f} points (±{100 * half:.{digits}f}): {accuracy['lost']}"
        f" samples lost, {accuracy['gained']} gained, p = {interval['p']:.2g} (McNemar's exact test)"
    )


def show_margin(parity: Any) -> str:
    """Return the margin of an SNR as text, "" if there is none."""
    interval = parity.get("snr_db_interval")
    return f" (±{(interval['high'] - interval['low']) / 2:.1f})" if interval else ""


def channel_lines(channels: Any) -> list[str]:
    """Return the table of an output's channels, the worst first, or no lines if channels do not differ."""
    if not channels:
        return []
    lines = [
        "",
        f"  Its channels (axis {channels['axis']}, -1 is the last) differ; SNR and correlation are about the mean:",
        "",
        "  | channel | least | greatest | SNR dB | correlation | max abs error |",
        "  | --- | --- | --- | --- | --- | --- |",
    ]
    for channel in channels["listed"]:
        values = [channel["low"], channel["high"]]
        cells = [str(channel["channel"]), *(f"{value:.4g}" for value in values), show_ratio(channel["snr_db"])]
        lines.append(
            "  | " + " | ".join([*cells, f"{channel['cosine']:.4f}", f"{channel['max_abs_error']:.4g}"]) + " |"
        )
    return [*lines, ""]
