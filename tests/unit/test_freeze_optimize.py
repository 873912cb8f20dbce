"""Training before conversion as the recipe has it once it is frozen."""

from importlib import metadata

import freezing
import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.errors import MachineError
from tflbuild.pipeline.tracked_files import used_packages
from tflbuild.resolve import toolchain

DATA = ("optimize.dataset.path=train.npz", "optimize.dataset.label=label")


pytestmark = pytest.mark.usefixtures("empty_folder")


def frozen(*overrides):
    return freezing.frozen("+recipe=mobilenet_int8", *overrides)


def refused(*overrides):
    return freezing.refused("+recipe=mobilenet_int8", *overrides)


@pytest.mark.parametrize(
    ("option", "steps"),
    [
        ("prune", ("prune",)),
        ("prune_2_4", ("prune",)),
        ("cluster", ("cluster",)),
        ("qat", ("qat",)),
        ("pqat", ("prune", "qat")),
        ("cqat", ("cluster", "qat")),
    ],
)
def test_an_option_names_its_steps_and_what_they_read(option, steps):
    found = frozen(f"optimize={option}", *DATA).optimize
    assert found.steps == steps and found.dataset.kind == "npz"
    assert (found.sparsity is not None) == ("prune" in steps) and (found.clusters is not None) == ("cluster" in steps)


def test_steps_may_be_listed():
    found = frozen("optimize=qat", "optimize.steps=[prune,cluster,qat]", *DATA).optimize
    assert (found.steps, found.sparsity, found.clusters) == (("prune", "cluster", "qat"), 0.5, 16)


def test_a_sweep_may_leave_training_out():
    none, qat = compose(["+recipe=mobilenet_int8", "optimize=none,qat", *DATA], multirun=True)
    assert freeze(none).optimize is None and freeze(qat).optimize is not None
    assert frozen().optimize is None


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (("optimize=qat", "optimize.steps=[qat,prune]", *DATA), "optimize.steps"),
        (("optimize=qat", "optimize.steps=[prune,prune]", *DATA), "optimize.steps"),
        (("optimize=qat", "optimize.dataset.path=t.npz"), "optimize.dataset.label"),
        (("optimize=qat", "dataset@optimize.dataset=none"), "optimize.dataset"),
        (("optimize=qat", "optimize.epochs=0", *DATA), "optimize.epochs"),
        (("optimize=qat", "optimize.batch=0", *DATA), "optimize.batch"),
        (("optimize=qat", "optimize.learning_rate=-1", *DATA), "optimize.learning_rate"),
        (("optimize=qat", "optimize.seed=-1", *DATA), "optimize.seed"),
        (("optimize=prune", "optimize.sparsity=1", *DATA), "optimize.sparsity"),
        (("optimize=prune_2_4", "optimize.sparsity=0.7", *DATA), "optimize.sparsity"),
        (("optimize=cluster", "optimize.clusters=1", *DATA), "optimize.clusters"),
        (("optimize=qat", "optimize.dataset.kind=csv", *DATA), "optimize.dataset.kind"),
        (("optimize=qat", "source=tflite", *DATA), "optimize"),
        (("optimize=qat", "source.fused_lstm=true", *DATA), "source.fused_lstm"),
        (("optimize=qat", "signature.entry=train", *DATA), "signature.entry"),
        (("optimize=qat", "quantization=float16", "quantization.engine=converter", *DATA), "quantization.engine"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_its_key(overrides, key):
    assert key in refused(*overrides).where


def test_training_without_labels_goes_by_the_source_s_own_outputs():
    found = frozen("optimize=qat", "optimize.loss=source_mse", "optimize.dataset.path=t.npz").optimize
    assert (found.loss, found.dataset.label) == ("source_mse", "")


def test_trained_ranges_make_calibration_data_unnecessary():
    assert frozen("optimize=qat", "dataset=none", *DATA).dataset is None
    assert "dataset" in refused("optimize=prune", "dataset=none", *DATA).where


def test_without_the_extra_only_training_is_refused(monkeypatch):
    real = metadata.version

    def version(name):
        if name == "tensorflow-model-optimization":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    for cached in (toolchain.package_version, toolchain.toolchain):
        cached.cache_clear()
    assert "tensorflow-model-optimization" not in used_packages() and "tensorflow" in used_packages()
    with pytest.raises(MachineError) as found:
        toolchain.toolchain("optimize")
    assert found.value.exit_code == 4 and "pip install 'tflbuild[optimize]'" in found.value.next_step
    for cached in (toolchain.package_version, toolchain.toolchain):
        cached.cache_clear()
