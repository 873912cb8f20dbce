"""The shared store as it can be: whole, damaged, lying, silent, gone."""

from __future__ import annotations

import gzip
import itertools
import json
import select
import threading
import time

import pytest
from shelves import open_shelf

from tflbuild.core.digest import hash_bytes, hash_tree
from tflbuild.core.remote_cache_settings import RemoteCacheSettings
from tflbuild.core.step import Plan, Step, StepInput, hash_action
from tflbuild.core.step_result import StepResult
from tflbuild.execute.cache_lookup import list_inherited_origins
from tflbuild.execute.events import Notice, StepEnded
from tflbuild.execute.executor import Executor
from tflbuild.execute.remote_cache import RemoteCache
from tflbuild.execute.run_limits import Limits
from tflbuild.storage import store as stores
from tflbuild.storage.http_storage import HttpRemote
from tflbuild.storage.store import Store

SILENT_SECONDS = 0.3
CHECK = Step(kind="check", params={"n": 1}, inputs=(), toolchain={}, title="check")
OTHER = Step(kind="check", params={"n": 2}, inputs=(), toolchain={}, title="check")
SAMPLE = Step(kind="sample", params={}, inputs=(), toolchain={}, title="samples")
BENCHMARK = Step(kind="benchmark", params={}, inputs=(), toolchain={}, title="benchmark")


def key_of(step):
    return hash_action(step.action({}))


KEY = key_of(CHECK)
MODEL = b"found" * 100


def publish(store, tmp_path, step, **texts):
    outputs = {}
    for name, text in {**texts, "log.txt": b""}.items():
        name = name.replace("_", "/") if name.endswith("_") else name.replace("_json", ".json")
        path = tmp_path / f"made-{len(list(tmp_path.iterdir()))}"
        if isinstance(text, dict):
            for inside, content in text.items():
                (path / inside).parent.mkdir(parents=True, exist_ok=True)
                (path / inside).write_bytes(content)
        else:
            path.write_bytes(text)
        outputs[name] = path
    return store.publish(key_of(step), step.action({}), outputs, {"bytes": 1}, 2.5)


@pytest.fixture
def theirs(tmp_path):
    store = Store(tmp_path / "theirs")
    publish(store, tmp_path, CHECK, check_json=MODEL)
    return store


@pytest.fixture
def mine(tmp_path):
    return Store(tmp_path / "mine")


@pytest.fixture
def shelf(theirs):
    with open_shelf() as shelf:
        shelf.fill(theirs)
        yield shelf


@pytest.fixture
def notices():
    return []


@pytest.fixture
def exchange_with(mine, tmp_path, notices):
    """Opens an exchange with the store behind a URL; all are closed at the end."""
    opened = []

    def open_exchange(url, *, push=False, seconds=60.0):
        def show(event):
            if isinstance(event, Notice):
                notices.append(event.text)

        remote = HttpRemote(url, connect=SILENT_SECONDS, silent=SILENT_SECONDS)
        exchange = RemoteCache(mine, tmp_path / f"incoming-{len(opened)}", remote, show, push=push, seconds=seconds)
        opened.append(exchange)
        return exchange

    yield open_exchange
    for exchange in opened:
        exchange.close()


@pytest.fixture
def exchange(exchange_with, shelf):
    return exchange_with(shelf.url)


def fetch(exchange, step=CHECK):
    """Ask as the executor does; where the result came from, "" for a miss."""
    rounds = itertools.count()
    while exchange.request(step, key_of(step)):
        assert next(rounds) < 50, "it is asked for again and again"
        assert select.select([exchange], [], [], 10)[0], "nothing came"
        exchange.receive()
    exchange.receive()
    return exchange.origin(key_of(step))


def blobs(store):
    return {path.name for path in (store.root / "cas").glob("*/*")}


def cas(data):
    return f"/cache/cas/{hash_bytes(data)}"


# what goes well


def test_a_result_comes_whole(exchange, shelf, mine, theirs, notices):
    assert fetch(exchange) == f"127.0.0.1:{shelf.port}"
    assert mine.find(KEY) == theirs.find(KEY)
    assert mine.blob(hash_bytes(MODEL)).read_bytes() == MODEL
    assert mine.blob(hash_bytes(MODEL)).stat().st_mode & 0o222 == 0
    assert notices == [] and list(exchange.folder.iterdir()) == []


