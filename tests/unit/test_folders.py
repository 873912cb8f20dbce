"""Which recipe an output folder belongs to, and which build what lies in it."""

import json
from dataclasses import replace

import pytest
from frozen import recipe

from tflbuild.config.composing.config_errors import KeyLocations
from tflbuild.errors import RecipeError, StepError
from tflbuild.pipeline.output_folders import claim_folders, open_folders, record_failure
from tflbuild.report.output_files import variant_folder
from tflbuild.storage.store import Store

STEPS = {"import": "1" * 64, "convert": "2" * 64}
SOURCE = "source: {path: net.keras}\n"


@pytest.fixture(autouse=True)
def project(empty_folder, tmp_path):
    for name in ("a", "b", "x/net", "x-net"):
        file = tmp_path / "recipes" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{SOURCE}name: net\n")
    return tmp_path


@pytest.fixture
def locations(project):
    def of(name, *overrides):
        return KeyLocations(recipe=project / "recipes" / f"{name}.yaml", overrides=overrides)

    return of


@pytest.fixture
def store(project):
    return Store(project / "store")


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# one recipe a folder


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("x/net", "x-net"), ("a", None)])
def test_another_recipe_of_the_same_name_is_refused_with_both_files(locations, first, second):
    claim_folders([recipe()], [locations(first)])
    with pytest.raises(RecipeError, match="outputs/net belongs to another recipe") as caught:
        claim_folders([recipe()], [locations(second) if second else KeyLocations()])
    assert f"'recipes/{first}.yaml'" in caught.value.why
    assert (f"'recipes/{second}.yaml'" if second else "names no recipe") in caught.value.why
    claim_folders([recipe()], [locations(first)])


def test_two_of_one_name_in_one_sweep_are_refused_and_nothing_is_claimed(locations, project):
    with pytest.raises(RecipeError):
        claim_folders([recipe(), recipe()], [locations("a"), locations("b")])
    assert not (project / "outputs").exists()


def test_a_recipe_that_is_edited_keeps_its_folder(locations, project):
    claim_folders([recipe()], [locations("a")])
    (project / "recipes" / "a.yaml").write_text(f"{SOURCE}name: net\ndataset: {{count: 3}}\n")
    claim_folders([recipe(), recipe(variant="quantization=none")], [locations("a"), locations("a")])


def test_a_recipe_that_is_renamed_takes_its_folder_along(locations, project):
    claim_folders([recipe()], [locations("a")])
    (project / "recipes" / "a.yaml").rename(project / "recipes" / "b.yaml")
    claim_folders([recipe()], [locations("b")])
    assert json.loads((project / "outputs" / "net" / "recipe.json").read_text())["recipe"] == "b"


def test_a_folder_whose_recipe_has_another_name_by_now_is_free(locations, project):
    claim_folders([recipe()], [locations("a")])
    (project / "recipes" / "a.yaml").write_text(f"{SOURCE}name: other\n")
    claim_folders([recipe()], [locations("b")])


def test_a_name_from_the_command_line_holds_its_folder_as_well(locations, project):
    (project / "recipes" / "a.yaml").write_text(SOURCE)
    claim_folders([recipe()], [locations("a", "name=net")])
    with pytest.raises(RecipeError) as caught:
        claim_folders([recipe()], [locations("b", "name=net")])
    assert caught.value.where == "command line: name=net"


def test_another_clone_of_the_project_has_the_same_recipe(locations, project, monkeypatch):
    claim_folders([recipe(output_root=str(project / "shared"))], [locations("a")])
    clone = project / "clone"
    (clone / "recipes").mkdir(parents=True)
    (clone / "recipes" / "a.yaml").write_text(SOURCE)
    monkeypatch.chdir(clone)
    claim_folders([recipe(output_root=str(project / "shared"))], [KeyLocations(recipe=clone / "recipes" / "a.yaml")])


# one build a folder


@pytest.fixture
def built(locations, store):
    """The folder of a variant that was built, and its request."""
    (request,) = open_folders([recipe()], [locations("a")], [STEPS], store)
    folder = variant_folder(recipe())
    (folder / "model.tflite").write_text("model")
    (folder / "card.md").write_text("card")
    (folder / "runners").mkdir()
    (folder / "runners" / "runner.py").write_text("program")
    (folder / "tflm").mkdir()
    (folder / "tflm" / "model.cc").write_text("array")
    manifest = {"request": request, "targets": {"tflm": {}}, "artifact": {"sha256": "of the model"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder, request


ALL = ["card.md", "manifest.json", "model.tflite", "runners/runner.py", "tflm/model.cc"]


def test_the_same_request_leaves_the_artifact_alone(built, locations, store):
    folder, request = built
    timed = STEPS | {"benchmark android": "9" * 64}
    assert open_folders([recipe()], [locations("a")], [timed], store) == [request]
    assert names(folder) == ALL


@pytest.mark.parametrize(
    ("other", "steps"),
    [
        (recipe(), STEPS | {"convert": "3" * 64}),
        (recipe(verify=replace(recipe().verify, gates=(("top1_drop", 0.5),))), STEPS),
    ],
    ids=["inputs", "gate"],
)
def test_another_request_sets_aside_what_is_there_before_anything_runs(built, locations, store, other, steps):
    folder, _ = built
    open_folders([other], [locations("a")], [steps], store)
    assert names(folder) == [f"previous.{name}" for name in ALL]


def test_a_failed_build_says_so_in_the_folder_and_leaves_no_artifact_under_its_name(built, store):
    folder, request = built
    error = StepError("it broke", where="step 'convert'", why="no reason", next_step="mend it")
    for _ in range(2):
        record_failure(recipe(), store, request, "failed in convert", error)
        assert names(folder) == ["failure.json", *(f"previous.{name}" for name in ALL)]
    failure = json.loads((folder / "failure.json").read_text())
    assert failure["previous_artifact"] == "of the model" and failure["request"] == request
    assert failure["error"] == {"what": "it broke", "where": "step 'convert'", "why": "no reason", "next": "mend it"}
    assert (failure["result"], failure["exit_code"]) == ("failed in convert", 1)


def test_files_of_a_person_stay_where_they_are(built, store):
    folder, request = built
    (folder / "notes.txt").write_text("of a person")
    record_failure(recipe(), store, request, "failed in convert", StepError("it broke"))
    assert "notes.txt" in names(folder)


def test_what_failed_first_leaves_a_record_and_no_artifact(locations, store):
    (request,) = open_folders([recipe()], [locations("a")], [STEPS], store)
    record_failure(recipe(), store, request, "failed in convert", StepError("it broke"))
    folder = variant_folder(recipe())
    assert names(folder) == ["failure.json"]
    assert json.loads((folder / "failure.json").read_text())["previous_artifact"] is None
