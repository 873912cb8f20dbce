"""Warn of parts of a recipe that probably contradict each other, according to what was measured.

Certain contradictions are refused before anything runs (`config.freezing.contradictions` and
`config.freezing.preprocessing_checks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tflbuild.core.affine_maps import PIXELS
from tflbuild.core.digest import Json

KEYS = {
    "calibration samples": "dataset",
    "training samples": "optimize.dataset",
    "evaluation samples": "verify.dataset",
}
DIFFER = 4.0  # times: ranges of samples of one distribution differ by less, 0..1 and 0..255 by 255
DECLARED_DIFFER = 1.5  # times, where the recipe declares different scales for them
NEGATIVE = 0.2  # of a range: so far below 0 it must reach to be told from one that begins at 0
LARGE = 20.0  # a normalised pixel is within -3 to 3
GENEROUS_DROP = 0.2  # 20 points: who writes 0.5 means half a point
USUAL_TOP_K = 5

Manifest = Mapping[str, Json]


def list_likely_mistakes(manifest: Manifest) -> list[str]:
    """Return the warnings of a build."""
    return [
        *warn_of_few_samples(manifest),
        *warn_of_ranges(manifest),
        *warn_of_metadata(manifest),
        *warn_of_pictures(manifest),
        *warn_of_classes(manifest),
        *warn_of_gates(manifest),
        *warn_of_search(manifest),
    ]


def inputs_of(manifest: Manifest, role: str) -> Mapping[str, Mapping[str, float]]:
    """Return the minimum, maximum and other figures of the values of each input."""
    figures: Mapping[str, Mapping[str, float]] = manifest.get("samples", {}).get(role, {}).get("inputs", {})
    return figures


def warn_of_few_samples(manifest: Manifest) -> Iterator[str]:
    """Warn of activation ranges that come from a single sample."""
    samples = manifest.get("samples", {}).get("calibration samples", {})
    if samples.get("distinct") == 1:
        count = samples["count"]
        description = "1 sample" if count == 1 else f"{count:,} samples that are all equal"
        yield f"activation ranges were measured on {description}: give dataset more, `tflbuild advise` says how many"


def warn_of_ranges(manifest: Manifest) -> Iterator[str]:
    """Warn of calibration or training samples that are scaled differently from evaluation samples."""
    evaluated = inputs_of(manifest, "evaluation samples")
    for role in ("calibration samples", "training samples"):
        for name, used in inputs_of(manifest, role).items():
            other = evaluated.get(name)
            if other is not None and are_scaled_apart(used, other, factor_of(manifest, role)):
                yield (
                    f"the {role} of input '{name}' range from {show(used)}, the evaluation samples from {show(other)}:"
                    f" make sure that {KEYS[role]} and verify.dataset have the same scale, offset, mean and std"
                )


def factor_of(manifest: Manifest, role: str) -> float:
    """Return the factor by which ranges must differ. It is smaller if the recipe declares different scales."""
    recipe = manifest.get("recipe", {})
    used = recipe.get("dataset") if role == "calibration samples" else (recipe.get("optimize") or {}).get("dataset")
    evaluated = recipe.get("verify", {}).get("dataset")
    if not used or not evaluated:
        return DIFFER
    scales = [(one["scale"], one["offset"]) for one in (used, evaluated)]
    return DECLARED_DIFFER if None not in (scales[0][0], scales[1][0]) and scales[0] != scales[1] else DIFFER


def are_scaled_apart(ours: Mapping[str, float], theirs: Mapping[str, float], factor: float) -> bool:
    """Return whether two ranges belong to differently scaled samples, by width and spread, or by their minimum."""
    sizes = [(one["high"] - one["low"], one["std"]) for one in (ours, theirs)]
    if not all(map(all, sizes)):
        return False
    if all(max(pair) / min(pair) > factor for pair in zip(*sizes, strict=True)):
        return True
    lower, upper = sorted((ours, theirs), key=lambda one: one["low"])
    reach = lower["high"] - lower["low"]
    begins_apart = lower["low"] < -NEGATIVE * reach and upper["low"] >= 0
    return begins_apart and abs(ours["mean"] - theirs["mean"]) > NEGATIVE * reach


def show(values: Mapping[str, float]) -> str:
    """Return a range as text, such as `0 to 255`."""
    return f"{values['low']:.4g} to {values['high']:.4g}"


def warn_of_metadata(manifest: Manifest) -> Iterator[str]:
    """Warn of metadata by which an app would feed values in another range than the evaluation samples."""
    described = ((manifest.get("recipe", {}).get("metadata") or {}).get("described") or {}).get("inputs", {})
    for name, values in inputs_of(manifest, "evaluation samples").items():
        declared = described.get(name, {})
        yield from warn_of_normalization(name, declared, values)
        least, greatest = (declared.get(side) for side in ("min", "max"))
        below = least and values["low"] < min(least) - NEGATIVE * (values["high"] - values["low"])
        above = greatest and values["high"] > max(greatest) + NEGATIVE * (values["high"] - values["low"])
        if below or above:
            yield (
                f"metadata.inputs.{name} declares min {least} and max {greatest}, and the evaluation samples range"
                f" from {show(values)}: correct one of them"
            )


def warn_of_normalization(name: str, declared: Mapping[str, Any], values: Mapping[str, float]) -> Iterator[str]:
    """Warn if mean and std turn pixels into another range than that of the samples."""
    mean, std = declared.get("mean") or [0.0], declared.get("std") or [1.0]
    if declared.get("content", "image") != "image" or not (declared.get("mean") or declared.get("std")):
        return
    ends = [(pixel - middle) / deviation for middle in mean for deviation in std for pixel in PIXELS]
    least, greatest = min(ends), max(ends)
    width = values["high"] - values["low"]
    if not width or width > DIFFER * (greatest - least) or greatest - least > DIFFER * DIFFER * width:
        yield (
            f"metadata.inputs.{name} tells an app to feed {least:.4g} to {greatest:.4g} (pixels from 0 to 255, minus"
            f" mean, divided by std), and the evaluation samples"
            f" range from {show(values)}: give mean and std for 0 to 255"
        )


def warn_of_pictures(manifest: Manifest) -> Iterator[str]:
    """Warn of images that are resized or cropped in two ways, and of normalisation in another unit than pixels'."""
    recipe = manifest.get("recipe", {})
    evaluated = recipe.get("verify", {}).get("dataset") or {}
    trained = (recipe.get("optimize") or {}).get("dataset") or {}
    for key, used in (("dataset", recipe.get("dataset") or {}), ("optimize.dataset", trained)):
        for name in ("resize", "crop"):
            ours, theirs = (one.get("options", {}).get(name) for one in (used, evaluated))
            if ours and theirs and ours != theirs:
                yield (f"{key}.{name} is {ours} and verify.dataset.{name} is {theirs}: set both to what the app does")
    options = evaluated.get("options", {})
    for name, values in inputs_of(manifest, "evaluation samples").items():
        if (options.get("mean") or options.get("std")) and max(abs(values["low"]), abs(values["high"])) > LARGE:
            yield (
                f"input '{name}' is normalised to {show(values)}: mean and std are in another unit than the pixels;"
                " `verify.dataset.scale` comes first (0.00392156862745098 makes pixels 0 to 1)"
            )


