import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tflbuild.core.step_result import StepResult
from tflbuild.errors import MachineError
from tflbuild.report.output_files import prepare, set_aside, write_outputs
from tflbuild.storage.store import Store

ACTION = {"kind": "convert", "params": {}, "inputs": {}, "toolchain": {}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def step(store, tmp_path):
    """A finished step: its key, and its outputs: a text, or the texts of a folder by name."""

    def run(key, **outputs):
        made = {}
        for name, content in outputs.items():
            port = {"model": "model.tflite", "card": "card.md"}.get(name, f"{name}/")
            place = made[port] = tmp_path / f"made-{key}-{name}"
            if isinstance(content, str):
                place.write_text(content)
                continue
            place.mkdir()
            for file, text in content.items():
                (place / file).write_text(text)
        record = store.publish(key * 64, ACTION, made, {}, 1.0)
        digests = {name: output.digest for name, output in record.outputs.items()}
        return StepResult(step_id="id", status="ran", key=key * 64, outputs=digests)

    return run


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "outputs" / "net" / "default"
    prepare(place)
    return place


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_many_may_prepare_one_folder_at_once(tmp_path):
    folder = tmp_path / "outputs" / "net" / "default"
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: prepare(folder), range(400)))
    assert list(folder.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_the_environments_fault(tmp_path):
    (tmp_path / "outputs").write_text("in the way")
    with pytest.raises(MachineError, match="cannot write to"):
        prepare(tmp_path / "outputs" / "net")


@pytest.mark.parametrize("place", ["net", "net/default", "net/default/logs", "net/default/runners/android"])
def test_nothing_is_written_or_removed_through_a_link(place, store, tmp_path):
    """A stranger's project may bring output folders that lead to the user's own."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "thesis.txt").write_text("precious")
    link = tmp_path / "outputs" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(own)
    for touch in (prepare, lambda folder: set_aside(folder, store)):
        with pytest.raises(MachineError, match=f"output folder .*{place} is a link"):
            touch(tmp_path / "outputs" / "net" / "default")
    assert [file.name for file in own.iterdir()] == ["thesis.txt"]


def test_the_place_of_all_outputs_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    prepare(tmp_path / "outputs" / "net" / "default")
    assert (tmp_path / "disk" / "net" / "default").is_dir()


def test_builds_that_end_at_once_leave_what_one_of_them_made(store, step, folder):
    """Whole: the model, the programs beside it and the manifest that tells of them are of one build."""
    builds = {}
    for key, name in (("a", "one"), ("b", "two"), ("c", "three")):
        package = step(key, card=name, runners={f"{name}-{turn}.py": name for turn in range(20)})
        builds[name] = {"convert": step(key.upper(), model=name), "package": package}

    def build(turn):
        name = list(builds)[turn % 3]
        roles = {"quantize": builds[name]["convert"], "package": builds[name]["package"]}
        write_outputs(folder, store, roles, {"made": name}, accepted=True)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(build, range(60)))
    made = json.loads((folder / "manifest.json").read_text())["made"]
    runners = [f"runners/{made}-{turn}.py" for turn in range(20)]
    assert names(folder) == sorted(["card.md", "manifest.json", "model.tflite", *runners])
    assert {(folder / name).read_text() for name in ("model.tflite", "card.md", *runners)} == {made}


def test_what_a_target_was_compiled_to_goes_with_the_target(store, step, folder):
    roles = {"quantize": step("a", model="net"), "package": step("b", card="card", runners={})}
    tflm = {"target tflm": step("c", compiled={"model.cc": "bytes"})}
    manifest = {"targets": {"tflm": {}, "..": {}}}
    write_outputs(folder, store, roles | tflm, manifest, accepted=True)
    (folder / "mine").mkdir()
    (folder / "mine" / "notes").write_text("of a person")
    assert "tflm/model.cc" in names(folder)
    write_outputs(folder, store, roles, {"targets": {}}, accepted=True)
    assert names(folder) == ["card.md", "manifest.json", "mine/notes", "model.tflite"]


def test_what_failed_its_gates_leaves_nothing_compiled(store, step, folder):
    roles = {"quantize": step("a", model="net"), "package": step("b", card="card", runners={})}
    roles["target tflm"] = step("c", compiled={"model.cc": "bytes"})
    manifest = {"targets": {"tflm": {}}}
    write_outputs(folder, store, roles, manifest, accepted=True)
    write_outputs(folder, store, roles, manifest, accepted=False)
    assert names(folder) == ["card.md", "manifest.json", "model.rejected.tflite"]


@pytest.mark.parametrize("left", ["not json", "[]", '{"targets": 3}', "{}"])
def test_a_manifest_that_cannot_be_read_is_written_anew(store, step, folder, left):
    (folder / "manifest.json").write_text(left)
    roles = {"quantize": step("a", model="net"), "package": step("b", card="card", runners={})}
    write_outputs(folder, store, roles, {"targets": {}}, accepted=True)
    assert json.loads((folder / "manifest.json").read_text()) == {"targets": {}}