def test_a_folder_comes_file_by_file(exchange, shelf, mine, theirs, tmp_path):
    publish(theirs, tmp_path, SAMPLE, samples_={"a.npy": b"a" * 10, "deep/b.npy": b"b" * 3_000_000})
    shelf.fill(theirs)
    assert fetch(exchange, SAMPLE)
    record = mine.find(key_of(SAMPLE))
    mine.link_output(record.outputs["samples/"], tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "b.npy").read_bytes() == b"b" * 3_000_000


def test_a_key_is_asked_for_once(exchange, shelf):
    fetch(exchange)
    fetch(exchange)
    fetch(exchange, OTHER)
    fetch(exchange, OTHER)
    assert len(shelf.asked) == len(set(shelf.asked)) == 4  # two records, two blobs


def test_what_is_here_is_not_fetched_again(exchange, shelf, mine, tmp_path):
    path = tmp_path / "same"
    path.write_bytes(MODEL)
    mine.add_file(path)
    assert fetch(exchange)
    assert f"GET {cas(MODEL)}" not in shelf.asked and mine.find(KEY)


def test_what_holds_for_this_host_alone_is_neither_asked_for_nor_sent(exchange_with, shelf, mine, tmp_path):
    exchange = exchange_with(shelf.url, push=True)
    assert fetch(exchange, BENCHMARK) == ""
    exchange.send("benchmark", publish(mine, tmp_path, BENCHMARK, benchmark_json=b"1"))
    exchange.finish()
    assert shelf.asked == []


def test_the_user_in_a_url_is_sent_and_not_shown(exchange_with, shelf):
    exchange = exchange_with(shelf.url.replace("//", "//me:w%40rd@"))
    assert fetch(exchange) == f"127.0.0.1:{shelf.port}"
    assert shelf.headers[0]["Authorization"] == "Basic bWU6d0ByZA=="


