"""Pruning, weight clustering and quantization-aware training with tensorflow-model-optimization (tfmot)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

from tflbuild.runtime.step_contract import Facts, WorkerError
from tflbuild.steps.training.training import Training

KERNELS = {
    "Conv1D": "kernel",
    "Conv2D": "kernel",
    "Conv2DTranspose": "kernel",
    "Conv3D": "kernel",
    "Dense": "kernel",
    "Embedding": "embeddings",
    "SeparableConv2D": "pointwise_kernel",
}
# Layers for which tfmot supports the pattern two_of_four.
IN_GROUPS = ("Conv2D", "Dense")
TWO_OF_FOUR = (2, 4)
# The maximum number of updates of the pruning masks.
MASKS = 20
# The decay of tfmot's MovingAverageQuantizer.
EMA_DECAY = 0.999
# A range that is too narrow limits the values of later layers. Each round corrects the ranges of one more layer.
RANGE_ROUNDS = 4


@dataclass
class TrainingRecord:
    """The results of the training steps so far.

    Attributes:
        pruned: For each pruned layer, its name, the number of weights and the number of zeros.
        clustered: For each clustered layer, its name, the number of weights and the number of different values.
        losses: Training step -> the loss of each epoch.
    """

    pruned: list[Facts] = field(default_factory=list)
    clustered: list[Facts] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)


def prune(model: Any, training: Training, progress: TrainingRecord) -> Any:
    """Set the weights of the smallest magnitude to zero, in increasing number over the first half of the training.

    The schedule is the polynomial decay of Zhu and Gupta, arXiv:1710.01878. With the pattern two_of_four, two of each
    four consecutive weights become zero.

    Args:
        model: The tf_keras model.
        training: The training.
        progress: The record to which the results are added.

    Returns:
        The pruned model.

    Raises:
        WorkerError: No layer can be pruned, or too few weights became zero.
    """
    params = training.params
    pairs = params["pattern"] == "two_of_four"
    settings: dict[str, Any] = {"pruning_schedule": make_schedule(training, float(params["sparsity"]), pairs)}
    if pairs:
        settings["sparsity_m_by_n"] = TWO_OF_FOUR
    layer_names = find_layers(model, IN_GROUPS if pairs else tuple(KERNELS), "pruned")
    wrapped = wrap(model, layer_names, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, **settings))
    progress.losses["prune"] = training.fit(wrapped, [tfmot.sparsity.keras.UpdatePruningStep()])
    pruned = tfmot.sparsity.keras.strip_pruning(wrapped)
    for layer, weights in read_weights(pruned, layer_names):
        zeros = int((weights == 0).sum())
        progress.pruned.append({"layer": layer, "elements": weights.size, "zeros": zeros})
        if not pairs and zeros < int(float(params["sparsity"]) * weights.size):
            raise WorkerError(
                f"pruning made too few zeros in '{layer}': {zeros / weights.size:.1%} of {weights.size:,} weights",
                where="optimize.epochs",
                why=f"the recipe requires {params['sparsity']:.0%}, in {training.steps} training steps",
                next_step="train longer, with more epochs or a smaller batch",
            )
    return pruned


def make_schedule(training: Training, sparsity: float, pairs: bool) -> Any:
    """Return the schedule of the updates of pruning masks. The last update is in the middle of the training."""
    if pairs:
        return tfmot.sparsity.keras.ConstantSparsity(sparsity, begin_step=0, frequency=max(1, training.steps // MASKS))
    frequency = max(1, training.steps // 2 // MASKS)
    end = max(1, training.steps // 2 // frequency) * frequency
    return tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, begin_step=0, end_step=end, frequency=frequency)


def cluster(model: Any, training: Training, progress: TrainingRecord) -> Any:
    """Reduce the weights of each layer to a few different values. Weights that were pruned stay zero.

    Args:
        model: The tf_keras model.
        training: The training.
        progress: The record to which the results are added.

    Returns:
        The clustered model.

    Raises:
        WorkerError: No layer can be clustered.
    """
    clusters = int(training.params["clusters"])
    layer_names = find_layers(model, tuple(KERNELS), "clustered")
    chosen = [name for name, weights in read_weights(model, layer_names) if len(np.unique(weights)) > clusters]
    settings = {
        "number_of_clusters": clusters,
        "cluster_centroids_init": tfmot.clustering.keras.CentroidInitialization.LINEAR,
        "preserve_sparsity": bool(progress.pruned),
    }
    wrapped = wrap(model, chosen, lambda layer: tfmot.clustering.keras.cluster_weights(layer, **settings))
    progress.losses["cluster"] = training.fit(wrapped)
    clustered = tfmot.clustering.keras.strip_clustering(wrapped)
    for layer, weights in read_weights(clustered, layer_names):
        progress.clustered.append({"layer": layer, "elements": weights.size, "distinct": len(np.unique(weights))})
    return clustered


def train_quantized(model: Any, training: Training, progress: TrainingRecord) -> Any:
    """Train a model with simulated eight-bit quantization. Zeros and clusters of earlier training steps stay.

    Args:
        model: The tf_keras model.
        training: The training.
        progress: The record to which the results are added.

    Returns:
        The trained model, which contains its ranges.

    Raises:
        WorkerError: tfmot does not support the model.
    """
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    scheme = select_scheme(progress)
    try:
        quantized = tfmot.quantization.keras.quantize_apply(annotated, *([scheme] if scheme else []))
    except (ValueError, RuntimeError) as error:
        raise WorkerError(
            "quantization-aware training does not support this model",
            where="optimize.steps",
            why=str(error).strip().split("\n")[0][:500],
            next_step="remove `qat` from optimize.steps",
        ) from error
    start_ranges(quantized, training.first())
    progress.losses["qat"] = training.fit(quantized)
    return tfmot.experimental.combine.strip_clustering_cqat(quantized) if progress.clustered else quantized


def select_scheme(progress: TrainingRecord) -> Any:
    """Return tfmot's scheme that preserves zeros and clusters; None if there was no earlier training step."""
    schemes = tfmot.experimental.combine
    if progress.clustered:
        return schemes.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=bool(progress.pruned))
    return schemes.Default8BitPrunePreserveQuantizeScheme() if progress.pruned else None


