"""What the figures of an artifact warn of: a model that has collapsed, and data that cannot show what is asked of them.

Derived from the facts of `verify` alone, so that manifest, screen, pages and search agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tflbuild.core.confidence_intervals import (
    CONFIDENCE,
    samples_to_show_drop,
    samples_to_show_share,
    show_share,
    wilson,
)
from tflbuild.core.digest import Json
from tflbuild.core.gates import ACCURACIES, Gate, accuracy_interval, is_lower_limit

LEAST_AGREEMENT = 0.5
LEAST_SNR_DB = 10.0
MOST_REPEATED = 0.01  # share of the evaluation samples
CHANCE_P = 0.05  # a predictor that always names one class does as well with at least this probability
SHOWN_CHANNELS = 6
MORE_PRECISE = "quantization=int16x8, or a rule that keeps its last operators in float32 (quantization.rules)"

DATA = ("samples", "repeated", "order", "chance_of_source")  # kinds that concern the evaluation, not the artifact


@dataclass(frozen=True)
class QualityWarning:
    """A warning in one line. With `collapsed`, the artifact's figures make it no candidate for a Pareto front.

    `kind` is the figure or the check that it comes from; those in `DATA` concern the evaluation samples or the source.
    """

    kind: str
    text: str
    collapsed: bool = True


def find_warnings(verify: Mapping[str, Json]) -> list[QualityWarning]:
    """Return what the facts of `verify` warn of: the data first, then the artifact."""
    warnings = [*warn_of_samples(verify)]
    if "classification" in verify:
        warnings += [*warn_of_labels(verify["classification"], verify["samples"])]
    for name, output in verify["outputs"].items():
        warnings += [*warn_of_output(name, output)]
    if not any(warning.kind == "channels" for warning in warnings):  # else it is said of the output itself
        warnings += [*warn_of_joins(verify.get("coarse_joins", ()))]
    return warnings


def is_collapsed(verify: Mapping[str, Json] | None) -> bool:
    """Return whether anything says that these figures make no candidate for a Pareto front."""
    return verify is not None and any(warning.collapsed for warning in find_warnings(verify))


def find_collapse(verify: Mapping[str, Json], limits: Sequence[str]) -> str:
    """Return why a search must not choose an artifact, "" where nothing is against it.

    `limits` are the names of what its budget limits: what a budget allows in so many words is no silent collapse.
    """
    names = {name.rpartition(".")[2] for name in limits}
    allowed = {"agreement"} & names
    if names & {"snr_db", *ACCURACIES}:
        allowed |= {"snr_db"}
    warnings = [one for one in find_warnings(verify) if one.collapsed and one.kind not in {*DATA, *allowed}]
    return warnings[0].text if warnings else ""


def warn_of_samples(verify: Mapping[str, Json]) -> Iterator[QualityWarning]:
    """Warn of too few samples, and of repeated ones."""
    samples, distinct = int(verify["samples"]), int(verify.get("distinct", verify["samples"]))
    if samples == 1:
        yield QualityWarning(
            "samples", "1 evaluation sample cannot show how the artifact does on others: give more (verify.dataset)"
        )
    elif distinct == 1:
        yield QualityWarning(
            "repeated", f"all {samples:,} evaluation samples are the same: give different ones (verify.dataset)"
        )
    elif samples - distinct > MOST_REPEATED * samples:
        yield QualityWarning(
            "repeated",
            f"only {distinct:,} of {samples:,} evaluation samples differ: figures look surer than they are;"
            " remove the repeated ones (verify.dataset)",
        )


def warn_of_labels(accuracy: Mapping[str, Json], samples: int) -> Iterator[QualityWarning]:
    """Warn where an accuracy shows nothing about the source or the artifact."""
    labels = accuracy.get("labels")
    if labels is None or samples == 1:
        return
    frequent = f"always naming class {labels['most_frequent']} ({100 * labels['share']:.1f} %)"
    if labels["classes"] == 1:
        text = (
            f"all {samples:,} labels are class {labels['most_frequent']}: accuracy cannot tell a model from a constant"
        )
        yield QualityWarning("chance_of_source", f"{text}; give samples of every class (verify.dataset)")
    elif labels["order"] is not None:
        yield QualityWarning("order", order_text(labels["order"]))
    elif labels["p_source"] > CHANCE_P:
        yield QualityWarning(
            "chance_of_source",
            f"the source's top-1 of {100 * accuracy['top1_source']:.1f} % on {samples:,} samples is not clearly better"
            f" than {frequent}: check labels, preprocessing (scale, offset) and verify.output, or give more samples",
        )
    if labels["named_artifact"] == 1 and labels["named_source"] > 1:
        yield QualityWarning(
            "constant",
            f"the artifact names one class for all samples, the source names {labels['named_source']}: the artifact has"
            f" collapsed; try {MORE_PRECISE}",
        )
    elif labels["p_source"] <= CHANCE_P < labels["p_artifact"] and labels["order"] is None:
        yield QualityWarning(
            "chance",
            f"the artifact's top-1 of {100 * accuracy['top1']:.1f} % is not clearly better than {frequent},"
            f" the source's {100 * accuracy['top1_source']:.1f} % is: it has collapsed; try {MORE_PRECISE}",
        )
    elif accuracy["agreement"] < LEAST_AGREEMENT:
        yield QualityWarning(
            "agreement",
            f"source and artifact name the same class on only {100 * accuracy['agreement']:.1f} % of the samples:"
            f" the artifact has collapsed; try {MORE_PRECISE}",
        )


def order_text(order: Mapping[str, Json]) -> str:
    """Return the warning of labels that seem to be permuted."""
    pairs = ", ".join(f"what the source names {name} is labelled {label}" for name, label in order["pairs"])
    return (
        f"labels look permuted: {pairs}; in that order its top-1 is {100 * order['top1_reordered']:.1f} %"
        f" and not {100 * order['top1']:.1f} %; compare the order of the dataset's classes (folders, label file) with"
        " the model's"
    )


def warn_of_output(name: str, output: Mapping[str, Json]) -> Iterator[QualityWarning]:
    """Warn of an output, or channels of it, in which the source's values are lost."""
    if output.get("constant"):
        yield QualityWarning(
            "constant", f"output '{name}' is the same for all samples, the source's is not; try {MORE_PRECISE}"
        )
        return
    channels = [*warn_of_channels(name, output["channels"])] if output.get("channels") else []
    yield from channels
    if output["snr_db"] < LEAST_SNR_DB and not channels:
        yield QualityWarning(
            "snr_db",
            f"output '{name}' has an SNR of {output['snr_db']:.1f} dB, less than {LEAST_SNR_DB:g}: it has collapsed;"
            f" try {MORE_PRECISE}",
        )


