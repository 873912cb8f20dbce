"""A step's process reads, changes and reaches only what its step needs; what it leaves behind is not believed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from commandline import ROOT
from needs import require

from tflbuild.core.worker_protocol import CONFINEMENT
from tflbuild.errors import MachineError
from tflbuild.execute.answer_reader import find_special_files, read_answer, read_log_lines
from tflbuild.execute.events import Notice
from tflbuild.execute.executor import Executor
from tflbuild.execute.worker_process import UNCONFINED, WorkerExit, require_known_mode
from tflbuild.runtime import confinement
from tflbuild.runtime.confinement import find_missing_confinement
from tflbuild.runtime.landlock import SCOPE_VERSION, landlock_version
from tflbuild.runtime.step_contract import StepRequest, WorkerError

# A step that tries everything that its parameter lists, and answers with what each attempt came to.
CHILD = """
import json, os, sys
from pathlib import Path
from tflbuild.runtime import worker_server as server

class Step:
    def run(request):
        results = {}
        for name, code in request.params["attempts"].items():
            names = {"request": request, "home": Path(request.params["home"]), "folder": request.folder, "os": os}
            try:
                exec(code, names)
                results[name] = str(names.get("result", "done"))
            except BaseException as error:
                results[name] = type(error).__name__
        return results

folder = Path(sys.argv[1])
sys.modules["tflbuild.stub"] = Step
server.enter(folder)
answer = server.answer_request(sys.argv[2], folder, 2 << 30)
(folder / "answer.json").write_text(json.dumps(answer))
"""
SOCKET = "import socket\nsocket.socket(socket.{family}, socket.{kind})"
CALL = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
CLONE = (
    CALL
    + """number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
pid = libc.syscall(number, 1 << 28 | 17, 0, 0, 0, 0)
if pid == 0:
    os._exit(0)
assert pid > 0
"""
)
CLONE3 = (
    CALL
    + """import struct
