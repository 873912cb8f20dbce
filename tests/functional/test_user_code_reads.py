"""User code that reads an undeclared file is refused with the file and the key; declared files are read."""

from __future__ import annotations

import json
import py_compile
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from commandline import ROOT
from needs import require

from tflbuild.runtime.landlock import LEAST_VERSION, landlock_version

RECIPE = "+recipe=mobilenet_int8"
METRIC = "verify.metrics.own=own.py:measure"
CHILD = """
import json, os, sys
from pathlib import Path
from tflbuild.runtime import user_code
from tflbuild.runtime import worker_server as server
from tflbuild.runtime.step_contract import StepRequest

class Step:
    def run(request):
        measure = user_code.load_reference(request, "own.py:measure", sys.argv[3])
        with user_code.convert_user_error(request, "it failed", sys.argv[3]):
            return measure() or 0

folder, origin = Path(sys.argv[1]), sys.argv[2]
sys.modules["tflbuild.stub"] = Step
inputs = {"code": folder / "inputs" / "code"}
server.read_request = lambda folder: StepRequest(folder, {}, inputs, {}, "", {"code": origin})
server.enter(folder)
(folder / "answer.json").write_text(json.dumps(server.answer_request("stub", folder)))
"""
HEAD = "import json, os, sys\nfrom pathlib import Path\nimport numpy as np\nHOME = {home!r}\ndef measure():\n    "
REFUSED = {
    "open": ("return json.load(open('weights.json'))", "weights.json"),
    "absolute": ("return json.load(open(HOME + '/weights.json'))", "HOME/weights.json"),
    "outside": ("return open(HOME + '/../outside.txt').read()", "outside.txt"),
    "swallowed": ("try: open('weights.json')\n    except Exception: return 1", "weights.json"),
    "exists": ("return os.path.exists('weights.json')", "weights.json"),
    "pathlib": ("return Path(__file__).with_name('weights.json').is_file()", "weights.json"),
    "listed": ("return os.listdir(HOME + '/data')", "HOME/data"),
    "walked": ("return [str(one) for one in os.walk('data')]", "data"),
    "globbed": ("return [str(one) for one in Path('data').glob('*')]", "data"),
    "numpy": ("return float(np.load(HOME + '/data/weights.npy')[0])", "HOME/data/weights.npy"),
    "mapped": ("return float(np.memmap(HOME + '/data/weights.npy')[0])", "HOME/data/weights.npy"),
    "linked": ("os.symlink(HOME + '/weights.json', 'link')\n    return open('link').read()", "link"),
    "sqlite": ("import sqlite3\n    sqlite3.connect(HOME + '/weights.json')", "HOME/weights.json"),
    "imported": ("sys.path.insert(0, HOME + '/data')\n    __import__('hid' + 'den')", "HOME/data/hidden.py"),
    "native": (
        "import h5py\n    return h5py.File(HOME + '/data/weights.h5')['x'][()].tolist()",
        "HOME/data/weights.h5",
    ),
    "program": ("import subprocess\n    subprocess.run(['cat', HOME + '/weights.json'], check=True)", ""),
    "connected": ("import socket\n    socket.create_connection(('127.0.0.1', 9))", "127.0.0.1:9"),
}
HARMLESS = {
    "packages": "import PIL.Image, importlib.metadata\n    importlib.metadata.version('numpy')",
    "matplotlib": "try: import matplotlib.pyplot as plt\n    except ImportError: return 0\n    plt.plot([1])",
    "temporary": "import tempfile\n    np.save(tempfile.gettempdir() + '/a.npy', 1)\n"
    "    return int(np.load(tempfile.gettempdir() + '/a.npy'))",
    "hdf5": "import h5py, tempfile\n    name = tempfile.mkdtemp() + '/a.h5'\n    h5py.File(name, 'w').close()\n"
    "    h5py.File(name).close()",
    "zone": "import zoneinfo, time, ssl\n    zoneinfo.ZoneInfo('UTC')\n    ssl.create_default_context()",
    "own": "return len(Path(__file__).read_text()) + len(os.listdir('.'))",
    "absent": "return os.path.exists('nowhere.json') or os.path.exists(HOME + '/nowhere.json')",
    "declared": "return json.load(open('kept/a.json')) + json.load(open(HOME + '/kept/a.json'))",
    "declared copies": "return len(os.listdir('kept'))",
    "declared folder": "return len(os.listdir(HOME + '/kept'))",
    "program": "import subprocess\n    subprocess.run(['uname', '-a'], check=True)",
    "compiled": "sys.path[:0] = ['kept']\n    import helper\n    assert helper.VALUE == 4",
    "compiled at its own place": "sys.path[:0] = [HOME + '/kept']\n    import helper\n    assert helper.VALUE == 4",
}


