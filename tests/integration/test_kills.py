"""A sweep that is ended by SIGKILL at any moment loses nothing that was done: the next run gives the same bytes.

TFLBUILD_TEST_KILLS says how many moments are tried of each kind.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

import pytest
from needs import needs_program
from nginx import shelf_of_nginx
from processes import at_work, parent, started, until

pytestmark = pytest.mark.heavy

KILLS = int(os.environ.get("TFLBUILD_TEST_KILLS", "2"))
SWEEP = ("-m", "+recipe=ready", "quantization=none,float16,dynamic_int8,int8", "verify.dataset.count=200")


def artifacts(project):
    """Variant -> the artifact's bytes."""
    return {path.parent.name: path.read_bytes() for path in project.folder.rglob("model.tflite")}


@pytest.fixture(scope="module")
def undisturbed(ready_project):
    """(the artifacts of a sweep that nothing disturbs, the seconds that it takes)."""
    project = ready_project()
    begun = time.monotonic()
    done = project.run(*SWEEP)
    assert done.code == 0, done.err
    return artifacts(project), time.monotonic() - begun


def victims(project, what, process):
    """The processes to choose from."""
    if what == "parent":
        return [process.pid]
    inside = at_work(project.store)
    servers = [pid for pid in inside if parent(pid) not in inside]
    return servers if what == "server" else [pid for pid in inside if pid not in servers]


@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("what", ["parent", "server", "step"])
def test_a_kill_at_any_moment_loses_nothing(undisturbed, ready_project, what, number):
    wanted, seconds = undisturbed
    chance = random.Random(f"{what} {number}")
    project = ready_project()
    with started(project, *SWEEP) as finish:
        time.sleep(chance.uniform(0, seconds))
        found = victims(project, what, finish.process)
        if found:
            with suppress(ProcessLookupError):  # it was quicker
                os.kill(chance.choice(found), signal.SIGKILL)
        done = finish()
    until(lambda: not at_work(project.store), "the end of every worker")
    if what != "parent" or done.code == 0:
        assert done.code in (0, 1) and "Traceback" not in done.err, done.err
    again = project.run(*SWEEP)
    assert again.code == 0, again.err
    assert artifacts(project) == wanted
    assert not list((project.store / "tmp").iterdir())


@needs_program("nginx")
@pytest.mark.parametrize("number", range(KILLS))
def test_a_shared_store_that_is_killed_at_any_moment_disturbs_no_build(undisturbed, ready_project, tmp_path, number):
    """Neither the build that sent to it, nor one of another machine when it answers again."""
    wanted, seconds = undisturbed
    chance = random.Random(f"remote {number}")
    one, other = ready_project(), ready_project()
    with (
        shelf_of_nginx(tmp_path / "nginx") as shelf,
        started(one, *SWEEP, f"store.remote={shelf.writable}", "store.push=true") as finish,
    ):
        time.sleep(chance.uniform(0, seconds))
        shelf.process.kill()
        done = finish()
    assert done.code == 0, done.err
    assert done.err.count("warning: the shared store") <= 1
    with shelf_of_nginx(tmp_path / "nginx") as shelf:
        again = other.run(*SWEEP, f"store.remote={shelf.url}")
    assert again.code == 0, again.err
    assert artifacts(one) == artifacts(other) == wanted
