"""The shared store: named by a recipe, a command or the machine, and no part of what is built."""

from importlib import metadata

import pytest

from tflbuild.config.composing.compose import compose
from tflbuild.config.composing.trusted_stores import trusted_stores_file
from tflbuild.config.freezing.freeze import freeze
from tflbuild.config.freezing.freeze_store import confirm_store, freeze_store, note_unconfirmed
from tflbuild.core.remote_cache_settings import RemoteCacheSettings
from tflbuild.errors import MachineError, RecipeError, UsageError
from tflbuild.execute.run_limits import Limits
from tflbuild.pipeline import build as pipeline
from tflbuild.resolve import toolchain

SECRET = "hush"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
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
    assert shared(f"store.remote={url}") == RemoteCacheSettings(url=url, push=False)
    assert shared(f"store.remote={url}", "store.push=true") == RemoteCacheSettings(url=url, push=True)


def test_a_machine_names_it_by_variables_and_a_command_has_the_last_word(monkeypatch):
    monkeypatch.setenv("TFLBUILD_REMOTE", "http://machine")
    monkeypatch.setenv("TFLBUILD_PUSH", "true")
    assert shared() == RemoteCacheSettings(url="http://machine", push=True)
    assert shared("store.remote=http://mine", "store.push=false") == RemoteCacheSettings(url="http://mine", push=False)


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
    assert error.what == f"'{value}' is not a valid value of 'store.push', which takes a bool"
    assert "TFLBUILD_PUSH" in error.why


def test_a_misspelt_key_is_named():
    assert "did you mean: remote" in refused("store.remot=http://h").why
    assert refused("store=http").what == "'store' takes keys, not http"


def test_variants_of_a_sweep_have_one_store():
    assert shared("store.remote=http://h", "quantization=none,int8", multirun=True) == RemoteCacheSettings(
        url="http://h"
    )
    told = f"store.remote='http://me:{SECRET}@h','http://other'"
    assert refused(told, multirun=True).what == "the variants of a sweep share one store"


# what a recipe names

CACHE = "http://cache.example.com:8080/c"
RECIPE = "defaults:\n  - mobilenet_int8\n"


@pytest.fixture
def recipe(empty_folder, tmp_path):
    """Writes the project's recipe `theirs` with a section `store`; a project's folder may be a stranger's too."""

    def write(store, more=""):
        folder = tmp_path / "recipes"
        folder.mkdir(exist_ok=True)
        (folder / "theirs.yaml").write_text(f"{RECIPE}store: {store}\n{more}")

    return write


def asked(*overrides, multirun=False):
    return freeze_store(compose(["+recipe=theirs", *overrides], multirun=multirun))


def test_the_store_of_a_recipe_is_not_used_before_it_is_confirmed(recipe):
    recipe(f"{{remote: '{CACHE}'}}")
    found = asked()
    assert not found.usable and found.unconfirmed == ("read",)
    (warning,) = note_unconfirmed(found)
    assert CACHE in warning and "recipes/theirs.yaml:3" in warning and "--trust-store" in warning
    confirm_store("build", ["+recipe=theirs"], multirun=False)
    assert asked() == RemoteCacheSettings(url=CACHE) and asked().usable and note_unconfirmed(asked()) == []
    assert trusted_stores_file().read_text() == f"read {CACHE}\n"
    assert trusted_stores_file().stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("other", ["http://cache.example.com:8080/d", "https://cache.example.com:8080/c",
                                   "http://cache.example.com/c", "http://me.example.com@evil.example.com:8080/c",
                                   "http://cache.example.com:8080/c/../d"])  # fmt: skip
def test_an_agreement_is_about_one_scheme_host_and_path(recipe, other):
    recipe(f"{{remote: '{CACHE}'}}")
    confirm_store("build", ["+recipe=theirs"], multirun=False)
    recipe(f"{{remote: '{other}'}}")
    assert not asked().usable