def test_a_user_in_netrc_is_sent(exchange, shelf, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password w@rd\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert fetch(exchange)
    assert shelf.headers[0]["Authorization"] == "Basic bWU6d0ByZA=="


# what is a miss


def other_record(theirs, tmp_path):
    publish(theirs, tmp_path, OTHER, check_json=b"other")
    return theirs.action_file(key_of(OTHER)).read_bytes()


def rewritten(raw, change):
    """The record with its body changed, and a SHA-256 that fits."""
    body = json.loads(json.loads(raw)["body"])
    change(body)
    text = json.dumps(body, sort_keys=True)
    return json.dumps({"sha256": hash_bytes(text.encode()), "body": text}).encode()


def set_key(body):
    body["key"] = KEY


def drop_output(body):
    del body["outputs"]["log.txt"]


def odd_digest(body):
    body["outputs"]["check.json"]["digest"] = "../../../etc/passwd"


def odd_shape(body):
    body["outputs"]["check.json"]["size"] = "many"


RECORDS = {
    "garbage": lambda raw, other: b"\x00\xff not JSON",
    "another shape": lambda raw, other: b'{"sha256": 3, "body": [1]}',
    "nested without end": lambda raw, other: b"[" * 200_000,
    "empty": lambda raw, other: b"",
    "half": lambda raw, other: raw[: len(raw) // 2],
    "a flipped bit": lambda raw, other: raw[:200] + bytes([raw[200] ^ 1]) + raw[201:],
    "of another key": lambda raw, other: other,
    "of another action": lambda raw, other: rewritten(other, set_key),
    "without an output": lambda raw, other: rewritten(raw, drop_output),
    "with a path for a digest": lambda raw, other: rewritten(raw, odd_digest),
    "with a size that is none": lambda raw, other: rewritten(raw, odd_shape),
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS)
def test_a_record_that_is_none_is_a_miss(exchange, shelf, theirs, mine, tmp_path, notices, change):
    path = f"/cache/ac/{KEY}"
    other = other_record(theirs, tmp_path)
    shelf.fill(theirs)  # every blob that any of them names is there
    shelf.files[path] = change(shelf.files[path], other)
    assert fetch(exchange) == ""
    assert mine.read(KEY) is None and blobs(mine) == set() and notices == []


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", ""])
def test_a_file_that_would_lie_elsewhere_is_a_miss(exchange, shelf, theirs, mine, tmp_path, name):
    publish(theirs, tmp_path, SAMPLE, samples_={"a.npy": b"a"})

    def escape(body):
        files = {name: hash_bytes(b"a")}
        body["outputs"]["samples/"] |= {"files": files, "digest": hash_tree(files)}

    shelf.fill(theirs)
    path = f"/cache/ac/{key_of(SAMPLE)}"
    shelf.files[path] = rewritten(shelf.files[path], escape)
    assert fetch(exchange, SAMPLE) == ""
    assert mine.read(key_of(SAMPLE)) is None


def test_a_folder_of_other_files_than_its_digest_says_is_a_miss(exchange, shelf, theirs, mine, tmp_path):
    publish(theirs, tmp_path, SAMPLE, samples_={"a.npy": b"a", "b.npy": b"b"})
    shelf.fill(theirs)
    path = f"/cache/ac/{key_of(SAMPLE)}"
    shelf.files[path] = rewritten(shelf.files[path], lambda body: body["outputs"]["samples/"]["files"].pop("b.npy"))
    assert fetch(exchange, SAMPLE) == ""
    assert mine.read(key_of(SAMPLE)) is None


BLOBS = {
    "missing": lambda shelf: shelf.files.pop(cas(MODEL)),
    "other bytes": lambda shelf: shelf.files.update({cas(MODEL): b"FOUND" * 100}),
    "shorter": lambda shelf: shelf.files.update({cas(MODEL): MODEL[:-1]}),
    "longer": lambda shelf: shelf.files.update({cas(MODEL): MODEL + b"!"}),
    "empty": lambda shelf: shelf.files.update({cas(MODEL): b""}),
    "cut": lambda shelf: shelf.answers.update({cas(MODEL): "cut"}),
}


@pytest.mark.parametrize("damage", BLOBS.values(), ids=BLOBS)
def test_a_bad_blob_is_a_miss_and_nothing_of_it_stays(exchange, shelf, mine, notices, damage):
    damage(shelf)
    assert fetch(exchange) == ""
    assert mine.read(KEY) is None
    assert hash_bytes(MODEL) not in blobs(mine)
    assert all(hash_bytes(path.read_bytes()) == path.name for path in (mine.root / "cas").glob("*/*"))
    assert notices == []
    exchange.close()
    assert list(exchange.folder.iterdir()) == []


def test_a_blob_without_end_is_not_awaited(exchange, monkeypatch, mine):
    real, taken = exchange.remote.read, []

    def endless(name):
        if not name.endswith(hash_bytes(MODEL)):
            yield from real(name)
            return
        while len(taken) < 1000:
            taken.append(name)
            yield b"x" * 400

    monkeypatch.setattr(exchange.remote, "read", endless)
    assert fetch(exchange) == ""
    assert len(taken) == 2 and mine.read(KEY) is None


def test_a_record_that_is_not_there_is_a_miss(exchange, notices):
    assert fetch(exchange, OTHER) == "" and notices == []


def test_a_record_whose_result_was_lost_here_is_fetched_again(exchange, mine, theirs, tmp_path):
    publish(mine, tmp_path, CHECK, check_json=b"made here")
    mine.blob(hash_bytes(b"made here")).unlink()
    assert mine.find(KEY) is None
    assert fetch(exchange)
    assert mine.find(KEY) == theirs.find(KEY)


# what is an outage

OUTAGES = {
    500: "it answers 500 to GET: Internal Server Error",
    503: "it answers 503 to GET",
    403: "it answers 403 to GET: access is denied",
    401: "it answers 401 to GET: it requires a login",
    "stall": "no data for 0.3 s",
    "drop": "Remote end closed connection",
}


@pytest.mark.parametrize("answer", OUTAGES)
def test_the_first_outage_turns_it_off_with_one_warning(exchange, shelf, mine, notices, answer):
    shelf.always = answer
    assert fetch(exchange) == ""
    (warning,) = notices
    assert OUTAGES[answer] in warning
    assert f"127.0.0.1:{shelf.port}" in warning and warning.endswith("the build uses the local store only")
    asked = len(shelf.asked)
    shelf.always = None
    assert fetch(exchange, OTHER) == "" and len(shelf.asked) == asked and len(notices) == 1


def test_nobody_listens(exchange_with, notices):
    with open_shelf() as shelf:
        url = shelf.url.replace("//", "//me:word@")
    assert fetch(exchange_with(url)) == ""
    (warning,) = notices
    assert "Connection refused" in warning and "word" not in warning


def test_a_silence_in_the_middle_of_a_blob_is_an_outage(exchange, shelf, mine, notices):
    shelf.answers[cas(MODEL)] = "stall within"
    before = time.monotonic()
    assert fetch(exchange) == ""
    assert time.monotonic() - before < 3
    assert len(notices) == 1 and "no data for 0.3 s" in notices[0]
    assert mine.read(KEY) is None


def test_many_outages_at_once_are_one_warning(exchange, shelf, notices):
    shelf.always = "stall"
    steps = [Step(kind="check", params={"n": n}, inputs=(), toolchain={}) for n in range(12)]
    for step in steps:
        exchange.request(step, key_of(step))
    for step in steps:
        assert fetch(exchange, step) == ""
    time.sleep(2 * SILENT_SECONDS)
    exchange.receive()
    assert len(notices) == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_again(shelf):
    remote = HttpRemote(shelf.url)
    assert remote.size(f"ac/{KEY}")
    real = remote._session().request
    calls = []

    def dropped_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            shelf.answers[f"/cache/ac/{KEY}"] = "drop"
            try:
                return real(*arguments, **options)
            finally:
                shelf.answers.clear()
        return real(*arguments, **options)

    remote._session().request = dropped_once
    assert b"".join(remote.read(f"ac/{KEY}")) == shelf.files[f"/cache/ac/{KEY}"]
    assert len(calls) == 2


# what takes too long in all


def wait_as_the_executor_does(exchange, steps, end=5.0):
    """Ask for all, and go on until nothing may still come. Returns the seconds that it took."""
    begun = time.monotonic()
    while any(exchange.request(step, key_of(step)) for step in steps):
        assert time.monotonic() - begun < end, "the build waits on"
        select.select([exchange], [], [], 0.05)
        exchange.receive()
    exchange.receive()
    return time.monotonic() - begun


@pytest.mark.parametrize("where", ["record", "blob"])
def test_a_store_that_trickles_ends_with_the_time_that_a_build_waits_for_it(exchange_with, shelf, mine, notices, where):
    shelf.answers[f"/cache/ac/{KEY}" if where == "record" else cas(MODEL)] = "trickle"
    exchange = exchange_with(shelf.url, seconds=0.6)
    assert 0.5 < wait_as_the_executor_does(exchange, [CHECK]) < 2
    (warning,) = notices
    assert "longer than 0.6 s in total (store.seconds)" in warning
    assert mine.read(KEY) is None


def test_many_small_answers_share_one_time(exchange_with, shelf, theirs, tmp_path, notices, monkeypatch):
    publish(theirs, tmp_path, SAMPLE, samples_={f"{n}.npy": b"%d" % n for n in range(200)})
    shelf.fill(theirs)
    exchange = exchange_with(shelf.url, seconds=0.6)
    real = exchange.remote.read

    def slow(name):
        time.sleep(0.1)
        return real(name)

    monkeypatch.setattr(exchange.remote, "read", slow)
    assert wait_as_the_executor_does(exchange, [SAMPLE]) < 2
    assert "in total (store.seconds)" in notices[0]


def test_time_in_which_nothing_is_awaited_does_not_count(exchange_with, shelf):
    exchange = exchange_with(shelf.url, seconds=0.5)
    assert fetch(exchange)
    time.sleep(0.6)
    assert not exchange.busy and exchange.wait_budget.remaining_seconds > 0.2
    shelf.asked.clear()
    assert fetch(exchange, OTHER) == "" and shelf.asked, "it is still asked"


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_a_store_that_trickles_while_it_takes_ends_too(exchange_with, shelf, mine, tmp_path, notices, method):
    exchange = exchange_with(shelf.url, push=True, seconds=0.6)
    record = publish(mine, tmp_path, OTHER, check_json=b"new")
    shelf.answers[cas(b"new")] = "trickle" if method == "HEAD" else 404
    shelf.answers[f"/cache/ac/{key_of(OTHER)}"] = "trickle"
    if method == "PUT":
        shelf.files[cas(b"new")] = b"new"
        del shelf.answers[cas(b"new")]
    exchange.send("check", record)
    begun = time.monotonic()
    exchange.finish()
    assert time.monotonic() - begun < 2
    assert f"{method} " in "\n".join(shelf.asked)
    assert "not sent to" in notices[-1]


# what is no answer


def test_what_is_packed_stays_packed(exchange, shelf, mine):
    """A few bytes that would unpack to many are taken as they are: other bytes than the digest's."""
    shelf.files[cas(MODEL)] = gzip.compress(MODEL)
    shelf.headers_of[cas(MODEL)] = {"Content-Encoding": "gzip"}
    assert fetch(exchange) == "" and mine.read(KEY) is None


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "/cache/other", "http://[oh"]
)
@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(exchange, shelf, notices, code, location):
    shelf.answers[f"/cache/ac/{KEY}"] = code
    shelf.headers_of[f"/cache/ac/{KEY}"] = {"Location": location}
    assert fetch(exchange) == "" and len(shelf.asked) == 1
    assert "it redirects GET to" in notices[0]


