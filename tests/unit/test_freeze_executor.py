"""Where steps run: named by a command or a recipe, and no part of what is built."""

from importlib import metadata

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.freezing.freeze import freeze
from tflbuild.config.freezing.freeze_executor import freeze_executor
from tflbuild.core.cluster_settings import Cluster
from tflbuild.errors import MachineError, RecipeError
from tflbuild.pipeline import build as pipeline
from tflbuild.resolve import toolchain


def cluster(*overrides, multirun=False):
    return freeze_executor(compose(["+recipe=mobilenet_int8", *overrides], multirun=multirun))


def test_it_is_this_machine_by_default():
    assert cluster() is None and cluster("executor=local") is None


def test_a_cluster_and_what_a_step_holds_of_it():
    assert cluster("executor=ray") == Cluster()
    told = ("address=h:1", "slots=3", "cpus=2", "memory=2G", "resources.build=0.5", "store=/s")
    assert cluster("executor=ray", *(f"executor.{text}" for text in told)) == Cluster(
        address="h:1", slots=3, cpus=2.0, memory=2 << 30, resources=(("build", 0.5),), store="/s"
    )


@pytest.mark.parametrize(
    "recipe",
    [
        "defaults: [mobilenet_int8, override /executor: ray]\nexecutor: {KEY: 'ray://h:1'}\n",
        "defaults: [mobilenet_int8, override /executor: own]\n",
    ],
)
@pytest.mark.parametrize("key", ["address", "store"])
def test_a_file_names_no_cluster(recipe, key, monkeypatch, tmp_path):
    """Answers of a cluster are unpickled here, so only the user may choose one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for file, text in {
        "recipes/net.yaml": recipe.replace("KEY", key),
        "conf/executor/own.yaml": f"defaults: [ray]\n{key}: ray://h:1\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    with pytest.raises(RecipeError, match=f"'executor.{key}' may not be set in a file"):
        freeze_executor(compose(["+recipe=net"]))
    typed = freeze_executor(compose(["+recipe=net", f"executor.{key}=ray://h:1"]))
    assert getattr(typed, key) == "ray://h:1"
    monkeypatch.setenv("RAY_ADDRESS", "ray://h:1")
    if key == "address":
        assert freeze_executor(compose(["+recipe=net"])).address == "ray://h:1"


def test_it_is_no_part_of_the_recipe_its_variant_or_its_overrides():
    plain, other = (
        compose(["+recipe=mobilenet_int8", *told])[0] for told in ([], ["executor=ray", "executor.address=h:1"])
    )
    assert freeze(other) == freeze(plain)
    assert (other.variant, other.overrides) == (plain.variant, plain.overrides)


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("slots=0", "'executor.slots' is 0, and must be at least 1"),
        ("cpus=0", "'executor.cpus' is 0.0"),
        ("cpus=1.5", "'executor.cpus' is 1.5"),
        ("cpus=nan", "'executor.cpus' is nan"),
        ("memory=much", "'executor.memory' is much, and must be a size"),
        ("resources.build=0", "'executor.resources.build' is 0.0"),
        ("resources.CPU=1", "'CPU' is no resource of your own"),
        ("kind=local", "'executor.kind' cannot be set to 'local'"),
        ("adress=h:1", "'adress' is not a key of 'executor'"),
    ],
)
def test_what_cannot_be_is_refused(told, what):
    with pytest.raises(RecipeError) as caught:
        cluster("executor=ray", f"executor.{told}")
    assert what in caught.value.what and caught.value.where == f"command line: executor.{told}"


def test_a_key_of_the_other_option_is_refused():
    with pytest.raises(RecipeError, match="has no key 'slots'"):
        cluster("executor.slots=2")


@pytest.mark.parametrize("told", [("executor=local,ray",), ("executor=ray", "executor.slots=1,2")])
def test_variants_of_a_sweep_have_one_executor(told):
    with pytest.raises(RecipeError, match="share one executor"):
        cluster(*told, multirun=True)


def test_without_the_package_it_is_refused_and_how_to_get_it_said(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    class Unconnected:
        remote_executor = None

    monkeypatch.setattr(metadata, "version", version)
    toolchain.package_version.cache_clear()
    with pytest.raises(MachineError) as found:
        pipeline.connect(Unconnected(), None, Cluster())
    toolchain.package_version.cache_clear()
    assert found.value.exit_code == 4 and "pip install 'tflbuild[ray]'" in found.value.next_step
