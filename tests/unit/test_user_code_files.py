"""A user's code as an input: what its references reach, found by reading and never by running."""

import os
from pathlib import Path

import pytest
from frozen import recipe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tflbuild.core.recipe import Source
from tflbuild.errors import RecipeError
from tflbuild.resolve.input_digests import CODE, resolve
from tflbuild.resolve.user_code_files import find_code
from tflbuild.storage.digest_cache import StatCache


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The project's folder; what lies beside it is not in the project."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(files):
    """Name -> text, below the current folder."""
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def find(*references, files=()):
    return find_code(references, files, [f"reference.{index}" for index in range(len(references))])


def reached(*references, files=()):
    return set(find(*references, files=files).files)


def refused(*references, files=()):
    with pytest.raises(RecipeError) as caught:
        find(*references, files=files)
    return caught.value


# what import statements reach


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("import layers", {"layers.py"}),
        ("import layers as l, losses", {"layers.py", "losses.py"}),
        ("from layers import Gate", {"layers.py"}),
        ("from layers import *", {"layers.py"}),
        ("def make():\n    import layers", {"layers.py"}),
        ("try:\n    import layers\nexcept ImportError:\n    import losses", {"layers.py", "losses.py"}),
        ("if False:\n    import layers", {"layers.py"}),
        ("import pkg", {"pkg/__init__.py"}),
        ("import pkg.blocks", {"pkg/__init__.py", "pkg/blocks.py"}),
        ("from pkg import blocks", {"pkg/__init__.py", "pkg/blocks.py"}),
        ("from pkg.blocks import Block", {"pkg/__init__.py", "pkg/blocks.py"}),
        ("from pkg import VERSION", {"pkg/__init__.py"}),
        ("import plain.part", {"plain/part.py"}),
        ("from plain import part", {"plain/part.py"}),
        ("# import layers\ntext = 'import losses'", set()),
        ("import no_such_module", set()),
    ],
)
def test_the_files_that_import_statements_name_are_reached(text, others):
    write({"model.py": text, "layers.py": "", "losses.py": "", "unused.py": ""})
    write({"pkg/__init__.py": "", "pkg/blocks.py": "", "pkg/unused.py": "", "plain/part.py": ""})
    assert reached("model.py:make") == {"model.py", *others}


def test_what_is_imported_imports_in_turn():
    write({"model.py": "import a", "a.py": "import b", "b.py": "import c", "c.py": "", "d.py": ""})
    assert reached("model.py:make") == {"model.py", "a.py", "b.py", "c.py"}


def test_modules_that_import_each_other_end_the_search():
    write({"model.py": "import a", "a.py": "import b", "b.py": "import a, model"})
    assert reached("model.py:make") == {"model.py", "a.py", "b.py"}


def test_a_file_in_a_folder_finds_what_lies_beside_it_and_what_lies_in_the_current_folder():
    write({"nets/model.py": "import layers\nimport common", "nets/layers.py": "", "common.py": "", "layers.py": ""})
    assert reached("nets/model.py:make") == {"nets/model.py", "nets/layers.py", "common.py"}


PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/blocks.py": "from .parts import part\n",
    "pkg/parts/__init__.py": "",
    "pkg/parts/part.py": "from ..base import Base\n",
    "pkg/base.py": "",
    "pkg/unused.py": "",
}
WHOLE = {name for name in PACKAGE if "unused" not in name}


@pytest.mark.parametrize("reference", ["pkg/blocks.py:make", "pkg.blocks:make"])
def test_relative_imports_are_followed_up_and_down_the_package(reference):
    write(PACKAGE)
    assert reached(reference) == WHOLE


def test_a_package_in_a_folder_of_sources_is_followed_too():
    """`src/pkg`: the folder of sources is neither the current one nor the importing file's."""
    write({f"src/{name}": text for name, text in PACKAGE.items()})
    assert reached("src/pkg/blocks.py:make") == {f"src/{name}" for name in WHOLE}


def test_a_package_brings_its_init_files_and_what_they_import():
    write({"model.py": "import pkg.deep.net", "pkg/__init__.py": "import helper", "helper.py": ""})
    write({"pkg/deep/__init__.py": "from . import constants", "pkg/deep/net.py": "", "pkg/deep/constants.py": ""})
    assert reached("model.py:make") == {
        *("model.py", "helper.py", "pkg/__init__.py"),
        *("pkg/deep/__init__.py", "pkg/deep/net.py", "pkg/deep/constants.py"),
    }