def test_all_blobs_of_a_record_are_no_longer_than_it_says(exchange, shelf, mine, theirs, tmp_path):
    publish(theirs, tmp_path, SAMPLE, samples_={f"{n}.npy": b"%d" % n * 1000 for n in range(9)})
    shelf.fill(theirs)
    path = f"/cache/ac/{key_of(SAMPLE)}"
    shelf.files[path] = rewritten(shelf.files[path], lambda body: body["outputs"]["samples/"].update(size=5000))
    assert fetch(exchange, SAMPLE) == ""


def test_a_record_that_fills_the_disk_is_a_miss(exchange, shelf, mine):
    path = f"/cache/ac/{KEY}"
    shelf.files[path] = rewritten(shelf.files[path], lambda body: body["outputs"]["check.json"].update(size=1 << 60))
    assert fetch(exchange) == "" and f"GET {cas(MODEL)}" not in shelf.asked


# who believes it


def test_a_record_remembers_where_it_came_from_whatever_it_says_itself(exchange, shelf, mine):
    path = f"/cache/ac/{KEY}"
    shelf.files[path] = rewritten(shelf.files[path], lambda body: body.update(origins=[]))
    assert fetch(exchange)
    assert mine.read(KEY).origins == (f"http://127.0.0.1:{shelf.port}/cache",)