def warn_of_channels(name: str, channels: Mapping[str, Json]) -> Iterator[QualityWarning]:
    """Warn of channels that one scale for the whole tensor cannot represent, or that are lost for another reason."""
    axis = "last axis" if channels["axis"] == -1 else f"axis {channels['axis']}"
    whole = channels["channels"] == 1
    way_out = "" if whole else "split the output by units (boxes, scores), or "
    below, worst = channels["below"], channels["worst"]
    if below:
        what = f"output '{name}'" if whole else f"output '{name}', {list_channels(below)} ({axis})"
        yield QualityWarning(
            "channels",
            f"{what}: the source's values vary by less than two steps of the tensor's scale ({channels['step']:.4g}),"
            f" so they are lost; {way_out}{MORE_PRECISE}",
        )
        return
    lost = [one["channel"] for one in channels["listed"] if one["snr_db"] < LEAST_SNR_DB]
    lost = sorted({*lost, *channels["stuck"]})
    if lost:
        what = f"output '{name}'" if whole else f"output '{name}', {list_channels(lost)} ({axis})"
        yield QualityWarning(
            "channels",
            f"{what}: values that vary in the source are lost (SNR {worst['snr_db']:.1f} dB about the mean); {way_out}"
            f"{MORE_PRECISE}",
        )


