"""A store that two machines share, behind a real nginx and behind a server that speaks S3."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Project, processes_with_tensorflow, watch_imports
from needs import needs_program, require_module
from nginx import WORD, Nginx, free_port, served, shelf_of_nginx
from refusals import RECIPE

pytestmark = pytest.mark.heavy

READY = "+recipe=ready"  # a .tflite as the source: no TensorFlow, seconds to build
STEPS = ["import", "check none", "package none"]


@pytest.fixture
def nginx(tmp_path) -> Iterator[Nginx]:
    """nginx on a folder of its own."""
    with shelf_of_nginx(tmp_path / "nginx") as one:
        yield one


@pytest.fixture
def machine(built, tmp_path):
    """Makes machines: each with a folder of its own, an empty store, and the recipe of a float .tflite."""
    digest = built.manifest()["steps"]["convert"]["outputs"]["model.tflite"]

    def make(name: str) -> Project:
        project = Project(tmp_path / name / "project", tmp_path / name / "store")
        project.folder.mkdir(parents=True)
        shutil.copyfile(built.store / "cas" / digest[:2] / digest, project.folder / "float.tflite")
        project.write(
            "recipes/ready.yaml",
            "defaults:\n  - override /source: tflite\n  - override /verify: none\nsource: {path: float.tflite}\n",
        )
        return project

    return make


def warnings(ran) -> list[str]:
    return [line for line in ran.err.splitlines() if line.startswith("warning")]


def artifact(project: Project, recipe: str = "ready") -> bytes:
    return (project.output(recipe) / "model.tflite").read_bytes()


def holds(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


# HTTP


@needs_program("nginx")
def test_what_one_machine_pushed_another_needs_not_make(nginx, machine):
    one, other = machine("one"), machine("other")
    made = one.run(READY, f"store.remote={nginx.writable}", "store.push=true")
    assert made.code == 0, made.err
    assert made.steps == dict.fromkeys(STEPS, "ran") and not warnings(made)
    assert {name.partition("/")[0] for name in nginx.files()} == {"ac", "cas"}
    found = other.run(READY, f"store.remote={nginx.url}")
    assert found.code == 0, found.err
    assert found.steps == dict.fromkeys(STEPS, "hit")
    assert found.err.count(f"from 127.0.0.1:{nginx.port}") == len(STEPS)
    assert artifact(one) == artifact(other)
    mine, theirs = (project.manifest("ready") for project in (one, other))
    assert mine["artifact"] == theirs["artifact"] and mine["overrides"] == theirs["overrides"] == [READY]
    again = other.run(READY, f"store.remote={nginx.url}", "--offline")  # what was fetched is here now
    assert again.steps == dict.fromkeys(STEPS, "hit") and "from" not in again.err
    alone = other.run(READY, "--offline")  # and serves those alone who believe that store
    assert alone.steps == dict.fromkeys(STEPS, "ran")
    for project in (one, other):
        assert holds(project.folder.parent, WORD) == []


@needs_program("nginx")
def test_the_second_machine_builds_the_default_model_without_tensorflow(nginx, built, tmp_path):
    nginx.fill(built.store)
    other = Project(tmp_path / "project", tmp_path / "store")
    other.folder.mkdir()
    found = other.run(RECIPE, TFLBUILD_REMOTE=nginx.url, **watch_imports(other))
    assert found.code == 0, found.err
    assert set(found.steps.values()) == {"hit"} and len(found.steps) == 12
    assert processes_with_tensorflow(other) == 0
    assert artifact(other, "mobilenet_int8") == artifact(built, "mobilenet_int8")
    assert other.run(RECIPE, TFLBUILD_REMOTE=nginx.url).err == ""  # up to date, by the note alone
    asked = [line for line in nginx.requests() if "/ac/" in line]
    assert len(asked) == len(set(asked)) == 12, "each key is asked for once"


@needs_program("nginx")
def test_without_push_nothing_is_written_and_offline_nothing_asked(nginx, machine):
    one = machine("one")
    assert one.run(READY, f"store.remote={nginx.writable}").code == 0
    assert nginx.files() == {} and nginx.requests()
    assert not [line for line in nginx.requests() if not line.startswith("GET")]
    before = len(nginx.requests())
    done = one.run("--offline", READY, "quantization=float16", f"store.remote={nginx.writable}", "store.push=true")
    assert done.code == 0 and len(nginx.requests()) == before


@needs_program("nginx")
@pytest.mark.parametrize("damage", ["poisoned", "cut", "lost"])
def test_a_bad_blob_is_made_again_with_the_right_bytes(nginx, machine, damage):
    one, other = machine("one"), machine("other")
    assert one.run(READY, f"store.remote={nginx.writable}", "store.push=true").code == 0
    digest = one.manifest("ready")["artifact"]["sha256"]
    blob = nginx.folder / "cas" / digest
    raw = blob.read_bytes()
    blob.unlink()
    if damage != "lost":
        blob.write_bytes(raw[:1000] + b"!" + raw[1001:] if damage == "poisoned" else raw[:1000])
    told = [f"store.remote={nginx.writable}", "store.push=true"]
    done = other.run(READY, *told)
    assert done.code == 0, done.err
    assert done.steps == {**dict.fromkeys(STEPS, "hit"), "import": "ran"}
    assert warnings(done) == []
    assert artifact(other) == artifact(one)
    assert blob.read_bytes() == raw, "who may push mends it"


@needs_program("nginx")
def test_a_server_that_dies_costs_a_warning(nginx, machine):
    one = machine("one")
    command = [sys.executable, "-m", "tflbuild", READY, f"store.remote={nginx.writable}", "store.push=true"]
    with subprocess.Popen(
        command, cwd=one.folder, env=one.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = [process.stderr.readline()]
        nginx.process.kill()
        lines += process.stderr.readlines()
        out = process.stdout.read()
    assert process.returncode == 0, lines
    assert lines[0].split()[:2] == ["import", "ran"]
    (warning,) = [line for line in lines if "warning" in line]
    assert f"127.0.0.1:{nginx.port} is not available" in warning and WORD not in warning
    assert warning.endswith("the build uses the local store only\n")
    assert out.startswith("built") and artifact(one)
    assert len(lines) <= len(STEPS) + 2  # the warning, and that uploads are waited for


@needs_program("nginx")
def test_who_may_not_write_is_told_so_and_builds(nginx, machine):
    one = machine("one")
    done = one.run(READY, f"store.remote={nginx.writable.replace(WORD, 'wrong')}", "store.push=true")
    assert done.code == 0, done.err
    (warning,) = warnings(done)
    assert "401" in warning and "wrong" not in done.err
    assert nginx.files() == {}


# S3


@pytest.fixture
def s3(monkeypatch) -> Iterator[str]:
    """A bucket of moto's server; the environment names it as it would name any."""
    require_module("moto", "dev")
    address = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "moto.server", "-p", address.rpartition(":")[2]]
    with served(command, address):
        urllib.request.urlopen(urllib.request.Request(f"{address}/models", method="PUT")).close()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": WORD,
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        yield "s3://models/tflbuild"


def test_s3_is_such_a_store_too(s3, machine, monkeypatch):
    one, other, third = machine("one"), machine("other"), machine("third")
    made = one.run(READY, f"store.remote={s3}", "store.push=true")
    assert made.code == 0 and not warnings(made), made.err
    found = other.run(READY, TFLBUILD_REMOTE=s3)
    assert found.code == 0, found.err
    assert found.steps == dict.fromkeys(STEPS, "hit") and f"from {s3}" in found.err
    assert artifact(one) == artifact(other)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    alone = third.run(READY, TFLBUILD_REMOTE=s3)
    assert alone.code == 0 and artifact(third) == artifact(one)
    (warning,) = warnings(alone)
    assert f"{s3} is not available" in warning and WORD not in alone.err