def run(tmp_path, body, key="verify.metrics.own"):
    """Run a body as a metric in a step's process; `kept/` and the code are declared, what lies beside is not."""
    home, folder = tmp_path / "home", tmp_path / "step"
    for place, text in (("weights.json", "[3]"), ("data/hidden.py", ""), ("kept/a.json", "4"), ("../outside.txt", "")):
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text(text)
    np.save(home / "data" / "weights.npy", np.array([3.0]))
    if "weights.h5" in body:
        with h5py.File(home / "data" / "weights.h5", "w") as file:
            file["x"] = 1
    code = folder / "inputs" / "code"
    (code / "kept").mkdir(parents=True)
    (code / "own.py").write_text(HEAD.format(home=str(home)) + body + "\n")
    (code / "kept" / "a.json").write_text("4")
    for module in ("own.py", "kept/helper.py"):  # a user who runs them leaves what Python compiled, here of other code
        (home / module).write_text("VALUE = 3\n")
        py_compile.compile(str(home / module), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for place in (home, code):
        (place / "kept" / "helper.py").write_text("VALUE = 4\n")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(home), key],
        env={
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path / "nobody"),
            "PATH": "/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",  # a folder made beside tflbuild's code is a change that other tests see
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + (folder / "log.txt").read_text()
    code, answer = json.loads((folder / "answer.json").read_text())
    return code, answer.get("error", {})


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_declared_is_refused_with_its_name_and_the_key(tmp_path, kind):
    if kind in ("native", "program", "linked"):
        require("Landlock", landlock_version() >= LEAST_VERSION, "Linux 5.19 or later")
    body, named = REFUSED[kind]
    code, error = run(tmp_path, body)
    assert code == 1, error
    if kind == "program":  # another program is kept from it too, and says so itself
        return
    assert error["kind"] == "recipe" and error["where"] == "verify.files"
    assert named.replace("HOME", str(tmp_path / "home")) in error["what"]


@pytest.mark.parametrize("kind", HARMLESS)
def test_packages_temporary_files_and_declared_ones_may_be_read(tmp_path, kind):
    code, error = run(tmp_path, HARMLESS[kind])
    assert code == 0, error


@pytest.mark.parametrize(
    ("key", "declares"),
    [
        ("source.call", "source.files"),
        ("source.custom_objects.Layer", "source.files"),
        ("verify.dataset.call", "verify.dataset.files"),
        ("dataset.call", "dataset.files"),
        ("optimize.dataset.call", "optimize.dataset.files"),
    ],
)
def test_each_code_names_the_key_of_its_own(tmp_path, key, declares):
    _, error = run(tmp_path, REFUSED["absolute"][0], key)
    assert error["where"] == declares and f"declare it: {declares}=[" in error["next_step"]


def test_a_metric_may_read_what_it_declares_and_a_change_of_it_counts(warm):
    warm.write("weights.json", "[3.0]")
    text = "import json\ndef measure(expected, actual, labels):\n    return json.load(open('weights.json'))[0]\n"
    warm.write("own.py", text)
    done = warm.run(RECIPE, METRIC)
    assert done.code == 2 and "'own.py:measure' reads 'weights.json', which is not declared" in done.err
    assert "next:  declare it: verify.files=[weights.json]" in done.err
    command = (RECIPE, METRIC, "verify.files=[weights.json]", "--json")
    assert value(warm.run(*command)) == 3.0
    warm.write("weights.json", "[6.0]")
    assert value(warm.run(*command)) == 6.0
    done = warm.run(RECIPE, "verify.files=[weights.json]")
    assert done.code == 2 and "'verify.files' has no effect" in done.err


def value(done):
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)
    return row["metrics"]["verify"]["metrics"]["own"]


def test_a_dataset_and_a_model_that_read_undeclared_files_are_refused(warm):
    np.save(warm.folder / "kernel.npy", np.ones((4, 2), np.float32))
    for name in range(3):
        np.save(Path(warm.write(f"rows/{name}.npy", "")), np.full(4, name, np.float32))
    warm.write(
        "net.py",
        "import keras, numpy as np, os\nfrom pathlib import Path\n"
        f"HOME = {str(warm.folder)!r}\n"
        "def make():\n"
        "    model = keras.Sequential([keras.layers.Input((4,), name='x'), keras.layers.Dense(2, use_bias=False)])\n"
        "    model.set_weights([np.load(HOME + '/kernel.npy')])\n    return model\n"
        "def rows():\n"
        "    return [{'x': np.load(file)} for file in sorted(Path(HOME, 'rows').glob('*.npy'))]\n",
    )
    warm.write(
        "recipes/own.yaml",
        "defaults: [{override /source: function}, {override /verify: parity}, {override /dataset@verify.dataset: "
        "callable}, {override /quantization: none}]\n"
        "source: {call: 'net.py:make'}\nverify: {dataset: {call: 'net.py:rows'}}\n",
    )
    done = warm.run("+recipe=own")
    assert done.code == 2 and f"reads '{warm.folder}/kernel.npy'" in done.err and "source.files" in done.err
    done = warm.run("+recipe=own", "source.files=[kernel.npy]")
    assert done.code == 2 and f"lists the folder '{warm.folder}/rows'" in done.err
    assert "verify.dataset.files" in done.err
    done = warm.run("+recipe=own", "source.files=[kernel.npy]", "verify.dataset.files=[rows]")
    assert done.code == 0, done.err


@pytest.mark.parametrize("body", ["__import__('random').random()", "CALLS.append(1) or len(CALLS)"])
def test_a_metric_that_differs_between_two_calls_is_refused(warm, body):
    warm.write("own.py", f"CALLS = []\ndef measure(expected, actual, labels):\n    return {body}\n")
    done = warm.run(RECIPE, METRIC)
    assert done.code == 2 and "'own.py:measure' is not deterministic: it gave " in done.err
    assert "verify.metrics.own" in done.err


def test_a_metric_that_changes_its_arguments_changes_nothing(warm):
    text = """
def measure(expected, actual, labels):
    (name,) = expected
    error = float(abs(expected[name] - actual[name]).max() + labels.sum())
    expected[name][:] = 7
    actual[name] = None
    labels[:] = 3
    return error
"""
    warm.write("own.py", text)
    spoiled = value(warm.run(RECIPE, METRIC, "verify.metrics.also=own.py:measure", "--json"))
    assert spoiled > 0
