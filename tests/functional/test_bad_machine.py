"""A disk that is full or closed, a process that dies, an interrupt: one error, and nothing half-made stays."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from needs import require
from processes import POLL_SECONDS, at_work, child, server, shard, started, until
from refusals import RECIPE, refusal_of, refused_at_once

pytestmark = pytest.mark.heavy


def assert_nothing_half_made(project):
    until(lambda: not at_work(project.store), "the end of every worker")
    assert list((project.store / "tmp").iterdir()) == []
    assert list(project.store.rglob(".new-*")) == []
    outputs = project.folder / "outputs"
    assert [path for path in outputs.rglob("*") if path.name.startswith(".") or path.suffix == ".tflite"] == []
    assert list(outputs.rglob("manifest.json")) == []


def assert_completes(project, *arguments):
    done = project.run(*arguments)
    assert done.code == 0, done.err
    assert "built  " in done.out


# looking at disks


@pytest.fixture
def disk():
    """Mounts a small or closed disk on a folder, for one test."""
    mounted: list[Path] = []

    def call(*arguments):
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
        require("the right to mount disks", done.returncode == 0, done.stderr.strip())

    def mount(folder: Path, options: str) -> Path:
        require("the right to mount disks", os.geteuid() == 0, "run as root")
        folder.mkdir(exist_ok=True)
        if options == "closed":
            call("--bind", folder, folder)
            mounted.append(folder)
            call("-o", "remount,ro,bind", folder)
        else:
            call("-t", "tmpfs", "-o", options, "tmpfs", folder)
            mounted.append(folder)
        return folder

    try:
        yield mount
    finally:
        for folder in reversed(mounted):
            subprocess.run(["umount", "-l", str(folder)], check=True)


# outputs


def test_a_file_in_the_place_of_the_outputs_is_met_before_anything_runs(project):
    project.write("outputs", "")
    found = refused_at_once(project.run(RECIPE), "environment")
    assert "outputs/mobilenet_int8/default" in found.what and "output_root=" in found.next


@pytest.mark.parametrize("name", ["model.tflite", "model.rejected.tflite", "manifest.json", "card.md"])
def test_a_folder_in_the_place_of_an_output_is_the_environments_fault(warm, name):
    (warm.output() / name / "inner").mkdir(parents=True)
    found = refusal_of(warm.run(RECIPE))
    assert found.kind == "environment" and "outputs/mobilenet_int8/default" in found.text


def test_a_closed_outputs_folder_is_met_before_anything_runs(project, disk):
    disk(project.folder / "outputs", "closed")
    found = refused_at_once(project.run(RECIPE), "environment")
    assert "outputs/mobilenet_int8" in found.what and "Read-only file system" in found.why


def test_another_place_for_the_outputs_helps(warm, disk):
    disk(warm.folder / "outputs", "closed")
    done = warm.run(RECIPE, "output_root=elsewhere")
    assert done.code == 0 and (warm.folder / "elsewhere/mobilenet_int8/default/model.tflite").is_file()


@pytest.mark.parametrize("size", ["16k", "64k", "200k"])
def test_a_full_outputs_disk_gets_no_half_model(warm, disk, size):
    outputs = disk(warm.folder / "outputs", f"size={size}")
    found = refusal_of(warm.run(RECIPE))
    assert found.kind == "environment"
    assert "outputs/mobilenet_int8/default" in found.what and "No space left on device" in found.why
    assert [path for path in outputs.rglob("*") if path.name.startswith(".new-")] == []
    assert not (warm.output() / "model.tflite").exists() or is_whole(warm)
    assert not (warm.output() / "manifest.json").exists()


def is_whole(project) -> bool:
    done = project.run(RECIPE, "output_root=elsewhere")
    assert done.code == 0
    good = project.folder / "elsewhere" / "mobilenet_int8" / "default" / "model.tflite"
    return good.read_bytes() == (project.output() / "model.tflite").read_bytes()


# the store


def test_a_file_in_the_place_of_the_store_is_the_environments_fault(project):
    project.store.write_text("")
    found = refused_at_once(project.run(RECIPE), "environment")
    assert str(project.store) in found.text and "TFLBUILD_STORE" in found.next


def test_a_closed_store_is_met_before_anything_runs(project, disk):
    disk(project.store, "closed")
    found = refused_at_once(project.run(RECIPE), "environment")
    assert str(project.store) in found.text and "TFLBUILD_STORE" in found.next


def test_what_would_run_can_be_asked_of_a_closed_store(warm, disk):
    disk(warm.store, "closed")
    done = warm.run("plan", RECIPE)
    assert done.code == 0 and "hits, 0 to run" in done.out


@pytest.mark.parametrize("size", ["16k", "900k", "8m"])
def test_a_full_store_is_the_environments_fault(project, disk, size):
    """The disk runs full in different steps, in tflbuild as well as in its workers."""
    disk(project.store, f"size={size}")
    done = project.run(RECIPE)
    found = refusal_of(done)
    assert found.kind == "environment", found.text
    assert "no space left on device" in found.text.lower()
    until(lambda: not at_work(project.store), "the end of every worker")
    assert list((project.folder / "outputs").rglob("*.tflite")) == []


def test_a_store_that_was_full_goes_on_when_it_has_room(project, disk):
    disk(project.store, "size=1500k")
    assert project.run(RECIPE).code == 4
    subprocess.run(["mount", "-o", "remount,size=64m", str(project.store)], check=True)
    assert_completes(project, RECIPE)


# processes that die

# With other operators or kernels the import is a hit, and the step is to be run.
CONVERT = (RECIPE, "opset=select_tf")
CALIBRATE = (RECIPE, "quantization.calibration.kernels=reference")  # which take long enough to be killed


@pytest.mark.parametrize(
    ("command", "kind", "number"),
    [
        (CONVERT, "convert", signal.SIGABRT),
        (CALIBRATE, "calibrate", signal.SIGSEGV),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
def test_a_step_that_a_signal_ends_is_one_failed_step(warm, command, kind, number):
    with started(warm, *command) as finish:
        os.kill(until(lambda: child(warm.store, kind), kind), number)
        done = finish()
    found = refusal_of(done)
    assert found.kind == "build" and number.name in found.what and found.next
    assert done.steps[kind] == "failed" and done.steps["import"] == "hit"
    assert (warm.folder / found.where.split("its log: ")[1]).is_file()
    assert_nothing_half_made(warm)
    assert_completes(warm, *command)


def test_a_share_of_the_samples_that_is_killed_is_tried_again(warm):
    with started(warm, *CALIBRATE) as finish:
        os.kill(until(lambda: shard(warm.store, "calibrate"), "a share"), signal.SIGKILL)
        done = finish()
    assert done.code == 0, done.err
    assert any("again" in line and "part of the samples" in line for line in done.err.splitlines()), done.err
    assert done.steps["calibrate"] == "ran"


def test_a_step_that_was_killed_is_tried_again_alone(warm):
    with started(warm, *CONVERT) as finish:
        os.kill(until(lambda: child(warm.store, "convert"), "convert"), signal.SIGKILL)
        done = finish()
    assert done.code == 0, done.err
    again = next(line for line in done.err.splitlines() if " again " in line)
    assert again.startswith("convert ") and "SIGKILL" in again
    assert done.steps["convert"] == "ran" and sum("import" in line for line in done.err.splitlines()) == 1


def test_a_step_that_is_killed_each_time_is_one_failed_step(warm):
    with started(warm, *CONVERT) as finish:
        first = until(lambda: child(warm.store, "convert"), "convert")
        os.kill(first, signal.SIGKILL)
        os.kill(
            until(lambda: child(warm.store, "convert") not in (None, first) and child(warm.store, "convert"), "again"),
            9,
        )
        done = finish()
    found = refusal_of(done)
    assert found.kind == "build" and "SIGKILL" in found.what and "memory" in found.next
    assert_nothing_half_made(warm)


@pytest.mark.parametrize("moment", ["starts", "works"])
def test_a_server_that_dies_is_started_again(warm, moment):
    with started(warm, *CONVERT) as finish:
        if moment == "works":
            until(lambda: child(warm.store, "convert"), "the conversion")
        os.kill(until(lambda: server(warm.store, "tensorflow"), "the server"), signal.SIGKILL)
        done = finish()
    assert done.code == 0, done.err
    assert "convert" in done.err and "again" in done.err and "tensorflow worker server ended by SIGKILL" in done.err


def test_a_server_that_dies_each_time_is_the_environments_fault(warm):
    seen: set[int | None] = {None}
    with started(warm, *CONVERT) as finish:
        while finish.process.poll() is None:
            found = server(warm.store, "tensorflow")
            if found not in seen:
                os.kill(found, signal.SIGKILL)
                seen.add(found)
            time.sleep(POLL_SECONDS)
        done = finish()
    found = refusal_of(done)
    assert found.kind == "environment"
    assert "tensorflow" in found.what and "SIGKILL" in found.what
    assert_nothing_half_made(warm)
    assert_completes(warm, *CONVERT)


def test_a_step_that_takes_too_long_is_one_failed_step(warm):
    done = warm.run(*CONVERT, "--timeout", "0.1")
    found = refusal_of(done)
    assert found.kind == "build" and "longer than 0.1 s" in found.why


# interrupts


@pytest.mark.parametrize(
    ("command", "moment", "number"),
    [
        (CONVERT, lambda store: server(store, "tensorflow"), signal.SIGTERM),
        (CONVERT, lambda store: child(store, "convert"), signal.SIGINT),
        (CALIBRATE, lambda store: child(store, "calibrate"), signal.SIGTERM),
        (CALIBRATE, lambda store: shard(store, "calibrate"), signal.SIGINT),
    ],
    ids=["server starts", "convert", "calibrate", "shares of calibrate"],
)
def test_an_interrupt_leaves_nothing_and_the_same_command_goes_on(warm, command, moment, number):
    with started(warm, *command) as finish:
        until(lambda: moment(warm.store), "the moment")
        finish.process.send_signal(number)
        done = finish()
    assert done.code == 130 and done.out == ""
    assert done.err.splitlines()[-1].startswith("interrupted: ")
    assert "error[" not in done.err
    assert_nothing_half_made(warm)
    assert_completes(warm, *command)


def test_an_interrupt_before_any_step_is_no_traceback(project):
    with started(project, RECIPE) as finish:
        until(lambda: server(project.store, "tensorflow"), "the server")
        finish.process.send_signal(signal.SIGINT)
        assert finish().code == 130
    assert_nothing_half_made(project)


def test_what_was_done_before_an_interrupt_is_not_done_again(project):
    with started(project, RECIPE) as finish:
        until(lambda: child(project.store, "convert"), "the conversion")
        finish.process.send_signal(signal.SIGINT)
        assert finish().code == 130
    done = project.run(RECIPE)
    assert done.code == 0 and done.steps["import"] == "hit" and done.steps["convert"] == "ran"


def test_a_second_interrupt_does_not_break_the_first(warm):
    with started(warm, *CONVERT) as finish:
        until(lambda: child(warm.store, "convert"), "the conversion")
        finish.process.send_signal(signal.SIGINT)
        finish.process.send_signal(signal.SIGINT)
        assert finish().code == 130
    assert_nothing_half_made(warm)


def test_tflbuild_killed_outright_takes_its_workers_along_and_is_swept_up_after(warm):
    with started(warm, *CONVERT) as finish:
        until(lambda: child(warm.store, "convert"), "the conversion")
        finish.process.kill()
        finish()
    until(lambda: not at_work(warm.store), "the end of every worker")
    assert_completes(warm, *CONVERT)
    assert list((warm.store / "tmp").iterdir()) == []