def test_what_a_store_gave_is_done_for_those_alone_who_believe_it(exchange, mine, tmp_path):
    assert fetch(exchange) and mine.find(KEY)
    alone = Store(mine.root)
    assert alone.find(KEY) is None and alone.read(KEY) is not None
    other = Store(mine.root)
    other.trust(RemoteCacheSettings(url="https://elsewhere/cache"))
    assert other.find(KEY) is None
    made = publish(alone, tmp_path, CHECK, check_json=b"made here")
    assert alone.find(KEY).outputs == made.outputs, "what was made here takes its place"
    assert mine.find(KEY).outputs == made.outputs, "and everybody believes it"


def test_another_user_of_the_same_store_is_no_other_origin(shelf):
    plain, signed_in = (
        RemoteCacheSettings(url=shelf.url),
        RemoteCacheSettings(url=shelf.url.replace("//", "//me:word@") + "/"),
    )
    assert plain.origin == signed_in.origin and "word" not in repr(signed_in)


def test_a_record_of_unknown_origin_is_made_again(mine, tmp_path):
    publish(mine, tmp_path, CHECK, check_json=b"made here")
    raw = mine.action_file(KEY).read_bytes()
    mine.action_file(KEY).write_bytes(rewritten(raw, lambda body: body.pop("origins")))
    assert mine.find(KEY) is None


def test_what_rests_on_an_unstable_output_of_a_store_names_the_store_too():
    """The next step's key has what the record *says* the snapshot holds, so its result is no better than that word."""
    convert = Step(
        kind="convert",
        params={},
        inputs=(StepInput(name="model", step_id="import", output="snapshot/"),),
        toolchain={},
    )
    quantize = Step(
        kind="quantize",
        params={},
        inputs=(StepInput(name="model", step_id="convert", output="model.tflite"),),
        toolchain={},
    )
    results = {
        "import": StepResult(step_id="import", status="hit", origins=("http://h/c",)),
        "convert": StepResult(step_id="convert", status="ran", origins=("http://h/c",)),
    }
    assert list_inherited_origins(convert, results) == {"http://h/c"}
    assert list_inherited_origins(quantize, results) == set(), "its key has the digest of the very bytes"


# sending


def test_without_push_nothing_is_sent(exchange, shelf, mine, tmp_path):
    exchange.send("check", publish(mine, tmp_path, OTHER, check_json=b"new"))
    exchange.finish()
    assert shelf.asked == []


def test_what_was_made_is_sent_blobs_first(exchange_with, shelf, mine, tmp_path, notices):
    exchange = exchange_with(shelf.url, push=True)
    exchange.send("check", publish(mine, tmp_path, OTHER, check_json=b"new"))
    exchange.finish()
    puts = [line for line in shelf.asked if line.startswith("PUT")]
    assert puts == [f"PUT {cas(b'new')}", f"PUT /cache/ac/{key_of(OTHER)}"]  # the empty log is there already
    assert shelf.files[cas(b"new")] == b"new"
    assert shelf.files[f"/cache/ac/{key_of(OTHER)}"] == mine.action_file(key_of(OTHER)).read_bytes()
    assert notices == []


