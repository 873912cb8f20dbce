"""Pruning, clustering and quantization-aware training, as tensorflow-model-optimization does them."""

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
IN_GROUPS = ("Conv2D", "Dense")  # layers whose weights are pruned two of four
TWO_OF_FOUR = (2, 4)
MASKS = 20  # how often, at most, the share of zeros grows on its way
EMA_DECAY = 0.999  # of tfmot's MovingAverageQuantizer
RANGE_ROUNDS = 4  # each round sees one layer more behind a range that was too narrow


@dataclass
class TrainingRecord:
    """What was asked of which layers so far; `pruned` and `clustered` are by layer."""

    pruned: list[Facts] = field(default_factory=list)
    clustered: list[Facts] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)


def prune(model: Any, training: Training, progress: TrainingRecord) -> Any:
    """Weights of least magnitude become zero, more and more over the first half of the training.

    Zhu and Gupta, arXiv:1710.01878, polynomial decay; with the pattern two_of_four two of each four neighbours.
    """
    params = training.params
    pairs = params["pattern"] == "two_of_four"
    settings: dict[str, Any] = {"pruning_schedule": schedule(training, float(params["sparsity"]), pairs)}
    if pairs:
        settings["sparsity_m_by_n"] = TWO_OF_FOUR
    chosen = names_of(model, IN_GROUPS if pairs else tuple(KERNELS), "pruned")
    wrapped = wrap(model, chosen, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, **settings))
    progress.losses["prune"] = training.fit(wrapped, [tfmot.sparsity.keras.UpdatePruningStep()])
    done = tfmot.sparsity.keras.strip_pruning(wrapped)
    for layer, weights in weights_of(done, chosen):
        zeros = int((weights == 0).sum())
        progress.pruned.append({"layer": layer, "elements": weights.size, "zeros": zeros})
        if not pairs and zeros < int(float(params["sparsity"]) * weights.size):
            raise WorkerError(
                f"pruning left too few zeros in '{layer}': {zeros / weights.size:.1%} of {weights.size:,} weights",
                where="optimize.epochs",
                why=f"{params['sparsity']:.0%} was asked for, in {training.steps} training steps",
                next_step="train longer: more epochs, or a smaller batch",
            )
    return done


def schedule(training: Training, sparsity: float, pairs: bool) -> Any:
    """When masks are made anew. The last one falls in the middle of the training."""
    if pairs:
        return tfmot.sparsity.keras.ConstantSparsity(sparsity, begin_step=0, frequency=max(1, training.steps // MASKS))
    frequency = max(1, training.steps // 2 // MASKS)
    end = max(1, training.steps // 2 // frequency) * frequency
    return tfmot.sparsity.keras.PolynomialDecay(0.0, sparsity, begin_step=0, end_step=end, frequency=frequency)


def cluster(model: Any, training: Training, progress: TrainingRecord) -> Any:
    """Weights of a layer share few values. Where it was pruned, zero stays zero."""
    clusters = int(training.params["clusters"])
    found = names_of(model, tuple(KERNELS), "clustered")
    chosen = [name for name, weights in weights_of(model, found) if len(np.unique(weights)) > clusters]
    settings = {
        "number_of_clusters": clusters,
        "cluster_centroids_init": tfmot.clustering.keras.CentroidInitialization.LINEAR,
        "preserve_sparsity": bool(progress.pruned),
    }
    wrapped = wrap(model, chosen, lambda layer: tfmot.clustering.keras.cluster_weights(layer, **settings))
    progress.losses["cluster"] = training.fit(wrapped)
    done = tfmot.clustering.keras.strip_clustering(wrapped)
    for layer, weights in weights_of(done, found):
        progress.clustered.append({"layer": layer, "elements": weights.size, "distinct": len(np.unique(weights))})
    return done


def train_quantized(model: Any, training: Training, progress: TrainingRecord) -> Any:
    """Quantization-aware training, eight bits; zeros and clusters of the steps before are kept."""
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    scheme = keeping_scheme(progress)
    try:
        quantized = tfmot.quantization.keras.quantize_apply(annotated, *([scheme] if scheme else []))
    except (ValueError, RuntimeError) as error:
        raise WorkerError(
            "quantization-aware training does not take this model",
            where="optimize.steps",
            why=str(error).strip().split("\n")[0][:500],
            next_step="leave `qat` out of optimize.steps",
        ) from error
    start_ranges(quantized, training.first())
    progress.losses["qat"] = training.fit(quantized)
    return tfmot.experimental.combine.strip_clustering_cqat(quantized) if progress.clustered else quantized


def keeping_scheme(progress: TrainingRecord) -> Any:
    """tfmot's scheme that keeps what earlier steps made, None where there were none."""
    known = tfmot.experimental.combine
    if progress.clustered:
        return known.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=bool(progress.pruned))
    return known.Default8BitPrunePreserveQuantizeScheme() if progress.pruned else None


STEPS: dict[str, Callable[[Any, Training, TrainingRecord], Any]] = {
    "prune": prune,
    "cluster": cluster,
    "qat": train_quantized,
}


def start_ranges(model: Any, fed: dict[str, tf.Tensor]) -> None:
    """Let moving ranges begin where these samples lie, in place of tfmot's -6 to 6.

    tfmot moves a range by a thousandth a step, so that a short training would keep most of a range that
    was made up. One call shows what a step adds; all other variables are put back.
    """
    moving = {id(one): one for one in model.variables if is_range(one)}
    if not moving:
        return
    for _ in range(RANGE_ROUNDS):
        before = [(one, one.numpy()) for one in model.variables]
        model(fed, training=True)
        for one, old in before:
            step = one.numpy() - old
            one.assign(old + step / (1 - EMA_DECAY) if id(one) in moving else old)


def is_range(variable: Any) -> bool:
    """Whether a variable is an end of an activation's moving range; weights have ranges of their own."""
    name: str = variable.name.split(":")[0]
    return name.endswith(("output_min", "output_max", "activation_min", "activation_max"))


def names_of(model: Any, kinds: tuple[str, ...], what: str) -> list[str]:
    """The layers that can be pruned or clustered. Raises WorkerError where there is none."""
    found = [layer.name for layer in model.layers if type(layer).__name__ in kinds]
    if not found:
        has = ", ".join(sorted({type(layer).__name__ for layer in model.layers}))
        raise WorkerError(
            f"the model has no layer that can be {what}",
            where="optimize.steps",
            why=f"these can: {', '.join(kinds)}; it has: {has}",
            next_step="leave the step out",
        )
    return found


def wrap(model: Any, chosen: list[str], wrapper: Callable[[Any], Any]) -> Any:
    """The model with these layers wrapped; weights are shared, not copied."""
    return tf_keras.models.clone_model(
        model, clone_function=lambda layer: wrapper(layer) if layer.name in chosen else layer
    )


def weights_of(model: Any, chosen: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """(layer, its weights) of these layers."""
    for name in chosen:
        layer = model.get_layer(name)
        yield name, getattr(layer, KERNELS[type(layer).__name__]).numpy()
