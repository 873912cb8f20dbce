"""Check that the parts of a recipe that scale an input do not contradict each other.

Datasets (`scale`, `offset`, `mean`, `std`), the graph (`signature.preprocess`) and the artifact's metadata (`mean`,
`std`) describe one map from raw values to the model's input. If two of them contradict each other, the recipe is
refused before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tflbuild.config.composing.recipe_errors import RecipeErrors
from tflbuild.core.affine_maps import Affine, dataset_map, metadata_maps, preprocess_map
from tflbuild.core.recipe import Dataset, Recipe

# Arrays hold pixels as integers of 8 bits, as shares from 0 to 1, or as integers of 16 bits.
VALUES_PER_PIXEL = (1.0, 1.0 / 255.0, 257.0)
SHRINKS = 1.0 / 16.0  # a gain below makes integers of 8 bits small; two of them in a row are one too many
MARGIN = 0.05  # of the values' range: how far beyond it a mean may lie
AUDIO_CHANNELS = 1  # an audio folder is read as mono


def check_preprocessing(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Raise RecipeError for the first two parts of a recipe that contradict each other about an input."""
    for key, dataset in datasets_of(recipe):
        check_mean(key, dataset, refusals)
        check_twice(recipe, key, dataset, refusals)
        check_metadata(recipe, key, dataset, refusals)
        check_audio(recipe, key, dataset, refusals)
    check_graph(recipe, refusals)
    for (key, dataset), (other_key, other) in pairs_of(recipe):
        check_pair(key, dataset, other_key, other, refusals)


def datasets_of(recipe: Recipe) -> Iterator[tuple[str, Dataset]]:
    """Yield (key, dataset) of the datasets with samples. Random numbers are used without scaling, and are left out."""
    training = None if recipe.optimize is None else recipe.optimize.dataset
    for key, dataset in (
        ("dataset", recipe.dataset),
        ("optimize.dataset", training),
        ("verify.dataset", recipe.verify.dataset),
    ):
        if dataset is not None and dataset.kind != "synthetic":
            yield key, dataset


def pairs_of(recipe: Recipe) -> Iterator[tuple[tuple[str, Dataset], tuple[str, Dataset]]]:
    """Yield each two datasets of one kind."""
    known = list(datasets_of(recipe))
    for place, first in enumerate(known):
        for second in known[place + 1 :]:
            if first[1].kind == second[1].kind:
                yield first, second


def check_mean(key: str, dataset: Dataset, refusals: RecipeErrors) -> None:
    """Refuse a mean above all values that it is subtracted from, as 127.5 is after a scale of 1/255."""
    mean: Sequence[float] = dataset.options.get("mean") or []
    if not mean:
        return
    scale = 1.0 if dataset.scale is None else dataset.scale
    require_mean_within(f"{key}.mean", mean, Affine((scale,), (dataset.offset or 0.0,)), refusals)


def require_mean_within(key: str, mean: Sequence[float], before: Affine, refusals: RecipeErrors) -> None:
    """Raise RecipeError for a mean that is larger than all pixels before it is subtracted."""
    least, greatest = before.range_of()
    if max(mean) > greatest + MARGIN * (greatest - least):
        raise refusals.refuse(
            f"'{key}' is {list(mean)}, above all values that it is subtracted from",
            key,
            why=f"`scale` comes first, and makes of pixels from 0 to 255 values from {least:.4g} to {greatest:.4g}",
            next_step="give mean and std in the unit after `scale`, or leave `scale` out",
        )


def check_graph(recipe: Recipe, refusals: RecipeErrors) -> None:
    """Refuse what the graph does to an input where its mean cannot be meant, or metadata have an app do it before."""
    for signature in (recipe.signature, *recipe.more_signatures):
        place = "signature" if signature is recipe.signature else f"signature.more.{signature.key}"
        for one in signature.preprocess:
            if one.dtype in ("uint8", "int8") or one.scale <= 1.0 / 128.0:
                key = f"{place}.preprocess.{one.input}.mean"
                require_mean_within(key, one.mean, Affine((one.scale,)), refusals)
    told = metadata_maps(recipe)
    for one in recipe.signature.preprocess:
        _, declared = told.get(one.input, ("", Affine()))
        if not declared.is_identity and not preprocess_map(one).is_identity:
            raise refusals.refuse(
                f"input '{one.input}' would be normalised twice: by the app and in the graph",
                f"metadata.inputs.{one.input}.mean",
                why=f"metadata tell an app to feed {declared.text()},"
                f" and signature.preprocess computes {preprocess_map(one).text()}",
                next_step=f"leave metadata.inputs.{one.input}.mean and .std out: the artifact takes raw values",
            )


