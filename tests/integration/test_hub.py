"""Models from a hub, through the real command line and a real server that speaks the hub's protocol."""

from __future__ import annotations

import gzip
import io
import json
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from commandline import Project

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.steps.sources import hub_fetch

pytestmark = pytest.mark.heavy

MAKE = """
import sys, tensorflow as tf
for number in (1, 2):
    module = tf.Module()
    module.weight = tf.Variable(tf.fill((8, 4), float(number)))
    spec = [tf.TensorSpec((None, 8), tf.float32, name="x")]
    traced = tf.function(lambda x: {"y": x @ module.weight}, input_signature=spec)
    tf.saved_model.save(module, f"{sys.argv[1]}/model{number}", signatures={"serving_default": traced})
"""
ASKED = "?tf-hub-format=compressed"


def tar_of(folder, *members, prefix=""):
    """A .tar.gz of a folder, and of further members and their bytes."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as tar:
        for path in sorted(folder.rglob("*")) if folder else ():
            tar.add(path, prefix + path.relative_to(folder).as_posix(), recursive=False)
        for member, data in members:
            tar.addfile(member, io.BytesIO(data) if data else None)
    return body.getvalue()


def member(name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


class Hub:
    """A server on this machine. `pages` maps a path to the answers that it gives in turn, the last one for ever."""

    def __init__(self):
        self.pages = {}
        self.asked = []
        self.encodings = set()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.asked.append(self.path)
                hub.encodings.add(self.headers["Accept-Encoding"])
                path = self.path.partition("?")[0]
                answers = hub.pages.get(path, [page(404, b"no such model")])
                count = Counter(asked.partition("?")[0] for asked in hub.asked)[path]
                answers[min(count, len(answers)) - 1](self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, path, *answers):
        """The handle of a page."""
        self.pages[path] = list(answers)
        return self.url + path

    def count(self, path):
        return sum(asked.partition("?")[0] == path for asked in self.asked)

    def stop(self):
        if self.server.socket.fileno() >= 0:
            self.server.shutdown()
            self.server.server_close()


def page(code, body=b"", announced=None, **headers):
    """An answer; `announced` is the length that it claims, of which `body` may fall short."""

    def answer(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if announced != "nothing":
            handler.send_header("Content-Length", str(announced or len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def reset(handler):
    """A connection that breaks before anything was said."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the SavedModels model1 and model2."""
    folder = tmp_path_factory.mktemp("hub")
    made = subprocess.run([sys.executable, "-c", MAKE, folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def archive(models):
    """model1 as a hub sends it."""
    return tar_of(models / "model1")


@pytest.fixture
def hub(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Hub()
    yield server
    server.stop()


@pytest.fixture
def handle(hub, archive):
    """A model whose handle leads over another page to a storage, as tfhub.dev's did and Kaggle's do."""
    hub.serve("/storage/model.tar.gz", page(200, archive, Content_Type="application/gzip"))
    hub.serve("/second", page(303, Location=hub.url + "/storage/model.tar.gz?X-Signature=secret"))
    return hub.serve("/google/thing/1", page(302, Location="/second"))


def arguments(handle, *more, name="model"):
    return ("source=hub", f"source.handle={handle}", f"name={name}", *more)


def refused(project: Project, code, *arguments, **environment):
    """The error of a command that ends with a code; nothing half-made is left."""
    done = project.run(*arguments, **environment)
    assert done.code == code, done.err
    assert "next:" in done.err
    assert "source.handle" in done.err or "source.sha256" in done.err
    assert not list(project.folder.rglob("*.tflite"))
    left = list((project.store / "tmp").iterdir()) if (project.store / "tmp").exists() else []
    assert not left, left
    return done.err


def built(project, *arguments):
    done = project.run(*arguments)
    assert done.code == 0, done.err
    return done


def manifest_of(project, name="model"):
    """Of the one variant that a name was built in."""
    (path,) = (project.folder / "outputs" / name).rglob("manifest.json")
    return path.read_text()


def fetched(project, name="model"):
    return json.loads(manifest_of(project, name))["steps"]["fetch"]["outputs"]["model/"]


# what is there


def test_a_model_is_fetched_once_over_its_redirects(project, hub, handle, archive):
    first = built(project, *arguments(handle))
    assert first.steps["fetch"] == "ran"
    assert hub.asked == ["/google/thing/1" + ASKED, "/second", "/storage/model.tar.gz?X-Signature=secret"]
    digest = fetched(project)
    hub.stop()
    second = built(project, *arguments(handle, name="again"))
    assert second.steps["fetch"] == second.steps["import"] == "hit"
    assert fetched(project, "again") == digest
    assert "secret" not in manifest_of(project)


def test_offline_takes_what_the_store_has_and_refuses_the_rest(project, hub, handle):
    err = refused(project, 4, "--offline", *arguments(handle))
    assert "--offline forbids fetching it" in err
    assert not hub.asked
    built(project, *arguments(handle))
    asked = list(hub.asked)
    assert built(project, "--offline", *arguments(handle, name="again")).steps["fetch"] == "hit"
    assert hub.asked == asked


def test_a_pin_is_held(project, hub, models, archive):
    handle = hub.serve("/m", page(200, archive))
    wrong = "0" * 64
    err = refused(project, 2, *arguments(handle, f"source.sha256={wrong}"))
    assert "is not the model that the recipe pins" in err
    assert f"pinned is     {wrong}" in err
    built(project, *arguments(handle))
    first = fetched(project)
    assert f"its digest is {first}" in err
    asked = hub.count("/m")
    assert built(project, *arguments(handle, f"source.sha256={first}", name="pinned")).steps["fetch"] == "hit"
    assert hub.count("/m") == asked

    hub.serve("/m", page(200, tar_of(models / "model2")))
    assert built(project, *arguments(handle, f"source.sha256={first}", name="kept")).steps["fetch"] == "hit"
    err = project.run(*arguments(handle, f"source.sha256={wrong}", name="wrong"))
    assert err.code == 2
    second = err.err.partition("its digest is ")[2][:64]
    assert second != first
    done = built(project, *arguments(handle, f"source.sha256={second}", name="new"))
    assert done.steps["import"] == "ran"
    assert fetched(project, "new") == second
    assert built(project, *arguments(handle, f"source.sha256={second}", name="newer")).steps["fetch"] == "hit"


def test_a_pin_of_new_content_fetches_again(project, hub, models, archive, tmp_path):
    """The store has the old content under the same key."""
    handle = hub.serve("/m", page(200, archive))
    built(project, *arguments(handle))
    hub.serve("/m", page(200, tar_of(models / "model2")))
    (tmp_path / "elsewhere").mkdir()
    other = Project(tmp_path / "elsewhere", tmp_path / "other-store")
    built(other, *arguments(handle))
    new = fetched(other)
    assert new != fetched(project)
    done = built(project, *arguments(handle, f"source.sha256={new}", name="new"))
    assert done.steps["fetch"] == "ran"
    assert fetched(project, "new") == new


def test_a_folder_and_an_archive_at_hand_are_handles_too(project, models, hub, archive):
    (project.folder / "model.tar.gz").write_bytes(archive)
    (project.folder / "deeper.tar").write_bytes(gzip.decompress(tar_of(models / "model1", prefix="model/")))
    for handle, name in ((models / "model1", "folder"), ("model.tar.gz", "archive"), ("deeper.tar", "deeper")):
        built(project, "--offline", *arguments(handle, name=name))
    digests = {fetched(project, name) for name in ("archive", "deeper")}
    assert len(digests) == 1
    pin = digests.pop()
    handle = hub.serve("/m", page(200, archive))
    for one in (models / "model1", "model.tar.gz", handle):
        built(project, *arguments(one, f"source.sha256={pin}", name="pinned"))
    (project.folder / "model.tar.gz").write_bytes(tar_of(models / "model2"))
    assert built(project, *arguments("model.tar.gz", name="archive")).steps["fetch"] == "ran"
    assert fetched(project, "archive") != pin


def test_a_hub_handle_is_inspected(project, hub, handle):
    done = built(project, "inspect", handle)
    assert "x" in done.out
    assert "float32" in done.out
    recipe = built(project, "inspect", handle, "--as-recipe")
    assert handle in recipe.out
    assert hub.count("/storage/model.tar.gz") == 1


# what is not


def test_what_a_hub_refuses_is_told(project, hub):
    handle = hub.serve("/m", page(403, b"<Code>AccessDenied</Code>"))
    err = refused(project, 4, *arguments(handle))
    assert "answered 403 Forbidden: <Code>AccessDenied</Code>" in err
    assert "https://www.kaggle.com/models" in err
    assert hub.count("/m") == 1


def test_a_model_of_kaggle_that_wants_consent_names_the_package(project, hub):
    """The server stands in as the proxy to Kaggle, which a handle of tfhub.dev leads to."""
    page_of_model = "http://www.kaggle.com/models/google/yamnet/tensorFlow2/yamnet/1"
    hub.pages["http://tfhub.dev/google/yamnet/1"] = [page(302, Location=page_of_model + ASKED)]
    hub.pages[page_of_model] = [page(403, b"consent required")]
    handle = "http://tfhub.dev/google/yamnet/1"
    err = refused(project, 4, *arguments(handle), http_proxy=hub.url)
    assert hub.asked == [handle + ASKED, page_of_model + ASKED]
    assert f"Kaggle refuses '{handle}'" in err
    assert "consent required" in err
    assert "pip install kagglehub" in err


def test_a_model_that_is_not_there_is_the_recipes_mistake(project, hub):
    err = refused(project, 2, *arguments(hub.url + "/google/typo/1"))
    assert f"there is no model at '{hub.url}/google/typo/1'" in err
    assert "answered 404 Not Found: no such model" in err
    assert len(hub.asked) == 1


def test_a_server_that_stumbles_is_asked_again(project, hub, archive):
    handle = hub.serve("/m", page(500, b"oops"), page(200, archive))
    built(project, *arguments(handle))
    assert hub.count("/m") == 2


def test_a_download_that_always_breaks_off_is_given_up(project, hub, archive):
    handle = hub.serve("/m", page(200, archive[:-9], announced=len(archive)))
    err = refused(project, 4, *arguments(handle))
    assert "9 more expected" in err
    assert "tried 3 times" in err
    assert hub.count("/m") == 3


def test_a_page_in_the_place_of_an_archive_is_told(project, hub):
    handle = hub.serve("/m", page(200, b"<!doctype html><title>Sign in</title>", Content_Type="text/html"))
    err = refused(project, 2, *arguments(handle))
    assert f"'{handle}' is no .tar or .tar.gz" in err
    assert "text/html of 37 bytes that begins with '<!doctype html>" in err


HOSTILE = {
    "traversal": (member("../../../evil", b"x"), "leads out of its folder"),
    "absolute": (member("/tmp/evil", b"x"), "is an absolute path"),
    "symlink": (member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'link' is a symbolic link"),
    "hard link": (member("link", type=tarfile.LNKTYPE, linkname="saved_model.pb"), "'link' is a hard link"),
    "bomb": (member("zeros", b"\0" * (200 << 20)), "unpacks to more than"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused(project, hub, models, case):
    extra, word = HOSTILE[case]
    handle = hub.serve("/m", page(200, tar_of(None if case == "bomb" else models / "model1", extra)))
    err = refused(project, 2, *arguments(handle))
    assert f"the archive '{handle}' is refused" in err
    assert word in err
    assert not list(project.store.parent.rglob("evil"))


def test_an_archive_without_a_model_is_listed(project, hub):
    handle = hub.serve("/m", page(200, tar_of(None, member("model.tflite", b"TFL3"))))
    err = refused(project, 2, *arguments(handle))
    assert "contains no SavedModel" in err
    assert "there is: model.tflite" in err
    assert "source=tflite" in err


def test_a_port_where_nobody_listens_is_told(project, hub):
    hub.stop()
    err = refused(project, 4, *arguments(hub.url + "/m"))
    assert "Connection refused (tried 3 times)" in err


def test_a_scheme_that_nobody_reads_is_told(project):
    err = refused(project, 2, *arguments("s3://bucket/model"))
    assert "the installed TensorFlow cannot read s3:// addresses" in err


# the protocol, without the command line around it


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """run() of the worker for a handle: the names of the model's files, or the error's fields."""
    monkeypatch.setattr(hub_fetch, "WAITS", (0.01, 0.02))

    def run(handle):
        folder = tmp_path / str(time.monotonic_ns())
        (folder / "outputs").mkdir(parents=True)
        request = StepRequest(folder=folder, params={"handle": handle}, inputs={}, labels={})
        try:
            facts = hub_fetch.run(request)
        except WorkerError as error:
            assert not list((folder / "outputs").iterdir())
            assert error.fields["next_step"]
            return error.fields
        assert facts["files"] == len([path for path in folder.rglob("outputs/model/**/*") if path.is_file()])
        return facts

    return run


def test_the_facts_say_where_the_bytes_came_from(fetch, hub, handle, archive):
    assert fetch(handle) == {"url": hub.url + "/storage/model.tar.gz", "bytes": len(archive), "files": 4}


@pytest.mark.parametrize(
    "stumble",
    [
        reset,
        page(429, b"slow down", Retry_After="0"),
        page(502),
        page(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        page(200, b"short", announced=10**6),
        page(200, b"5\r\nshort\r\n", announced="nothing", Transfer_Encoding="chunked"),
    ],
)
def test_what_may_pass_is_tried_again(fetch, hub, archive, stumble):
    handle = hub.serve("/m", stumble, stumble, page(200, archive))
    assert fetch(handle)["bytes"] == len(archive)
    assert hub.count("/m") == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 410, 418, 451])
def test_a_refusal_is_not_tried_again(fetch, hub, code):
    found = fetch(hub.serve("/m", page(code)))
    assert found["kind"] == ("recipe" if code in (400, 404, 410) else "environment")
    assert f"answered {code}" in found["why"]
    assert hub.count("/m") == 1


def test_a_server_may_ask_for_patience(fetch, hub, archive):
    handle = hub.serve("/m", page(429, Retry_After="1"), page(200, archive))
    started = time.monotonic()
    fetch(handle)
    assert time.monotonic() - started > 1


def test_silence_has_an_end(fetch, hub, archive, monkeypatch):
    monkeypatch.setattr(hub_fetch, "READ_SECONDS", 0.2)
    handle = hub.serve("/m", lambda handler: time.sleep(2))
    found = fetch(handle)
    assert found["kind"] == "environment"
    assert found["why"] == "timed out (tried 3 times)"


def test_silence_in_the_middle_has_an_end(fetch, hub, archive, monkeypatch):
    monkeypatch.setattr(hub_fetch, "READ_SECONDS", 0.2)

    def stall(handler):
        page(200, archive[:100], announced=len(archive))(handler)
        handler.wfile.flush()
        time.sleep(2)

    found = fetch(hub.serve("/m", stall))
    assert found["kind"] == "environment"
    assert found["why"] == "timed out (tried 3 times)"


def test_a_body_of_unknown_length_is_taken_whole(fetch, hub, archive):
    assert fetch(hub.serve("/m", page(200, archive, announced="nothing")))["bytes"] == len(archive)
    found = fetch(hub.serve("/cut", page(200, archive[:-20], announced="nothing")))
    assert "broken or cut short" in found["what"]


def test_a_body_that_is_called_encoded_is_what_it_is(fetch, hub, archive):
    """Some servers call a .tar.gz a tar with the encoding gzip."""
    answer = page(200, archive, Content_Type="application/x-tar", Content_Encoding="gzip")
    assert fetch(hub.serve("/m.tar.gz", answer))["bytes"] == len(archive)
    assert hub.encodings == {"identity"}


def test_redirects_that_lead_nowhere_are_told(fetch, hub):
    found = fetch(hub.serve("/m", page(302, Location="/m")))
    assert found["kind"] == "environment"
    assert "30 redirects" in found["why"]
    for place in ("gs://bucket/model", "file:///etc/passwd"):
        found = fetch(hub.serve("/other", page(302, Location=place)))
        assert found["kind"] == "environment"
        assert place in found["why"]
        assert "tried" not in found["why"]
    found = fetch(hub.serve("/none", page(303)))
    assert "answered 303" in found["why"]


def test_the_url_of_an_archive_is_asked_for_as_it_is(fetch, hub, archive):
    fetch(hub.serve("/m.tar.gz", page(200, archive)) + "?X-Signature=1#part")
    assert hub.asked == ["/m.tar.gz?X-Signature=1"]


def test_the_environment_names_the_proxy(fetch, hub, archive, monkeypatch):
    monkeypatch.setenv("http_proxy", hub.url)
    hub.pages["http://hub.invalid/m"] = [page(200, archive)]
    assert fetch("http://hub.invalid/m")["url"] == "http://hub.invalid/m"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert "Connection refused" in fetch("http://hub.invalid/m")["why"]