def test_a_file_that_python_cannot_read_is_taken_as_it_is():
    """The step that imports it says what is wrong, with the line."""
    write({"model.py": "import broken\nimport odd", "broken.py": "def make(:\n", "odd.py": "x = 1\0"})
    assert reached("model.py:make") == {"model.py", "broken.py", "odd.py"}


def test_several_references_share_one_folder_and_keep_their_order():
    write({"nets/model.py": "", "layers.py": ""})
    code = find("nets/model.py:make", "layers:Gate", "keras.layers:Dense")
    assert code.entries == ("nets/model.py:make", "layers.py:Gate", "keras.layers:Dense")
    assert code.root == Path.cwd()


# files that the code reads


@pytest.mark.parametrize(
    ("declared", "others"),
    [
        ("words.txt", {"words.txt"}),
        ("./words.txt", {"words.txt"}),
        ("data", {"data/a.txt", "data/deep/b.txt"}),
        ("data/*.txt", {"data/a.txt"}),
        ("plugins/*.py", {"plugins/one.py", "plugins/two.py", "layers.py"}),
    ],
)
def test_declared_files_folders_and_patterns_are_reached(declared, others):
    write({"model.py": "", "words.txt": "yes", "data/a.txt": "", "data/deep/b.txt": "", "data/__pycache__/c.pyc": ""})
    write({"plugins/one.py": "import layers", "plugins/two.py": "", "layers.py": ""})
    assert reached("model.py:make", files=[declared]) == {"model.py", *others}


@pytest.mark.parametrize("declared", ["wrods.txt", "data/*.csv", "none/*.txt", "empty"])
def test_a_declared_file_that_is_not_there_is_refused(declared):
    write({"model.py": "", "words.txt": "", "data/a.txt": ""})
    Path("empty").mkdir()
    error = refused("model.py:make", files=[declared])
    assert error.what == f"'{declared}' does not exist"
    assert error.where == "source.files"
    assert "a folder or a pattern such as data/*.txt" in error.next_step


# installed packages


def test_installed_packages_are_known_by_their_versions():
    import numpy

    write({"model.py": "import numpy.linalg\nfrom rich import print"})
    code = find("model.py:make")
    assert code.packages["numpy"] == numpy.__version__
    assert set(code.packages) == {"numpy", "rich"}


def test_the_package_of_an_installed_reference_is_known_and_no_file_is():
    code = find("rich.console:Console")
    assert (code.files, set(code.packages), code.entries) == ({}, {"rich"}, ("rich.console:Console",))


def test_the_standard_library_has_no_version_of_its_own():
    write({"model.py": "import os, json, importlib.util\nfrom collections import abc"})
    assert find("model.py:make").packages == {}


def test_a_folder_of_data_does_not_hide_the_installed_package_of_its_name():
    """A package anywhere on the path comes before a folder without __init__.py."""
    write({"model.py": "import rich.console", "rich/data.txt": ""})
    assert set(find("model.py:make").packages) == {"rich"}


def test_a_module_of_the_projects_own_comes_before_an_installed_one():
    write({"model.py": "import rich", "rich.py": ""})
    code = find("model.py:make")
    assert (set(code.files), code.packages) == ({"model.py", "rich.py"}, {})


def test_a_module_on_the_path_that_no_package_installed_is_an_input_too(tmp_path, monkeypatch):
    """PYTHONPATH, or a package installed in place (`pip install -e`): a version says nothing of its files."""
    library = tmp_path / "library"
    library.mkdir()
    monkeypatch.syspath_prepend(library)
    write({"model.py": "import own_layers"})
    told = []
    for text in ("UNITS = 4\n", "UNITS = 5\n"):
        (library / "own_layers.py").write_text(text)
        code = find("model.py:make", "own_layers:make")
        told.append((code.packages, {name: path.read_text() for name, path in code.files.items()}))
    assert told[0] != told[1]


# where the files lie


