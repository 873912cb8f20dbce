"""Reproducible training on declared samples: equal batches in an equal order result in equal bytes."""

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

# The number is fixed, because the division of sums among threads decides their last bits.
THREADS = 4
PROBABILITY_TOLERANCE = 1e-3
# The number of samples for checks before the training.
FIRST_SAMPLES = 32

OPTIMIZERS = {
    "adam": tf_keras.optimizers.Adam,
    "sgd": tf_keras.optimizers.SGD,
    "rmsprop": tf_keras.optimizers.RMSprop,
}


def fix_randomness(seed: int) -> None:
    """Set the seeds of Python, NumPy and TensorFlow, deterministic kernels, and the number of threads.

    Call it before the first operation of TensorFlow.
    """
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf_keras.utils.set_random_seed(seed)


@dataclass(frozen=True)
class Training:
    """The samples, targets and settings of a training.

    Attributes:
        params: The parameters of the step.
        inputs: The inputs of the artifact by name. The first axis of the arrays is the samples.
        labels: int64 of shape [samples], or None. They are the targets of all losses except `source_mse`.
        preprocess: `signature.preprocess` of the recipe, as JSON.
        models: The shapes and types of the inputs of the model, by name.
        source: The untrained tf_keras model. Its outputs are the targets of the loss `source_mse`.
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
        """Return the inputs of the model for some samples."""
        fed = {name: tf.constant(np.asarray(array[indices])) for name, array in self.inputs.items()}
        for settings in self.preprocess:
            name = settings["input"]
            fed[name] = add_preprocessing(
                fed[name],
                settings,
                SourceTensorSpec((None, *(self.models[name].shape or ())[1:]), self.models[name].dtype),
            )
        return fed

    def first(self) -> dict[str, tf.Tensor]:
        """Return the inputs of the model for the first samples."""
        return self.feed(np.arange(min(FIRST_SAMPLES, count_samples(self.inputs))))

    def targets(self, indices: Any, fed: Mapping[str, tf.Tensor]) -> Any:
        """Return the targets for some samples."""
        if self.params["loss"] == "source_mse":
            return self.source(fed, training=False)
        assert self.labels is not None
        return tf.constant(self.labels[indices])

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Yield the inputs and targets of all batches of all epochs. Each epoch has another order of the samples."""
        count, batch = count_samples(self.inputs), int(self.params["batch"])
        step_progress.expect(self.steps)
        for epoch in range(int(self.params["epochs"])):
            order = np.random.default_rng([int(self.params["seed"]), epoch]).permutation(count)
            for start in step_progress.track(range(0, count, batch), 0):
                # Memory-mapped files are read faster in ascending order.
                indices = np.sort(order[start : start + batch])
                fed = self.feed(indices)
                yield fed, self.targets(indices, fed)

    def fit(self, model: Any, callbacks: Sequence[Any] = ()) -> list[float]:
        """Train a model in place, with a learning rate that falls linearly to zero.

        Args:
            model: The tf_keras model.
            callbacks: Callbacks of tf_keras.

        Returns:
            The loss of each epoch.

        Raises:
            WorkerError: A loss or a weight is not finite.
        """
        rate = float(self.params["learning_rate"])
        schedule = tf_keras.optimizers.schedules.PolynomialDecay(rate, self.steps, end_learning_rate=0.0)
        model.compile(OPTIMIZERS[self.params["optimizer"]](schedule), make_loss(self.params["loss"]))
        history = model.fit(
            self.batches(),
            steps_per_epoch=self.steps_per_epoch,
            epochs=int(self.params["epochs"]),
            callbacks=list(callbacks),
            verbose=2,
        )
        losses = [float(value) for value in history.history["loss"]]
        if not all(np.isfinite(values).all() for values in (losses, *model.get_weights())):
            raise WorkerError(
                "training does not converge: the loss or a weight became NaN or infinite",
                where="optimize.learning_rate",
                why=f"losses by epoch: {losses}",
                next_step=f"set a smaller optimize.learning_rate than {rate:g}, or check the scale of the dataset",
            )
        return losses


def make_loss(name: str) -> Any:
    """Return the loss of tf_keras for a value of `optimize.loss`."""
    if name == "source_mse":
        return tf_keras.losses.MeanSquaredError()
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=name == "crossentropy_logits")


def require_trainable(training: Training, model: Any) -> None:
    """Check that the labels and the outputs of the model fit the loss.

    Raises:
        WorkerError: They do not fit. The message names a loss that fits, if there is one.
    """
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
            next_step="use optimize.loss=source_mse, which trains towards the source's own outputs, without labels",
        )
    scores = np.asarray(outputs[0])
    classes = scores.shape[1]
    if training.labels.min() < 0 or training.labels.max() >= classes:
        raise WorkerError(
            f"the training labels are from {training.labels.min()} to {training.labels.max()},"
            f" but the model has {classes} classes",
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
                "are probabilities: each row sums to 1"
                if sums_to_one
                else "are not probabilities: a row does not sum to 1"
            ),
            next_step=f"use optimize.loss={other}",
        )