def test_an_agreement_to_read_is_none_to_push(recipe, monkeypatch):
    recipe(f"{{remote: '{CACHE}'}}")
    confirm_store("plan", ["+recipe=theirs"], multirun=False)
    recipe(f"{{remote: '{CACHE}', push: true}}")
    found = asked()
    assert found.usable and not found.push and "sends nothing" in note_unconfirmed(found)[0]
    confirm_store("build", ["+recipe=theirs"], multirun=False)
    assert asked().push
    recipe("{remote: 'http://other/c'}")
    monkeypatch.setenv("TFLBUILD_PUSH", "true")  # meant for a store of the user's own
    assert asked().unconfirmed == ("read", "push")


def test_a_recipe_that_pushes_to_the_users_own_store_needs_an_agreement(recipe, monkeypatch):
    monkeypatch.setenv("TFLBUILD_REMOTE", "https://me:word@own.example.com/c")
    recipe("{push: true}")
    assert asked().usable and not asked().push and asked().unconfirmed == ("push",)
    assert asked("store.push=true").push


def test_what_the_user_names_needs_no_agreement(recipe, monkeypatch):
    recipe(f"{{remote: '{CACHE}', push: true}}")
    assert asked("store.remote=http://mine/c", "store.push=true") == RemoteCacheSettings(url="http://mine/c", push=True)
    assert asked("store={remote:'http://mine/c',push:false}") == RemoteCacheSettings(url="http://mine/c")
    monkeypatch.setenv("TFLBUILD_REMOTE", CACHE)
    assert asked("store.push=false").usable
    assert asked("store.remote=") is None


def test_a_sweep_of_the_recipes_own_does_not_type_for_the_user(recipe):
    more = f"hydra:\n  sweeper:\n    params:\n      store.remote: '{CACHE}'\n      quantization: none,float16\n"
    recipe("{}", more)
    assert not asked(multirun=True).usable


@pytest.mark.parametrize(
    "remote", ["http://h/${oc.env:AWS_SECRET}", "https://${oc.env:CI_JOB_TOKEN}@h/c", "http://${name}/c"]
)
def test_a_recipes_store_interpolates_nothing(recipe, monkeypatch, remote):
    monkeypatch.setenv("AWS_SECRET", SECRET)
    monkeypatch.setenv("CI_JOB_TOKEN", SECRET)
    recipe(f"{{remote: '{remote}'}}", "name: ${oc.env:AWS_SECRET}\n")
    for ask in (asked, lambda: confirm_store("build", ["+recipe=theirs"], multirun=False)):
        with pytest.raises(RecipeError) as caught:
            ask()
        assert "plain text" in caught.value.what and SECRET not in str(caught.value)
        assert "recipes/theirs.yaml:3" in caught.value.where and "~/.netrc" in caught.value.next_step


def test_a_whole_section_that_is_interpolated_is_refused_too(recipe):
    recipe("${oc.create:{remote:'http://h/c'}}")
    with pytest.raises(RecipeError, match="store"):
        asked()


def test_there_may_be_nothing_to_confirm(recipe):
    recipe("{}")
    with pytest.raises(UsageError, match="nothing to confirm"):
        confirm_store("build", ["+recipe=theirs"], multirun=False)
    with pytest.raises(UsageError, match="does not go with cache"):
        confirm_store("cache", [], multirun=False)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan"])
def test_a_build_waits_for_some_time(seconds):
    assert "store.seconds" in refused("store.remote=http://h", f"store.seconds={seconds}").what


def test_without_the_extra_an_object_store_is_refused_and_how_to_get_it_said(monkeypatch):
    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    toolchain.package_version.cache_clear()

    class Unconnected:
        limits, remote_cache = Limits(), None

    with pytest.raises(MachineError) as found:
        pipeline.connect(Unconnected(), RemoteCacheSettings(url="s3://bucket"))
    toolchain.package_version.cache_clear()
    assert found.value.exit_code == 4 and "pip install 'tflbuild[remote]'" in found.value.next_step
