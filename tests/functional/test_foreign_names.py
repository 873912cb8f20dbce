"""Names from a stranger's model, recipe or folder reach terminals, cards and sources as text, never as commands."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from commandline import ROOT
from runner_contents import CONTENTS

from tflbuild.report.questions.model_inspection import proposed_recipe
from tflbuild.runtime.step_contract import StepRequest
from tflbuild.steps.packaging import package
from tflbuild.storage.atomic_files import replace_bytes
from tflbuild.storage.store import Store
from tflbuild.terminal.text_escaping import show_code, show_line, show_prose, show_text

# What a name can hold: escape sequences, a return, another direction, ends of strings, comments, fences and tags.
HOSTILE = (
    *("\x1b]0;title\x07\x1b[2J", "a\rb", "\x9b31m", "\u202egnp.exe", "\u2066x\u2069", "zero\u200bwidth", "\udcff"),
    *('"); import os; os.system("x"); ("', "'''", '"""', "\\", "\\\n", "a\nb", "${HOME}", "$(x)", "{x}", "%s", "`rm`"),
    *(
        "```\n# own",
        "<script>alert(1)</script>",
        "[a](http://x)",
        "![a](x)",
        "| a | b |",
        "&lt;img&gt;",
        "*/ x /*",
        "null",
    ),
)
ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff]")


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_is_shown_without_what_a_terminal_or_a_page_acts_upon(text):
    for show in (show_text, show_line, show_prose, show_code):
        assert not ACTIVE.search(show(text))
    for show in (show_line, show_prose, show_code):
        assert "\n" not in show(text)
    assert not re.search(r"(?<!\\)<[A-Za-z/!]|(?<!\\)\]\(|(?<!\\)`|(?<!\\)&[#A-Za-z]", show_prose(text))
    fence = re.match("`+", show_code(text))[0]
    assert show_code(text)[len(fence) : -len(fence)].count(fence) == 0 and show_code(text).endswith(fence)
    assert not re.search(r"(?<!\\)\|", show_code(text))


def test_plain_text_stays_as_it_is():
    for text in ("CONV_2D x3", "größer ± 3 °C", "画像", "a\tb\nc", "top-1 < 3 % & more", "\U0001f600", "x [1, 2]"):
        assert show_text(text) == text
    assert show_prose("p < 0.05 & a [x], CONV_2D") == "p < 0.05 & a [x], CONV_2D" and show_code("a/b:0") == "`a/b:0`"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_card_shows_hostile_names_and_its_program_compiles(tmp_path, name):
    tensor = {"name": name, "dtype": "float32", "shape": [1, 2], "scale": None, "zero_point": None}
    check = {
        "bytes": 3,
        "operators": {name: 1},
        "least_runtime": "",
        "flex_operators": [],
        "state_tensors": [],
        "custom_operators": [name],
        "fused": {"activations": {name: 1}, "batch_norms": 0, "biases": 0, "stayed": [name]},
        "features": [{"feature": name, "runtime": ""}],
        "signatures": [{"key": name, "inputs": [tensor, {**tensor, "dtype": "string"}], "outputs": [tensor]}],
    }
    (tmp_path / "outputs").mkdir()
    for file in ("check", "float"):
        (tmp_path / file).write_text(json.dumps({**CONTENTS, **check}))
    inputs = {"check": tmp_path / "check", "float": tmp_path / "float"}
    package.run(StepRequest(tmp_path, {"name": name}, inputs, {}))
    card = (tmp_path / "outputs" / "card.md").read_text()
    assert not ACTIVE.search(card) and card.count("\n# ") + card.startswith("# ") == 1
    prose, program, _ = re.split("^```.*$", card, flags=re.M)
    tree = ast.parse(program)
    keys = {node.slice.value for node in ast.walk(tree) if isinstance(node, ast.Subscript)}
    assert keys == {name} and len(tree.body) == 2 + 2 + 3 + 1 + 1
    assert not re.search(r"(?<!\\)<script", re.sub("`+[^`].*?`+", "", prose))


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "\udcff"], ids=ascii)
def test_a_proposed_recipe_is_the_same_yaml_whatever_the_names(name):
    tensor = {"name": name, "dtype": "float32", "shape": [1, 2]}
    signature = {"key": name, "inputs": [tensor], "outputs": [tensor]}
    recipe = yaml.safe_load(proposed_recipe("a.keras", "keras", signature))
    assert recipe.keys() == {"defaults", "source", "signature", "dataset", "verify"}
    assert recipe["signature"]["key"] == name and list(recipe["signature"]["inputs"]) == [name]


