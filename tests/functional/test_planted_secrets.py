"""Ten secrets, each where a user may put one, and nothing of them in what is written, printed or sent."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from commandline import Project
from shelves import Shelf, open_shelf

pytestmark = pytest.mark.heavy

MAKER = """\
import tensorflow as tf


def make(**secrets):
    print("made with", secrets)

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    def double(x):
        return {"y": tf.linalg.matmul(x, tf.reshape(tf.range(64.0), [4, 16])) + 1.0}

    if "fail" in secrets:
        raise ValueError(f"cannot sign in with {secrets}")
    return double
"""
RECIPE = """\
defaults:
  - override /source: function
  - override /verify: none
source:
  call: maker.py:make
  arguments:
    value: ${oc.env:DEPLOY_TOKEN}
    password: PASSWORD_ARGUMENT
    nested: {deep: [{api_key: KEY_ARGUMENT}], url: 'https://me:URL_ARGUMENT@api.example.com/v1'}
"""
SECRETS = {
    "store": "st0re/p@ss word",
    "variable": "variable-4711-token",
    "password argument": "hunter2hunter2",
    "key argument": "k3y:with'quotes",
    "url argument": "urlpassw0rd",
    "typed": "typed-on-the-line-1",
    "handle user": "handle-passw0rd",
    "handle token": "t0ken&of=handle",
    "signature": "f00dfeed" * 8,
    "cloud": "wJalrXUtnFEMI/K7MDENG",
}


def spellings(secret: str) -> list[bytes]:
    """A secret as text has it: raw, percent-encoded, in JSON, in base64 alone and behind a user's name."""
    texts = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    encoded = {base64.b64encode(text.encode()).rstrip(b"=") for text in (secret, f"ci:{secret}")}
    return [*(text.encode() for text in texts), *encoded]


def leaks_in(name: str, data: bytes) -> list[str]:
    return [
        f"{kind} in {name}: {data[max(0, data.find(text) - 60) : data.find(text) + 60]!r}"
        for kind, secret in SECRETS.items()
        for text in spellings(secret)
        if text in data
    ]


def leaks_below(folder: Path) -> list[str]:
    found = []
    for path in folder.rglob("*"):
        inside = str(path.relative_to(folder))
        found += leaks_in("a name", inside.encode())
        found += leaks_in(inside, path.read_bytes()) if path.is_file() and not path.is_symlink() else []
    return found


@pytest.fixture
def shelf():
    with open_shelf() as shelf:
        yield shelf


@pytest.fixture
def person(tmp_path: Path, shelf: Shelf) -> tuple[Project, dict[str, str]]:
    """A project, and the environment of somebody with a store, a cloud and a hub."""
    project = Project(tmp_path / "project", tmp_path / "store")
    project.folder.mkdir()
    project.write("maker.py", MAKER)
    text = RECIPE.replace("PASSWORD_ARGUMENT", SECRETS["password argument"])
    text = text.replace("URL_ARGUMENT", SECRETS["url argument"])
    project.write("recipes/net.yaml", text.replace("KEY_ARGUMENT", json.dumps(SECRETS["key argument"])))
    home = tmp_path / "home"
    home.mkdir()
    return project, {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "TFLBUILD_REMOTE": shelf.url.replace("//", f"//ci:{quote(SECRETS['store'], safe='')}@"),
        "TFLBUILD_PUSH": "true",
        "DEPLOY_TOKEN": SECRETS["variable"],
        "AWS_SECRET_ACCESS_KEY": SECRETS["cloud"],
    }


def test_ten_secrets_are_in_nothing_that_is_written_printed_or_sent(person, shelf, tmp_path):
    project, environment = person
    typed = f"+source.arguments.client_secret={SECRETS['typed']}"
    handle = (
        f"http://me:{SECRETS['handle user']}@127.0.0.1:{shelf.port}/model.tar.gz"
        f"?token={quote(SECRETS['handle token'])}&X-Amz-Signature={SECRETS['signature']}"
    )
    commands = {
        0: [
            ["-m", "+recipe=net", typed, "quantization=none,float16"],
            ["-m", "+recipe=net", f"+source.arguments.client_secret={SECRETS['typed']},other", "--json"],
            ["plan", "+recipe=net", f"{typed}2"],
            ["explain", "+recipe=net", f"{typed}2", "--json"],
            ["--cfg", "job", "+recipe=net", typed, "--resolve"],
            ["--cfg", "all", "+recipe=net", typed],
            ["--info", "config", "+recipe=net", typed],
            ["report"],
        ],
        1: [
            ["-m", "+recipe=net", typed, "+source.arguments.fail=true,false"],
        ],
        2: [
            ["+recipe=net", "source=hub", f"source.handle='{handle}'", "verify=none"],
            ["+recipe=net", f"source.argument.client_secret={SECRETS['typed']}"],
            ["+recipe=net", typed, f"quantizatio={SECRETS['typed']}"],
            ["+recipe=net", typed, f"store.remote=ftp://ci:{SECRETS['store']}@h/c".replace(" ", "%20")],
        ],
    }
    leaks = []
    for code, lines in commands.items():
        for arguments in lines:
            ran = project.run(*arguments, **environment)
            assert ran.code in (code, 2 if code else 0, 4 if code else 0), (arguments, ran.err)
            leaks += leaks_in(f"what {arguments[:2]} printed", (ran.out + ran.err).encode())
    made = {path.name for path in (project.folder / "outputs").rglob("*")}
    assert made > {"model.tflite", "manifest.json", "failure.json", "report.html", "sweep.json"}
    leaks += leaks_below(project.folder / "outputs")
    leaks += leaks_below(project.store) + leaks_below(tmp_path / "home")
    assert any(line.startswith("PUT") for line in shelf.asked), "something was sent"
    for path, body in shelf.files.items():
        leaks += leaks_in(f"what was sent as {path[:20]}", path.encode() + b" " + body)
    assert any("model.tar.gz?token=" in line for line in shelf.asked), "the hub itself is told the token"
    own = [line for line in shelf.asked if "model.tar.gz" not in line]  # which is the host that asks for the token
    leaks += leaks_in("what was asked for", "\n".join(own).encode())
    assert leaks == []


def test_two_secrets_are_two_keys_and_two_folders(person):
    project, environment = person
    values = [f"+source.arguments.client_secret={value}" for value in ("first-secret", "second-secret")]
    ran = project.run("-m", "+recipe=net", "+source.arguments.client_secret=first-secret,second-secret", **environment)
    assert ran.code == 0, ran.err
    folders = [path for path in (project.folder / "outputs" / "net").iterdir() if path.is_dir()]
    assert len(folders) == 2
    assert not any(re.search("first-secret|second-secret", str(path)) for path in folders)
    keys = {json.loads((path / "manifest.json").read_text())["steps"]["import"]["key"] for path in folders}
    assert len(keys) == 2
    again = project.run("+recipe=net", values[0], **environment)
    assert again.steps["import"] == "hit", again.err