def warn_of_joins(joins: Sequence[Mapping[str, Json]]) -> Iterator[QualityWarning]:
    """Warn of tensors inside the model that lose their values where they are joined with larger ones."""
    for join in joins:
        names = ", ".join(name.partition(";")[0] for name in join["inputs"])
        yield QualityWarning(
            "joins",
            f"'{join['name'].partition(';')[0]}' joins {names} with larger values: their whole range is less than two"
            f" steps of its scale ({join['step']:.4g}); try quantization=int16x8, or the rule"
            " {op: CONCATENATION, scheme: float32} (quantization.rules)",
            collapsed=False,
        )


def list_channels(channels: Sequence[int]) -> str:
    """Return `channel 4` or `channels 4, 5, 6`, cut short where there are many."""
    shown = ", ".join(str(channel) for channel in channels[:SHOWN_CHANNELS])
    more = f" and {len(channels) - SHOWN_CHANNELS} more" if len(channels) > SHOWN_CHANNELS else ""
    return f"channel{'s' if len(channels) > 1 else ''} {shown}{more}"


def warn_of_gates(gates: Sequence[Gate], verify: Mapping[str, Json]) -> Iterator[QualityWarning]:
    """Warn of gates on accuracies that are finer than the samples can show."""
    accuracy, samples = verify.get("classification"), int(verify["samples"])
    if accuracy is None or "lost" not in accuracy:
        return
    for gate in gates:
        confidence = gate.confidence or CONFIDENCE
        if gate.name == "top1_drop" and gate.limit > 0:
            width = accuracy_interval(gate.name, verify, confidence).half_width
            if width > gate.limit:
                lost, gained = int(accuracy["lost"]), int(accuracy["gained"])
                needed: int | None = max(
                    samples_to_show_drop(lost, gained, samples, gate.limit, confidence),
                    math.ceil(samples * (width / gate.limit) ** 2),  # a width falls with the root of the samples
                )
                shown = f"show a drop to +-{100 * width:.2g} points, and {gate.name}: {gate.limit:g} is finer"
                yield gate_warning(samples, shown, count_whole(needed, verify))
        elif gate.name in ("top1", "agreement") and is_lower_limit(gate.name):
            best = wilson(samples, samples, confidence).low
            if best < gate.limit:
                needed = samples_to_show_share(gate.limit, confidence)
                shown = (
                    f"show no more than {100 * best:.1f} % even where all are right, and {gate.name}: {gate.limit:g}"
                )
                yield gate_warning(samples, f"{shown} is finer", count_whole(needed, verify))


def count_whole(needed: int | None, verify: Mapping[str, Json]) -> int | None:
    """Return how many samples a dataset must have for `needed` of them to be in the part that was measured."""
    part = verify.get("part")
    return needed if part is None or needed is None else math.ceil(needed * part["of"] / verify["samples"])


def gate_warning(samples: int, shown: str, needed: int | None) -> QualityWarning:
    """Return the warning of a gate that is too fine for the data."""
    remedy = "choose a wider gate" if needed is None else f"give about {needed:,} samples, or a wider gate"
    return QualityWarning("gate", f"{samples:,} evaluation samples {shown}: {remedy}", collapsed=False)


def show_accuracy(name: str, accuracy: Mapping[str, Json], mark: str = "+-") -> str:
    """Return an accuracy of `verify` with half the width of its interval: `93.2 % (+-1.1)`."""
    interval = (accuracy.get("intervals") or {}).get(name)
    half = None if interval is None else (interval["high"] - interval["low"]) / 2
    return show_share(accuracy[name], half, mark)