def run(folder, *arguments, module=True, **environment):
    """Run tflbuild in a folder and return the finished process."""
    start = [sys.executable, "-B", "-m", "tflbuild"] if module else [Path(sys.executable).with_name("tflbuild")]
    return subprocess.run(
        [*start, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_errors_escape_what_a_terminal_acts_upon(tmp_path):
    hostile = "\x1b[2J\u202eevil"
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "x.yaml").write_text('source: {path: "\\e[2J\\u202eevil.keras"}\n')
    for arguments in (("inspect", f"{hostile}.tflite"), ("+recipe=x",)):
        done = run(tmp_path, *arguments)
        assert done.returncode == 2 and not ACTIVE.search(done.stderr + done.stdout), arguments
        assert "\\x1b[2J\\u202eevil" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("way", ["module", "empty entry of PYTHONPATH"])
def test_nothing_is_imported_from_the_current_folder(tmp_path, way):
    """The folder is a stranger's: it has a plugin of Hydra and modules with the names of others."""
    mark = f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)\n"
    plugin = tmp_path / "hydra_plugins" / "evil"
    plugin.mkdir(parents=True)
    for file in (plugin / "__init__.py", *(tmp_path / f"{name}.py" for name in ("yaml", "json", "numpy", "filelock"))):
        file.write_text(mark)
    path = {"PYTHONPATH": f":{ROOT}"} if way != "module" else {}
    commands = (("+recipe=mobilenet_int8", "--cfg", "job"), ("--info", "plugins"))
    for arguments in commands[: 2 if way == "module" else 1]:
        done = run(tmp_path, *arguments, module=way == "module", **path)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o022])
def test_files_are_no_wider_than_the_umask_allows(tmp_path, mask):
    before = os.umask(mask)
    try:
        replace_bytes(tmp_path / "a" / "written", b"x")
        (tmp_path / "output").write_text("x")
        store = Store(tmp_path / "store")
        digest = store.add_file(tmp_path / "output").digest
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "written").stat().st_mode & 0o777 == 0o666 & ~mask
    assert store.blob(digest).stat().st_mode & 0o777 == 0o444 & ~mask
    assert store.blob(digest).parent.stat().st_mode & 0o777 == 0o777 & ~mask


def test_hydras_help_does_not_call_what_a_recipe_says_of_logging(project):
    project.write(
        "recipes/net.yaml",
        "hydra: {hydra_logging: {root: {handlers: [x]}, handlers: {x: {(): os.mkdir, path: made}}}}\n",
    )
    done = project.run("+recipe=net", "--hydra-help")
    assert done.code == 0 and "== Flags ==" in done.out
    assert not (project.folder / "made").exists()


def test_the_live_table_is_drawn_on_a_terminal(warm):
    """Its own escape sequences reach the terminal as they are."""
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "tflbuild", "+recipe=mobilenet_int8", "output_root=elsewhere"]
    drawn = b""
    with subprocess.Popen(command, cwd=warm.folder, env=warm.environment(TERM="xterm"), stderr=follower) as process:
        os.close(follower)
        with suppress(OSError):  # the end of a terminal
            while chunk := os.read(leader, 4096):
                drawn += chunk
    os.close(leader)
    assert process.returncode == 0 and b"\x1b[" in drawn and b"\\x1b" not in drawn
