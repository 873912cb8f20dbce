"""The shared store: named by a recipe, a command or the machine, and no part of what is built."""

from importlib import metadata

import pytest

from tflbuild import pipeline
from tflbuild.config.compose import compose
from tflbuild.config.freeze import freeze
from tflbuild.config.freeze_store import freeze_store
from tflbuild.core.shared import Shared
from tflbuild.errors import MachineError, RecipeError
from tflbuild.execute.limits import Limits
from tflbuild.resolve import toolchain

SECRET = "hush"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    monkeypatch.delenv("TFLBUILD_REMOTE", raising=False)
    monkeypatch.delenv("TFLBUILD_PUSH", raising=False)


def shared(*overrides, multirun=False):
    return freeze_store(compose(["+recipe=mobilenet_int8", *overrides], multirun=multirun))


def refused(*overrides, multirun=False):
    with pytest.raises(RecipeError) as caught:
        shared(*overrides, multirun=multirun)
    assert SECRET not in str(caught.value)
    return caught.value


def test_there_is_none_by_default():
    assert shared() is None


@pytest.mark.parametrize(
    "url", ["http://h:8080/c", "https://me:word@h/c", "s3://bucket/c", "gs://bucket", "az://box/c"]
)
def test_it_is_read_and_not_written_unless_that_is_asked_for(url):
    assert shared(f"store.remote={url}") == Shared(url=url, push=False)
    assert shared(f"store.remote={url}", "store.push=true") == Shared(url=url, push=True)


def test_a_machine_names_it_by_variables_and_a_command_has_the_last_word(monkeypatch):
    monkeypatch.setenv("TFLBUILD_REMOTE", "http://machine")
    monkeypatch.setenv("TFLBUILD_PUSH", "true")
    assert shared() == Shared(url="http://machine", push=True)
    assert shared("store.remote=http://mine", "store.push=false") == Shared(url="http://mine", push=False)


def test_it_is_no_part_of_the_recipe_its_variant_or_its_overrides():
    plain, *others = (
        compose(["+recipe=mobilenet_int8", *told])[0]
        for told in ([], ["store.remote=http://h", "store.push=true"], ["store={remote:'http://h'}"])
    )
    for other in others:
        assert freeze(other) == freeze(plain)
        assert (other.variant, other.overrides) == (plain.variant, plain.overrides)


def test_a_push_to_nowhere_is_refused(monkeypatch):
    assert refused("store.push=true").where == "command line: store.push=true"
    monkeypatch.setenv("TFLBUILD_PUSH", "true")
    assert refused().where == "store.push, from the variable TFLBUILD_PUSH"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"ftp://me:{SECRET}@h/c", "the scheme 'ftp' is not known"),
        (f"htps://me:{SECRET}@h/c", "did you mean: https"),
        (f"me:{SECRET}@h/c", "it has no scheme"),
        ("cache", "it has no scheme"),
        ("http:///c", "its host or port is none"),
        ("http://h:99999/c", "its host or port is none"),
        ("s3://", "its host or port is none"),
        ("http://h/c?token%3Dx", "it has a query or a fragment"),
    ],
)
def test_what_names_no_store_is_refused_with_what_does(monkeypatch, url, why):
    monkeypatch.setenv("TFLBUILD_REMOTE", url)
    error = refused()
    assert why in error.why and "TFLBUILD_REMOTE" in error.where
    assert "http://, https://, s3://, gs://, az://" in error.next_step
    monkeypatch.delenv("TFLBUILD_REMOTE")
    if "?" not in url:
        assert why in refused(f"store.remote={url}").why


@pytest.mark.parametrize("value", ["maybe", ""])
def test_a_variable_that_is_neither_true_nor_false_is_refused(monkeypatch, value):
    monkeypatch.setenv("TFLBUILD_PUSH", value)
    error = refused()
    assert error.what == f"'{value}' is no value of 'store.push', which takes a bool"
    assert "TFLBUILD_PUSH" in error.why


def test_a_misspelt_key_is_named():
    assert "did you mean: remote" in refused("store.remot=http://h").why
    assert refused("store=http").what == "'store' takes keys, not http"


def test_variants_of_a_sweep_have_one_store():
    assert shared("store.remote=http://h", "quantization=none,int8", multirun=True) == Shared(url="http://h")
    told = f"store.remote='http://me:{SECRET}@h','http://other'"
    assert refused(told, multirun=True).what == "the variants of a sweep share one store"


def test_without_the_extra_an_object_store_is_refused_and_how_to_get_it_said(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    toolchain.package_version.cache_clear()

    class Unconnected:
        limits, exchange = Limits(), None

    with pytest.raises(MachineError) as found:
        pipeline.connect(Unconnected(), Shared(url="s3://bucket"))
    toolchain.package_version.cache_clear()
    assert found.value.exit_code == 4 and "pip install 'tflbuild[remote]'" in found.value.next_step
