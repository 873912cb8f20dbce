"""SavedModels of strangers: inspecting one runs nothing of it, and a build refuses operators that reach outside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile

import pytest
from commandline import ROOT, Project

pytestmark = pytest.mark.heavy

# the model, and the operator that a build of it refuses
REFUSED = {
    "write": "WriteFile",
    "nested": "WriteFile",
    "prints": "PrintV2",
    "saves": "SaveV2",
    "reads": "ReadFile",
    "matches": "MatchingFiles",
    "table": "InitializeTableFromTextFileV2",
    "restores": "RestoreV2",
    "dataset": "TextLineDataset",
    "memory": "ImmutableConst",
    "python": "EagerPyFunc",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the models of make_stranger_graphs.py."""
    base = tmp_path_factory.mktemp("strangers")
    (base / "project").mkdir()
    script = str(ROOT / "tests" / "integration" / "make_stranger_graphs.py")
    done = subprocess.run([sys.executable, script, base / "project"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return Project(base / "project", base / "store")


@pytest.fixture
def canary(project):
    """The file that some of the models write when they are loaded."""
    path = project.folder / "canary"
    assert not path.exists()
    yield path
    assert not path.exists(), "something of the model ran"
    assert not list(project.folder.glob("canary*"))


def test_inspecting_a_saved_model_runs_no_initialiser_and_says_what_a_build_refuses(project, canary):
    done = project.run("inspect", "write")
    assert done.code == 0, done.err
    assert "  input   x  float32[free, 4]" in done.out.splitlines()
    assert "  output  y  float32[free, 2]" in done.out.splitlines()
    assert "refused    unless source.allow names it:" in done.out and "'WriteFile'" in done.out
    recipe = project.run("inspect", "write", "--as-recipe").out
    assert "signature: {key: serving_default, inputs: {x: {shape: [1, 4], dtype: float32}}" in recipe


def test_inspecting_an_archive_runs_nothing(project, canary):
    with tarfile.open(project.folder / "write.tar.gz", "w:gz") as archive:
        archive.add(project.folder / "write", ".")
    done = project.run("inspect", "write.tar.gz", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert [ask["path"] for ask in told["asks"]] == ["WriteFile"]


def test_looking_at_a_recipe_of_such_a_model_runs_nothing(project, canary):
    for command in ("plan", "explain"):
        assert project.run(command, "source=saved_model", "source.path=write", "name=net").code == 0


def test_a_build_refuses_each_by_its_operators_and_loads_a_table_of_an_asset(project, canary):
    names = ["asset", *REFUSED, "linked", "words"]
    shutil.copytree(project.folder / "words", project.folder / "linked")
    (asset,) = (project.folder / "linked" / "assets").iterdir()
    asset.unlink()
    asset.symlink_to(project.folder / "secret")
    done = project.run("-m", "source=saved_model", f"source.path={','.join(names)}", "name=net", "--json")
    rows = {row["variant"].partition("source.path=")[2].partition(",")[0]: row for row in json.loads(done.out)}
    assert "reach outside" not in str(rows["words"]["error"]), "TensorFlow itself reads an asset"
    assert f"'linked/assets/{asset.name}' is a link that leads out of its folder" in rows["linked"]["error"]
    assert "its asset '../../secret' leads out of its folder" in rows["asset"]["error"]
    for name, operator in REFUSED.items():
        assert "has operators that reach outside the model:" in rows[name]["error"], name
        assert operator in rows[name]["error"].partition("source.allow=[")[2], name


def test_an_operator_that_the_recipe_names_is_not_refused(project):
    """A worker that may write into its own folder alone stops this one, where the kernel can confine it."""
    named = project.run("source=saved_model", "source.path=write", "source.allow=[WriteFile]", "name=allowed")
    assert "reach outside" not in named.err
    (project.folder / "canary").unlink(missing_ok=True)
    wrong = project.run("source=saved_model", "source.path=words", "source.allow=[ReadFile]", "name=allowed")
    assert wrong.code == 2 and "has no operator 'ReadFile' to allow" in wrong.err