def test_a_file_outside_of_the_current_folder_takes_the_nearest_common_one(tmp_path):
    write({"model.py": "", "../shared/net.py": "import layers", "../shared/layers.py": ""})
    code = find(f"{tmp_path}/shared/net.py:make")
    assert (code.root, set(code.files)) == (tmp_path / "shared", {"net.py", "layers.py"})
    both = find("model.py:make", f"{tmp_path}/shared/net.py:make")
    assert both.root == tmp_path
    assert both.entries == ("project/model.py:make", "shared/net.py:make")
    assert set(both.files) == {"project/model.py", "shared/net.py", "shared/layers.py"}


@pytest.mark.parametrize("reference", ["../shared/net.py:make", "nets/../../shared/net.py:make"])
def test_a_path_that_climbs_stays_below_the_folder_that_the_step_sees(reference):
    write({"../shared/net.py": "import layers", "../shared/layers.py": "", "../shared/words.txt": "", "nets/x.py": ""})
    code = find(reference, files=["../shared/words.txt"])
    assert set(code.files) == {"net.py", "layers.py", "words.txt"}
    assert code.entries == ("net.py:make",)


def test_a_link_is_read_where_it_lies(here):
    write({"../shared/net.py": "import layers", "layers.py": ""})
    Path("net.py").symlink_to(here.parent / "shared" / "net.py")
    assert reached("net.py:make") == {"net.py", "layers.py"}


# what is not there


def test_a_file_that_is_not_there_is_refused_with_the_nearest_one():
    write({"model.py": "", "nets/deep.py": ""})
    error = refused("modle.py:make")
    assert (error.what, error.where) == ("'modle.py' does not exist", "reference.0")
    assert error.why == "did you mean: model.py"
    assert "relative to the current directory" in error.next_step
    assert "there is no such file in" in refused("nowhere/model.py:make").why


@pytest.mark.parametrize("module", ["no_such_module", "no_such_module.nets"])
def test_a_module_that_is_neither_here_nor_installed_is_refused(module):
    error = refused("os:getcwd", f"{module}:make")
    assert error.what == f"there is no module '{module}'"
    assert error.where == "reference.1"
    assert f"neither {module.replace('.', '/')}.py in the current directory, nor an installed package" in error.why


def test_a_submodule_that_a_package_of_the_project_lacks_is_refused():
    write({"pkg/__init__.py": "", "pkg/blocks.py": ""})
    assert refused("pkg.blcoks:make").what == "there is no module 'pkg.blcoks'"


def test_the_module_that_is_being_run_is_no_package():
    assert refused("__main__:make").what == "there is no module '__main__'"


# what a recipe is known by


def digest(tmp_path, **source):
    made = recipe(source=Source(kind="function", call="model.py:make", **source))
    made = made.__class__(**{**vars(made), "dataset": None, "verify": made.verify.__class__(kind="none")})
    return resolve(made, StatCache(tmp_path / "stats")).files[CODE].digest


def test_a_new_module_where_one_was_looked_for_changes_what_the_recipe_is_known_by(tmp_path):
    write({"model.py": "try:\n    import settings\nexcept ImportError:\n    settings = None"})
    before = digest(tmp_path)
    write({"settings.py": "UNITS = 5"})
    assert digest(tmp_path) != before


def test_a_renamed_file_changes_what_the_recipe_is_known_by(tmp_path):
    write({"model.py": "", "data/a.txt": "same"})
    before = digest(tmp_path, files=("data",))
    os.rename("data/a.txt", "data/b.txt")
    assert digest(tmp_path, files=("data",)) != before


NAMES = ("model", "a", "b", "c", "pkg.d", "pkg.e")


def place(module):
    return f"{module.replace('.', '/')}.py"


def closure(imports):
    """What a graph of imports reaches from `model`, by the book."""
    found, todo = set(), ["model"]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += imports[module]
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    imports=st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES), max_size=3) for name in NAMES}),
    edited=st.sampled_from(NAMES),
)
def test_editing_a_reached_file_changes_what_the_recipe_is_known_by_and_no_other_edit_does(
    tmp_path_factory, imports, edited
):
    folder = tmp_path_factory.mktemp("graph")
    os.chdir(folder)
    write({"pkg/__init__.py": ""})
    write({place(name): "".join(f"import {other}\n" for other in others) for name, others in imports.items()})
    before = digest(folder)
    with Path(place(edited)).open("a") as file:
        file.write("# edited\n")
    assert (digest(folder) != before) == (edited in closure(imports))
