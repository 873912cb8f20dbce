"""Run models on the TensorFlow Lite runtime of this Python, and keep what they give.

    python run_models.py FOLDER RESULTS

FOLDER has `models.json`, a list of {name, resize, call}, a NAME.tflite for each, and `feeds.npz` with `NAME/0`,
`NAME/1`, ... in the order of the model's inputs. `resize` is whether inputs are given the shapes of what is fed, `call`
the signature that is called by name, "" for the first subgraph. RESULTS is a file of pickles, one behind the other:
(name, status, text, outputs), with the status `ran`, `refused` or `crashed`.

Models run in a child process, since old kernels end the process that they do not like; the next child goes on behind
the model that ended it. This file is run by Python 3.9 to 3.11 with NumPy and one of three packages: tflite-runtime,
tensorflow or ai-edge-litert.
"""

import json
import os
import pickle
import signal
import sys

import numpy as np

SECONDS = 20  # for one model


def find_interpreter():
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            from tensorflow.lite.python.interpreter import Interpreter
    return Interpreter


def run_model(interpreter_class, path, entry, values):
    interpreter = interpreter_class(path, num_threads=1)
    if entry["call"]:
        runner = interpreter.get_signature_runner(entry["call"])
        made = runner(**{f"in{place}": value for place, value in enumerate(values)})
        return [made[name] for name in sorted(made)]
    inputs = interpreter.get_input_details()
    for detail, value in zip(inputs, values):  # noqa: B905, Python 3.9 has no `strict`
        if entry["resize"]:
            interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    for detail, value in zip(inputs, values):  # noqa: B905, Python 3.9 has no `strict`
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def run_models(folder, entries, results):
    """Append a pickle for each model; a start is noted first, so that the parent sees which one ended this process."""
    interpreter_class = find_interpreter()
    with np.load(os.path.join(folder, "feeds.npz")) as feeds:
        names = {}
        for key in feeds.files:
            names.setdefault(key.rpartition("/")[0], []).append(key)
        for entry in entries:
            pickle.dump((entry["name"], "crashed", "", []), results)
            results.flush()
            signal.alarm(SECONDS)
            values = [feeds[key] for key in names.get(entry["name"], [])]
            try:
                path = os.path.join(folder, entry["name"] + ".tflite")
                found = ("ran", "", run_model(interpreter_class, path, entry, values))
            except Exception as error:
                found = ("refused", f"{type(error).__name__}: {error}"[-300:], [])
            signal.alarm(0)
            pickle.dump((entry["name"], *found), results)
    results.flush()


def count_started(path):
    seen = set()
    with open(path, "rb") as file:
        while True:
            try:
                seen.add(pickle.load(file)[0])
            except (EOFError, pickle.UnpicklingError):
                return len(seen)


def main():
    folder, path = sys.argv[1:]
    with open(os.path.join(folder, "models.json")) as file:
        entries = json.load(file)
    open(path, "wb").close()
    done = 0
    while done < len(entries):
        child = os.fork()
        if child == 0:
            with open(path, "ab") as results:
                run_models(folder, entries[done:], results)
            os._exit(0)
        os.waitpid(child, 0)
        started = count_started(path)
        if started == done:
            sys.exit("the runtime does not start")
        done = started


if __name__ == "__main__":
    main()