def check_twice(recipe: Recipe, key: str, dataset: Dataset, refusals: RecipeErrors) -> None:
    """Refuse a dataset that scales values down before the graph does."""
    fed = dataset_map(dataset)
    if fed is None or fed.is_identity:
        return
    for one in recipe.signature.preprocess:
        inside = preprocess_map(one)
        both = min(map(abs, fed.gains)) < SHRINKS and min(map(abs, inside.gains)) < SHRINKS
        pixels = dataset.kind == "image_folder" and not inside.is_identity
        if both or pixels or (one.dtype in ("uint8", "int8") and min(map(abs, fed.gains)) < SHRINKS):
            raise refusals.refuse(
                f"'{key}' scales the values of input '{one.input}', which takes raw ones",
                f"{key}.scale",
                why=f"{key} feeds {fed.text()}; signature.preprocess.{one.input} takes {one.dtype}"
                f" and computes {inside.text()}",
                next_step=f"leave {key}.scale, .offset, .mean and .std out, or signature.preprocess",
            )


def check_metadata(recipe: Recipe, key: str, dataset: Dataset, refusals: RecipeErrors) -> None:
    """Refuse metadata by which an app feeds other values than the dataset does."""
    fed = dataset_map(dataset)
    if fed is None and dataset.kind == "image_folder":
        fed = Affine()
    if fed is None:
        return
    for name, (content, told) in metadata_maps(recipe).items():
        exact = dataset.kind == "image_folder" or content in ("audio", "feature")
        factors = (1.0,) if exact else VALUES_PER_PIXEL
        if any(fed.scaled(factor).equals(told) for factor in factors):
            continue
        of_dataset, of_metadata = (one.range_of() for one in (fed, told))
        raise refusals.refuse(
            f"metadata and {key} normalise input '{name}' differently",
            f"metadata.inputs.{name}.mean",
            why=f"metadata tell an app to feed {told.text()} (pixels become {show_range(of_metadata)}),"
            f"\n{key} feeds {fed.text()} (pixels become {show_range(of_dataset)})",
            next_step="give both the same normalisation: (value - mean) / std is value * scale + offset"
            " with scale = 1/std and offset = -mean/std",
        )


def check_audio(recipe: Recipe, key: str, dataset: Dataset, refusals: RecipeErrors) -> None:
    """Refuse metadata that name another sample rate than the recordings have, or more channels."""
    if dataset.kind != "audio_folder" or recipe.metadata is None:
        return
    rate = dataset.options.get("sample_rate")
    for name, one in recipe.metadata.described.get("inputs", {}).items():
        if rate and one.get("sample_rate") not in (None, rate):
            raise refusals.refuse(
                f"metadata say {one['sample_rate']} samples a second of input '{name}', and {key} {rate}",
                f"metadata.inputs.{name}.sample_rate",
                next_step="give both the rate that the model was trained with",
            )
        if one.get("channels") not in (None, AUDIO_CHANNELS):
            raise refusals.refuse(
                f"metadata say {one['channels']} channels of input '{name}', and {key} feeds mono",
                f"metadata.inputs.{name}.channels",
                next_step="set it to 1, or feed the channels yourself: dataset=callable",
            )


def check_pair(key: str, dataset: Dataset, other_key: str, other: Dataset, refusals: RecipeErrors) -> None:
    """Refuse two datasets of one kind whose samples cannot both be what the model is fed."""
    same_file = dataset.path == other.path and dataset.call == other.call and dataset.arrays == other.arrays
    first, second = (dataset_map(one) or Affine() for one in (dataset, other))
    if (dataset.kind == "image_folder" or same_file) and not first.equals(second):
        raise refusals.refuse(
            f"{key} and {other_key} feed the same values differently",
            f"{key}.scale",
            why=f"{key} feeds {first.text()} (pixels become {show_range(first.range_of())}),"
            f"\n{other_key} feeds {second.text()} (pixels become {show_range(second.range_of())})",
            next_step=f"give {key} and {other_key} the same scale, offset, mean and std",
        )
    for name in ("layout", "sample_rate"):
        ours, theirs = dataset.options.get(name), other.options.get(name)
        if ours and theirs and ours != theirs:
            raise refusals.refuse(
                f"'{key}.{name}' is {ours}, and '{other_key}.{name}' is {theirs}",
                f"{key}.{name}",
                why="both feed the same input",
                next_step="set both to what the model was trained with",
            )
    check_columns(key, dataset, other_key, other, refusals)


def check_columns(key: str, dataset: Dataset, other_key: str, other: Dataset, refusals: RecipeErrors) -> None:
    """Refuse the same columns of a CSV file in another order."""
    ours, theirs = (one.options.get("columns") or {} for one in (dataset, other))
    for name in ours.keys() & theirs.keys():
        if ours[name] != theirs[name] and sorted(ours[name]) == sorted(theirs[name]):
            raise refusals.refuse(
                f"{key} and {other_key} feed the columns of input '{name}' in different orders",
                f"{key}.columns.{name}",
                why=f"{key}: {', '.join(ours[name])}\n{other_key}: {', '.join(theirs[name])}",
                next_step="give both the order that the model was trained with",
            )


def show_range(ends: tuple[float, float]) -> str:
    """Return `-1 to 1`."""
    return f"{ends[0]:.4g} to {ends[1]:.4g}"