def test_what_was_sent_is_found_by_the_next_machine(exchange_with, shelf, mine, tmp_path):
    shelf.files.clear()
    exchange = exchange_with(shelf.url, push=True)
    sent = publish(mine, tmp_path, SAMPLE, samples_={"a.npy": b"a", "empty": b""})
    exchange.send("sample", sent)
    exchange.finish()
    stores.clear(mine.root)
    assert fetch(exchange_with(shelf.url), SAMPLE)
    assert mine.find(key_of(SAMPLE)) == sent


@pytest.mark.parametrize("bad", [b"FOUND" * 100, MODEL[:-1]], ids=["poisoned", "cut"])
def test_a_bad_blob_is_mended_by_who_may_push(exchange_with, shelf, mine, tmp_path, bad):
    shelf.files[cas(MODEL)] = bad
    exchange = exchange_with(shelf.url, push=True)
    assert fetch(exchange) == ""
    exchange.send("check", publish(mine, tmp_path, CHECK, check_json=MODEL))
    exchange.finish()
    assert shelf.files[cas(MODEL)] == MODEL


@pytest.mark.parametrize("answer", [500, 403, 405, 404])
def test_a_store_that_takes_nothing_is_an_outage(exchange_with, shelf, mine, tmp_path, notices, answer):
    exchange = exchange_with(shelf.url, push=True)
    shelf.always = answer
    for step in (CHECK, OTHER):
        exchange.send("check", publish(mine, tmp_path, step, check_json=b"new"))
    exchange.finish()
    (warning,) = [text for text in notices if text.startswith("warning")]
    assert f"it answers {answer} to" in warning


def test_the_end_of_a_build_does_not_wait_for_long(exchange_with, shelf, mine, tmp_path, notices, monkeypatch):
    monkeypatch.setattr("tflbuild.execute.remote_cache.UPLOAD_SECONDS", 0.2)
    monkeypatch.setattr("tflbuild.execute.remote_cache.QUIET_SECONDS", 0.05)
    exchange = exchange_with(shelf.url, push=True)
    gate = threading.Event()
    monkeypatch.setattr(exchange.remote, "size", lambda name: gate.wait(5))
    exchange.send("check", publish(mine, tmp_path, OTHER, check_json=b"new"))
    before = time.monotonic()
    exchange.finish()
    assert time.monotonic() - before < 2
    host = f"127.0.0.1:{shelf.port}"
    late = f"warning: 1 result not sent to {host} within 0.2 s; the build itself is complete"
    assert notices == [f"uploading 1 result to {host}", late]
    gate.set()


def test_a_mistake_of_ours_is_an_outage_and_no_hang(exchange, monkeypatch, notices):
    def broken(name):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(exchange.remote, "read", broken)
    assert fetch(exchange) == ""
    assert "ZeroDivisionError: oh" in notices[0]


# the executor's loop


def test_the_executor_goes_on_while_a_result_is_on_its_way(shelf, theirs, mine, tmp_path, monkeypatch):
    """The first step's record is held back until the second step has ended."""
    publish(theirs, tmp_path, OTHER, check_json=b"other")
    shelf.fill(theirs)
    remote, second_is_over = HttpRemote(shelf.url), threading.Event()
    real, waited = remote.read, []

    def held_back(name):
        if name == f"ac/{KEY}":
            waited.append(second_is_over.wait(10))
        return real(name)

    def show(event):
        if isinstance(event, StepEnded) and event.step is OTHER:
            second_is_over.set()

    monkeypatch.setattr(remote, "read", held_back)
    with Executor(mine, show, Limits()) as executor:
        executor.connect(remote, push=False)
        results = executor.execute(Plan(steps={step.id: step for step in (CHECK, OTHER)}, goals=()))
    assert waited == [True]
    host = f"127.0.0.1:{shelf.port}"
    assert [(results[step.id].status, results[step.id].origin) for step in (CHECK, OTHER)] == [("hit", host)] * 2
    assert not executor.servers
    with Executor(mine, show, Limits()) as executor:  # now they are here
        results = executor.execute(Plan(steps={CHECK.id: CHECK}, goals=()))
    assert (results[CHECK.id].status, results[CHECK.id].origin) == ("hit", "")
