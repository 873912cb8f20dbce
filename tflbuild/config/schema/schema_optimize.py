"""The schema of training before conversion: pruning, clustering, quantization-aware training.

A part of the schema; see `config.schema.recipe_schema`. The options are listed there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, List

from tflbuild.config.schema.schema_data import DatasetConfig


class OptimizeStep(Enum):
    """A step of training before conversion. The steps run in this order."""

    prune = "prune"
    cluster = "cluster"
    qat = "qat"


class Pattern(Enum):
    """Which weights may become zero."""

    any = "any"
    two_of_four = "two_of_four"


class Optimizer(Enum):
    """Optimizers of tf_keras."""

    adam = "adam"
    sgd = "sgd"
    rmsprop = "rmsprop"


class Loss(Enum):
    """The loss that training minimizes."""

    crossentropy = "crossentropy"
    crossentropy_logits = "crossentropy_logits"
    source_mse = "source_mse"


@dataclass
class OptimizeConfig:
    """The model is converted without training."""

    unused: ClassVar[tuple[str, ...]] = (
        *("dataset", "epochs", "batch", "learning_rate", "optimizer", "loss", "seed"),
        *("sparsity", "pattern", "clusters"),
    )

    steps: List[OptimizeStep] = field(default_factory=list)
    """What is done, each in a training of its own: `prune`, `cluster`, `qat`, in this order."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """The training samples; choose their kind with `dataset@optimize.dataset=...`."""
    epochs: int = 1
    """Times that each step sees all samples."""
    batch: int = 64
    """Samples of one training step."""
    learning_rate: float = 1e-4
    """Step size of the optimizer at the start of each step; it falls evenly to zero at its end."""
    optimizer: Optimizer = Optimizer.adam
    """`adam`, `sgd` or `rmsprop`, otherwise as tf_keras has them."""
    loss: Loss = Loss.crossentropy
    """`crossentropy` and `crossentropy_logits` need labels; `source_mse` trains towards the source's own outputs."""
    seed: int = 0
    """Seed of the order of samples and of all else that is random."""
    sparsity: float = 0.5
    """Step prune: share of the weights of each layer that become zero."""
    pattern: Pattern = Pattern.any
    """Step prune: `any` weights become zero, or `two_of_four` neighbours."""
    clusters: int = 16
    """Step cluster: different weights that a layer (with batch normalisation behind it: a channel) may have."""


TRAINED_ONLY = ("sparsity", "pattern", "clusters")


@dataclass
class PruneOptimize(OptimizeConfig):
    """Half of the weights become zero while the model is trained on: it packs better, computes the same."""

    unused: ClassVar[tuple[str, ...]] = ("clusters",)

    steps: List[OptimizeStep] = field(default_factory=lambda: [OptimizeStep.prune])


@dataclass
class PrunePairsOptimize(PruneOptimize):
    """Two of each four neighbouring weights become zero, which some hardware computes in half the time."""

    unused: ClassVar[tuple[str, ...]] = ("clusters", "sparsity")

    pattern: Pattern = Pattern.two_of_four


@dataclass
class ClusterOptimize(OptimizeConfig):
    """The weights of a layer share a few values: it packs better, computes the same."""

    unused: ClassVar[tuple[str, ...]] = ("sparsity", "pattern")

    steps: List[OptimizeStep] = field(default_factory=lambda: [OptimizeStep.cluster])


@dataclass
class QatOptimize(OptimizeConfig):
    """Quantization-aware training: the model learns to tolerate int8. The trained model contains its ranges."""

    unused: ClassVar[tuple[str, ...]] = TRAINED_ONLY

    steps: List[OptimizeStep] = field(default_factory=lambda: [OptimizeStep.qat])


@dataclass
class PqatOptimize(OptimizeConfig):
    """Pruning, then quantization-aware training that keeps the zeros."""

    unused: ClassVar[tuple[str, ...]] = ("clusters",)

    steps: List[OptimizeStep] = field(default_factory=lambda: [OptimizeStep.prune, OptimizeStep.qat])


@dataclass
class CqatOptimize(OptimizeConfig):
    """Clustering, then quantization-aware training that keeps the clusters."""

    unused: ClassVar[tuple[str, ...]] = ("sparsity", "pattern")

    steps: List[OptimizeStep] = field(default_factory=lambda: [OptimizeStep.cluster, OptimizeStep.qat])


STEP_OF_KEY = {
    "sparsity": OptimizeStep.prune,
    "pattern": OptimizeStep.prune,
    "clusters": OptimizeStep.cluster,
}


def find_unused(optimize: OptimizeConfig) -> set[str]:
    """Return the keys that training does not use: all keys without steps, otherwise those of other steps."""
    if not optimize.steps:
        return set(OptimizeConfig.unused)
    unused = {key for key, step in STEP_OF_KEY.items() if step not in optimize.steps}
    return unused | (set(type(optimize).unused) & {"sparsity"} if OptimizeStep.prune in optimize.steps else set())