STEPS: dict[str, Callable[[Any, Training, TrainingRecord], Any]] = {
    "prune": prune,
    "cluster": cluster,
    "qat": train_quantized,
}


def start_ranges(model: Any, fed: dict[str, tf.Tensor]) -> None:
    """Initialize the moving ranges with those of a few samples, instead of tfmot's -6 to 6.

    tfmot moves a range by a thousandth per training step, so after a short training, most of an arbitrary initial range
    would remain. The step that one call makes shows the range of the samples. All other variables are restored.

    Args:
        model: The tf_keras model with simulated quantization.
        fed: The inputs for the samples, by name.
    """
    ranges = {id(variable): variable for variable in model.variables if is_range(variable)}
    if not ranges:
        return
    for _ in range(RANGE_ROUNDS):
        old_values = [(variable, variable.numpy()) for variable in model.variables]
        model(fed, training=True)
        for variable, old in old_values:
            step = variable.numpy() - old
            variable.assign(old + step / (1 - EMA_DECAY) if id(variable) in ranges else old)


def is_range(variable: Any) -> bool:
    """Return whether a variable is an end of an activation's moving range. Ranges of weights do not count."""
    name: str = variable.name.split(":")[0]
    return name.endswith(("output_min", "output_max", "activation_min", "activation_max"))


def find_layers(model: Any, kinds: tuple[str, ...], participle: str) -> list[str]:
    """Return the names of the layers of some kinds. Raise WorkerError if there are none.

    Args:
        model: The tf_keras model.
        kinds: The classes of layers.
        participle: The word for the message: `pruned` or `clustered`.
    """
    names = [layer.name for layer in model.layers if type(layer).__name__ in kinds]
    if not names:
        model_kinds = ", ".join(sorted({type(layer).__name__ for layer in model.layers}))
        raise WorkerError(
            f"the model has no layer that can be {participle}",
            where="optimize.steps",
            why=f"supported layers: {', '.join(kinds)}; the model has: {model_kinds}",
            next_step="remove the step from optimize.steps",
        )
    return names


def wrap(model: Any, layer_names: list[str], wrapper: Callable[[Any], Any]) -> Any:
    """Return the model with some layers wrapped. The weights are shared, not copied."""
    return tf_keras.models.clone_model(
        model, clone_function=lambda layer: wrapper(layer) if layer.name in layer_names else layer
    )


def read_weights(model: Any, layer_names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the weights of each of these layers."""
    for name in layer_names:
        layer = model.get_layer(name)
        yield name, getattr(layer, KERNELS[type(layer).__name__]).numpy()
