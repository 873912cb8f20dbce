"""Training on declared samples: the same batches in the same order, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tflbuild.runtime import step_progress
from tflbuild.runtime.step_contract import WorkerError
from tflbuild.steps.datasets.sample_files import Arrays, count_samples
from tflbuild.steps.sources.preprocess import add_preprocessing
from tflbuild.tflite.signature_checks import SourceTensorSpec, Specs

THREADS = 4  # fixed: how sums are split among threads decides their last bits
PROBABILITY_TOLERANCE = 1e-3
LOOKED_AT = 32  # samples that are looked at before training starts

OPTIMIZERS = {
    "adam": tf_keras.optimizers.Adam,
    "sgd": tf_keras.optimizers.SGD,
    "rmsprop": tf_keras.optimizers.RMSprop,
}


def fix_randomness(seed: int) -> None:
    """Before the first operation: seeds of Python, NumPy and TensorFlow, ordered kernels, a fixed number of threads."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(seed)


@dataclass(frozen=True)
class Training:
    """The samples, what they are compared with, and for how long.

    `inputs` are what the artifact is fed, samples first; `models` what the model itself takes, by input
    name. `source` is the model in tf_keras as it was; its outputs are the targets of the loss
    `source_mse`, `labels` those of the others.
    """

    params: Mapping[str, Any]
    inputs: Arrays
    labels: np.ndarray | None
    preprocess: Sequence[Mapping[str, Any]]
    models: Specs
    source: Any

    @property
    def steps_per_epoch(self) -> int:
        return -(-count_samples(self.inputs) // int(self.params["batch"]))

    @property
    def steps(self) -> int:
        return self.steps_per_epoch * int(self.params["epochs"])

    def feed(self, indices: Any) -> dict[str, tf.Tensor]:
        """These samples as the model takes them."""
        fed = {name: tf.constant(np.asarray(array[indices])) for name, array in self.inputs.items()}
        for one in self.preprocess:
            name = one["input"]
            fed[name] = add_preprocessing(
                fed[name], one, SourceTensorSpec((None, *(self.models[name].shape or ())[1:]), self.models[name].dtype)
            )
        return fed

    def first(self) -> dict[str, tf.Tensor]:
        """A few samples."""
        return self.feed(np.arange(min(LOOKED_AT, count_samples(self.inputs))))

    def targets(self, indices: Any, fed: Mapping[str, tf.Tensor]) -> Any:
        """What the model shall give for them."""
        if self.params["loss"] == "source_mse":
            return self.source(fed, training=False)
        assert self.labels is not None
        return tf.constant(self.labels[indices])

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """All epochs, each in an order of its own."""
        count, batch = count_samples(self.inputs), int(self.params["batch"])
        step_progress.expect(self.steps)
        for epoch in range(int(self.params["epochs"])):
            order = np.random.default_rng([int(self.params["seed"]), epoch]).permutation(count)
            for start in step_progress.track(range(0, count, batch), 0):
                indices = np.sort(order[start : start + batch])  # sorted: mapped files are read forwards
                fed = self.feed(indices)
                yield fed, self.targets(indices, fed)

    def fit(self, model: Any, callbacks: Sequence[Any] = ()) -> list[float]:
        """Train in place; the loss of each epoch. Raises WorkerError when it is no number."""
        rate = float(self.params["learning_rate"])
        falling = tf_keras.optimizers.schedules.PolynomialDecay(rate, self.steps, end_learning_rate=0.0)
        model.compile(OPTIMIZERS[self.params["optimizer"]](falling), loss(self.params["loss"]))
        done = model.fit(
            self.batches(),
            steps_per_epoch=self.steps_per_epoch,
            epochs=int(self.params["epochs"]),
            callbacks=list(callbacks),
            verbose=2,
        )
        losses = [float(value) for value in done.history["loss"]]
        if not all(np.isfinite(values).all() for values in (losses, *model.get_weights())):
            raise WorkerError(
                "training does not converge: the loss or a weight became NaN or infinite",
                where="optimize.learning_rate",
                why=f"losses by epoch: {losses}",
                next_step=f"a smaller optimize.learning_rate than {rate:g}, or look at the dataset's scale",
            )
        return losses


def loss(name: str) -> Any:
    """The loss of this name."""
    if name == "source_mse":
        return tf_keras.losses.MeanSquaredError()
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=name == "crossentropy_logits")


def require_trainable(training: Training, model: Any) -> None:
    """Labels and outputs fit the loss. Raises WorkerError that says which loss would."""
    name = training.params["loss"]
    if name == "source_mse":
        return
    outputs = tf.nest.flatten(model(training.first(), training=False))
    if len(outputs) != 1 or training.labels is None or len(outputs[0].shape) != 2:
        raise WorkerError(
            f"optimize.loss={name} needs one output with class scores, and labels",
            where="optimize.loss",
            why=f"the model has {len(outputs)} output(s), the first of shape {outputs[0].shape.as_list()}, "
            f"and the dataset {'no' if training.labels is None else ''} labels",
            next_step="optimize.loss=source_mse trains towards the source's own outputs, without labels",
        )
    scores = np.asarray(outputs[0])
    classes = scores.shape[1]
    if training.labels.min() < 0 or training.labels.max() >= classes:
        raise WorkerError(
            f"the training labels go from {training.labels.min()} to {training.labels.max()},"
            f" and the model has {classes} classes",
            where="optimize.dataset.label",
        )
    sums_to_one = scores.min() >= 0 and np.abs(scores.sum(-1) - 1).max() <= PROBABILITY_TOLERANCE
    if sums_to_one != (name == "crossentropy"):
        other = "crossentropy" if sums_to_one else "crossentropy_logits"
        raise WorkerError(
            f"optimize.loss={name} does not fit the model's scores",
            where="optimize.loss",
            why="on the first training samples they "
            + (
                "are probabilities: a row sums to 1" if sums_to_one else "are no probabilities: a row does not sum to 1"
            ),
            next_step=f"optimize.loss={other}",
        )