def warn_of_classes(manifest: Manifest) -> Iterator[str]:
    """Warn of class folders that are fewer than the model's classes, and of a top-k accuracy that cannot be wrong."""
    accuracy = (manifest.get("metrics", {}).get("verify") or {}).get("classification") or {}
    classes = accuracy.get("classes")
    if not classes:
        return
    verify = manifest.get("recipe", {}).get("verify", {})
    folders = manifest.get("samples", {}).get("evaluation samples", {}).get("classes") or []
    listed = ((verify.get("dataset") or {}).get("options") or {}).get("classes")
    if folders and not listed and len(folders) != classes:
        yield (
            f"verify.dataset has {len(folders)} class folders, and output '{accuracy['output']}' has {classes} classes:"
            " a label is the place of its folder by name; if that is right, list them in verify.dataset.classes"
        )
    if verify.get("top_k", USUAL_TOP_K) not in range(classes) and verify.get("top_k") != USUAL_TOP_K:
        yield (
            f"verify.top_k is {verify['top_k']}, and output '{accuracy['output']}' has {classes} classes: top-{classes}"
            f" is always right; top-{classes - 1} is reported, set verify.top_k to that or less"
        )


def warn_of_gates(manifest: Manifest) -> Iterator[str]:
    """Warn of a gate that was probably meant in percent."""
    for gate in manifest.get("gates", ()):
        if gate["name"] == "top1_drop" and gate["limit"] > GENEROUS_DROP:
            yield (
                f"verify.gates.top1_drop={gate['limit']:g} allows {100 * gate['limit']:g} points less: it is a share,"
                " and 0.01 is one point"
            )


def warn_of_search(manifest: Manifest) -> Iterator[str]:
    """Warn of a budget that is missed on samples which the search did not see, and where there are too few of them."""
    search = manifest.get("search") or {}
    for text in search.get("missed", ()):
        yield (
            f"on samples that the search did not see, {text}: leave a margin in quantization.budget,"
            " or make it a gate (verify.gates), which fails the build"
        )
    if "unsplit" in search.get("part", {}):
        yield (
            f"quantization=auto selected and reported on the same samples, which flatters the artifact:"
            f" {search['part']['unsplit']}"
        )
