"""The direction of imports, read from the source."""

import ast
from pathlib import Path

import pytest

import tflbuild

PACKAGE = Path(tflbuild.__file__).parent
HEAVY = {
    *("tensorflow", "keras", "tf_keras", "tensorflow_hub", "ai_edge_litert", "litert_quantizer"),
    *("tensorflow_model_optimization", "tflite_micro", "ethosu", "flatbuffers"),
    *("numpy", "h5py", "PIL"),
}
HYDRA = {"hydra", "omegaconf"}
RAY = {"ray"}
RAYS_PROCESSES = {"gateway", "node", "nodes"}  # modules of the room `cluster` that only run in processes of Ray's

# Each may import those listed and itself. What stands alone at the top of the package is named by its file.
MAY_IMPORT = {
    "errors": set(),
    "locations": set(),
    "interrupts": set(),
    "build_backend": {"resolve"},
    "options": {"core", "errors", "execute"},
    "core": set(),
    "targets": {"core"},
    "steps": set(),
    "storage": {"core"},
    "unchanged": {"core", "locations", "resolve", "storage"},
    "config": {"core", "errors", "locations", "targets"},
    "resolve": {"core", "errors", "locations", "storage", "steps", "targets"},
    "plan": {"core", "resolve", "targets"},
    "execute": {"core", "errors", "interrupts", "locations", "steps", "storage"},
    "cluster": {"core", "errors", "execute", "locations", "resolve", "steps", "storage", "__init__"},
    "search": {"core", "execute", "plan", "resolve"},
    "report": {"core", "errors", "execute", "locations", "plan", "resolve", "storage"},
    "reading": {"config", "core", "locations", "resolve", "steps"},
    "folders": {"config", "core", "errors", "report", "storage"},
    "pipeline": {
        *("cluster", "config", "core", "errors", "execute", "folders", "judging", "locations", "plan"),
        *("reading", "report", "resolve", "settlement", "steps", "storage", "unchanged"),
    },
    "settlement": {"config", "core", "errors", "execute", "plan", "resolve", "search"},
    "judging": {"config", "core", "errors", "report", "search", "settlement"},
    "doctor": {
        *("core", "errors", "execute", "judging", "locations", "pipeline", "plan", "report", "search", "storage"),
    },
    "inquiry": {
        *("config", "core", "errors", "execute", "folders", "locations", "pipeline"),
        *("plan", "report", "resolve", "storage"),
    },
    "jobs": {
        *("config", "core", "errors", "execute", "interrupts", "pipeline"),
        *("plan", "report", "resolve", "storage"),
    },
    "batches": {"config", "core", "errors", "execute", "folders", "jobs", "pipeline", "plan", "report"},
    "sweeps": {"core", "errors", "execute", "locations", "pipeline", "plan", "reading", "report", "resolve", "storage"},
    "reporting": {"core", "errors", "locations", "options", "pipeline", "report", "storage", "sweeps"},
    "commands": {
        *("batches", "config", "core", "doctor", "errors", "inquiry", "interrupts", "locations"),
        *("options", "pipeline", "report", "reporting", "storage", "sweeps"),
    },
    "cli": {"commands", "core", "unchanged"},
    "__main__": {"cli"},
    "__init__": set(),
    "workers": {"core", "targets"},
}


def modules():
    return [path for path in PACKAGE.rglob("*.py") if "assets" not in path.parts]


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Every module named by an import statement, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_of(path):
    return {parts[1] for name in imports(path) if (parts := name.split("."))[0] == "tflbuild" and len(parts) > 1}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    used = {name for name in rooms_of(path) if name in MAY_IMPORT}
    assert used <= MAY_IMPORT[room(path)] | {room(path)}


def test_every_room_has_its_rule():
    assert {room(path) for path in modules()} == set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_stay_in_the_workers_and_hydra_in_config(path):
    used = {name.split(".")[0] for name in imports(path)}
    assert not used & HEAVY or room(path) == "workers"
    assert not used & HYDRA or room(path) == "config"
    assert not used & RAY or (room(path) == "cluster" and path.stem in RAYS_PROCESSES)
    loaded = {name.split(".")[-1] for name in imports(path) if name.startswith("tflbuild.cluster.")}
    assert not loaded & RAYS_PROCESSES or path.stem in RAYS_PROCESSES


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_are_small(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_two_files_of_tests_have_one_name():
    """pytest imports a file of tests by its name alone: of two with one name it would refuse the second."""
    names = [path.name for path in (Path(__file__).parents[1]).rglob("test_*.py")]
    assert len(set(names)) == len(names), sorted({name for name in names if names.count(name) > 1})