pid = libc.syscall(435, struct.pack("11Q", 1 << 28, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)
if pid == 0:
    os._exit(0)
assert pid > 0
"""
)
REFUSED = {
    "read a key": "(home / '.ssh' / 'id').read_text()",
    "read it by another program": "import subprocess\nsubprocess.run(['cat', home / '.ssh' / 'id'], check=True)",
    "read it through a link": "os.symlink(home / '.ssh' / 'id', 'link')\nopen('link').read()",
    "link it here": "os.link(home / '.ssh' / 'id', 'linked')\nopen('linked').read()",
    "read passwords": "open('/etc/shadow').read()",
    "list the home folder": "os.listdir(home)",
    "write outside": "(home / 'new').write_text('x')",
    "overwrite": "(home / '.bashrc').write_text('x')",
    "append": "open(home / '.bashrc', 'a')",
    "truncate": "os.truncate(home / '.bashrc', 0)",
    "remove": "(home / '.bashrc').unlink()",
    "rename away": "(home / '.bashrc').rename(folder / 'taken')",
    "rename into": "(folder / 'x').write_text('x'); (folder / 'x').rename(home / '.profile')",
    "make a folder": "(home / 'dir').mkdir()",
    "remove a folder": "(home / 'empty').rmdir()",
    "make a pipe": "os.mkfifo(home / 'pipe')",
    "write to /tmp": "open('/tmp/tflbuild-confinement', 'w')",
    "write an input": "open(request.inputs['model'], 'w')",
    "TCP": SOCKET.format(family="AF_INET", kind="SOCK_STREAM"),
    "UDP": SOCKET.format(family="AF_INET", kind="SOCK_DGRAM"),
    "IPv6": SOCKET.format(family="AF_INET6", kind="SOCK_STREAM"),
    "local socket": SOCKET.format(family="AF_UNIX", kind="SOCK_STREAM"),
    "netlink": SOCKET.format(family="AF_NETLINK", kind="SOCK_RAW"),
    "io_uring": CALL + "assert libc.syscall(425, 1, ctypes.create_string_buffer(120)) >= 0",
    "memory": "bytearray(8 << 30)",
    "environment of another": "open(f'/proc/{os.getppid()}/environ').read()",
    "signal": "os.kill(os.getppid(), 0)",
    "new namespace": CALL + "assert libc.unshare(1 << 28) == 0",
    "process in a new namespace": CLONE,
    "process in a new namespace, clone3": CLONE3,
}
ALLOWED = {
    "write": "(folder / 'outputs' / 'a' / 'b').mkdir(parents=True); (folder / 'outputs' / 'a' / 'c').touch()",
    "rename": "(folder / 'outputs' / 'a' / 'c').rename(folder / 'c'); (folder / 'c').unlink()",
    "temporary": "import tempfile\ntempfile.NamedTemporaryFile(delete=False).close()",
    "temporary of others": "import subprocess\nsubprocess.run('echo > $TMPDIR/x', shell=True, check=True)",
    "input": "result = request.inputs['model'].read_text()",
    "input folder": "result = sorted(os.listdir(request.inputs['data']))",
    "modules": "import colorsys, zoneinfo, ssl\nzoneinfo.ZoneInfo('UTC'); ssl.create_default_context()",
    "home": "import subprocess\nsubprocess.run('mkdir ~/vendor', shell=True, check=True)",
    "null": "open('/dev/null', 'w').write('x')",
    "random": "open('/dev/urandom', 'rb').read(1)",
    "processors": "open('/proc/cpuinfo').read(); open('/proc/self/status').read()",
    "processes": "import multiprocessing as m\nm.get_context('fork').Pipe()\nassert os.system('true') == 0",
    "copy": "import shutil\nshutil.copy2(request.inputs['model'], folder / 'copy')",
}
MODES = "os.chmod(home / '.bashrc', 0o777); os.setxattr(home / '.bashrc', 'user.x', b'1')"


def attempt(tmp_path, attempts, *, module="stub", mode="", **request):
    """Return what attempts came to in a confined step, and the home folder that they were made on."""
    home, folder, store = tmp_path / "home", tmp_path / "scratch" / "001-step", tmp_path / "store"
    for path in (home / ".ssh" / "id", home / ".bashrc", store / "model", tmp_path / "data" / "a.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    (home / "empty").mkdir()
    (folder / "inputs").mkdir(parents=True)
    (folder / "outputs").mkdir()
    (folder / "inputs" / "model").symlink_to(store / "model")
    (folder / "inputs" / "data").symlink_to(tmp_path / "data")
    inputs = {"model": "model", "data": "data"}
    params = {"attempts": attempts, "home": str(home), **request.pop("params", {})}
    (folder / "input.json").write_text(
        json.dumps({"params": params, "inputs": inputs, "labels": {}, "section": "", **request})
    )
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": "/usr/bin:/bin", CONFINEMENT: mode}
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", CHILD, str(folder), module], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr + (folder / "log.txt").read_text()
    code, answer = json.loads((folder / "answer.json").read_text())
    assert code == 0, answer
    return answer["facts"], home


@pytest.fixture
def confining():
    missing = find_missing_confinement()
    require("confinement", not missing, missing)


@pytest.mark.usefixtures("confining")
def test_a_step_reaches_nothing_beyond_its_needs(tmp_path):
    facts, home = attempt(tmp_path, {**REFUSED, **ALLOWED, "modes": MODES})
    assert facts.pop("confined") == ["files", "network", "memory"]
    if landlock_version() < SCOPE_VERSION:
        facts["signal"] = "PermissionError"
    wrong = {name: facts[name] for name in REFUSED if facts[name] in ("done", "SyntaxError", "NameError")}
    assert not wrong
    results = {"input": "model", "input folder": "['a.png']"}
    assert {name: facts[name] for name in ALLOWED} == {name: results.get(name, "done") for name in ALLOWED}
    assert sorted(path.name for path in home.iterdir()) == [".bashrc", ".ssh", "empty"]
    assert (home / ".bashrc").read_text() == ".bashrc"
    assert (home / ".bashrc").stat().st_mode & 0o777 != 0o777 and not os.listxattr(home / ".bashrc")
    assert not Path("/tmp/tflbuild-confinement").exists()


@pytest.mark.usefixtures("confining")
@pytest.mark.parametrize(
    ("case", "connects", "reads", "confined"),
    [
        ({"network": True}, True, True, ["files", "memory"]),
        ({"params": {"call": "m:f"}}, True, False, ["files", "memory"]),
        ({"params": {"call": "m:f"}, "mode": "require"}, False, False, ["files", "network", "memory"]),
        ({"params": {"metrics": {"own": "m:f"}}}, False, False, ["files", "network", "memory"]),
        ({"mode": "off"}, True, True, []),
        ({"mode": "off", "confinement": "require"}, False, False, ["files", "network", "memory"]),
    ],
    ids=["fetch", "call", "call, confinement required", "metric", "off", "off here, required by who builds"],
)
def test_who_keeps_the_network_and_who_the_credentials(tmp_path, case, connects, reads, confined):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket\nsocket.create_connection(('127.0.0.1', {port})).close()"
        facts, _ = attempt(tmp_path, {"connect": connect, "read": REFUSED["read a key"]}, **case)
    assert (facts["connect"] == "done", facts["read"] == "done") == (connects, reads)
    assert facts["confined"] == confined


def test_what_is_required_and_impossible_is_an_error_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv(CONFINEMENT, "require")
    monkeypatch.setattr(confinement, "landlock_version", lambda: -1)
    monkeypatch.setattr(confinement, "restrict_access", lambda access: False)
    monkeypatch.setattr(confinement, "filter_calls", lambda **options: False)
    monkeypatch.setattr(confinement, "limit_memory", lambda limit: True)
    monkeypatch.setattr(confinement, "drop_capabilities", lambda: True)
    with pytest.raises(WorkerError, match="cannot be confined") as raised:
        confinement.confine(StepRequest(tmp_path, {}, {}, {}), "steps.sources.tf_import", 1 << 30)
    assert raised.value.fields["kind"] == "environment" and "no Landlock" in raised.value.fields["why"]
    assert "no Landlock" in find_missing_confinement()
    monkeypatch.setenv(CONFINEMENT, "")
    assert confinement.confine(StepRequest(tmp_path, {}, {}, {}), "steps.sources.tf_import", 1 << 30) == ["memory"]


def test_a_wrong_mode_is_refused_and_a_missing_confinement_is_said_once():
    for mode in ("", "require", "off"):
        require_known_mode(mode)
    with pytest.raises(MachineError, match="TFLBUILD_CONFINEMENT is 'yes'"):
        require_known_mode("yes")
    said = []
    executor = SimpleNamespace(_reported_notices=set(), on_event=said.append)
    for _ in range(2):
        Executor._report_notice(executor, Notice(UNCONFINED.format("the kernel has no Landlock")))
    assert len(said) == 1 and "\n" not in said[0].text and "TFLBUILD_CONFINEMENT=off" in said[0].text


SERVER = """
import os, subprocess, sys
from tflbuild.runtime import worker_server as server

class Step:
    def run(request):
        subprocess.run("(setsid sleep 60 & echo $! > left)", shell=True, check=True)
        return {}

sys.modules["tflbuild.stub"] = Step
server.PRELOAD["none"], sys.argv[1:] = (), ["none"]
server.main()
"""


def test_no_process_outlives_its_step(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "input.json").write_text(json.dumps({"params": {}, "inputs": {}, "labels": {}, "section": ""}))
    line = json.dumps({"id": 1, "module": "stub", "folder": str(tmp_path), "seconds": 30}).encode() + b"\n"
    process = subprocess.Popen(
        [sys.executable, "-P", "-B", "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    )
    with process:
        process.stdin.write(line)
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["ready"] and json.loads(process.stdout.readline())["exit"] == 0
        left = int((tmp_path / "left").read_text())
        assert not Path(f"/proc/{left}").exists()
        process.stdin.close()


def ended(folder):
    """Return what a step of a folder is said to have failed for, once its process ended with code 0."""
    failure, _ = read_answer(folder, WorkerExit(1, 0, None, "", 0.0, 0))
    failure = failure or find_special_files(folder)
    read_log_lines(folder)
    return failure.what if failure else ""


def test_what_a_step_leaves_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    outputs = tmp_path / "step" / "outputs"
    (outputs / "model" / "deep").mkdir(parents=True)
    (outputs / "model" / "deep" / "kept").write_text("x")
    answer, log = tmp_path / "step" / "output.json", tmp_path / "step" / "log.txt"
    answer.write_text('{"facts": {}}')
    assert not ended(tmp_path / "step")
    for place in (outputs / "model" / "deep" / "x", outputs / "model.tflite", log):
        for make in (lambda path: path.symlink_to(secret), lambda path: path.symlink_to(tmp_path), os.mkfifo):
            make(place)
            assert "which is no plain file" in ended(tmp_path / "step")
            place.unlink()
    for text in ("[]", '{"facts": 3}', '{"error": {"what": 1, "more": 2}}', '{"error": []}', "[" * 10**6, "{}", "\0"):
        answer.write_text(text)
        assert "and no answer" in ended(tmp_path / "step")
    for make in (lambda path: path.symlink_to(secret), os.mkfifo, Path.mkdir):
        answer.unlink()
        make(answer)
        assert "and no answer" in ended(tmp_path / "step")
