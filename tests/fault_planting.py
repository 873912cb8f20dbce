"""Faults planted in the workers of a real build: what a step made is changed before any other step sees it.

A fault is a function in one of MODULES with the decorator `fault`. A recipe chooses one by a mark, which stands in
the parameters of the faulted step or in a file that it reads: the key of the recipe's signature (`signature_section`),
the description of a source that is a .tflite (`mark_model`), or a name in its metadata. So no two recipes share a
faulted step, a sweep plants many faults in one process, and the steps in front of a fault run as they always do.

    @fault("steps.quantization.litert_quantize")
    def swapped_outputs(request):
        with edited(request.outputs / "model.tflite") as root:
            ...

    build_all(project, {name: recipe(..., signature_section(name))}, **planting(project))
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WORKERS = "tflbuild."
MODULES = ("planted_faults", "planted_values", "planted_samples", "planted_ties")
SITE = """import sys

sys.path.append({tests!r})
import fault_planting

sys.meta_path.insert(0, fault_planting.Planter({workers!r}))
"""


@dataclass(frozen=True)
class Fault:
    """A fault in a worker module.

    Attributes:
        name: How a test calls it; unique.
        worker: The worker module, below `tflbuild`, whose `run` is faulty.
        change: Called with the step's request after the worker has run, to change what lies in `request.outputs`; may
            return facts.
        around: Called with the request before the worker runs; the worker runs in the context that it returns.
    """

    name: str
    worker: str
    change: Callable[[Any], Any] = lambda request: None
    around: Callable[[Any], AbstractContextManager[Any]] = lambda request: nullcontext()


FAULTS: dict[str, Fault] = {}


def fault(worker: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function that changes the outputs of a worker as the fault of the function's name."""

    def register(change: Callable[[Any], None]) -> Callable[[Any], None]:
        FAULTS[change.__name__] = Fault(change.__name__, worker, change=change)
        return change

    return register


def fault_within(worker: str) -> Callable[[Callable[[Any], Iterator[None]]], Callable[[Any], Iterator[None]]]:
    """Register a generator function, of the form of a context manager, in which the worker runs."""

    def register(around: Callable[[Any], Iterator[None]]) -> Callable[[Any], Iterator[None]]:
        FAULTS[around.__name__] = Fault(around.__name__, worker, around=contextmanager(around))
        return around

    return register


def planted_key(name: str) -> str:
    """Return the mark of a recipe that gets a fault: a signature's key, or some other text."""
    return f"planted_{name}_end"


def signature_section(name: str, rest: str = "") -> str:
    """Return the recipe's section `signature` that plants a fault; `rest` are further keys as flow YAML."""
    return f"signature: {{key: {planted_key(name)}{', ' + rest if rest else ''}}}"


def mark_model(source: Path, name: str) -> str:
    """Write a copy of a .tflite beside it that gets a fault; returns its name."""
    copy = source.with_name(f"{name}.tflite")
    copy.write_bytes(source.read_bytes())
    with edited(copy) as root:
        root.description = planted_key(name).encode()
    return copy.name


def mark_dataset(source: Path, name: str) -> str:
    """Write a copy of a `.npz` beside it that gets a fault: it holds one array more; returns its name."""
    import numpy as np

    copy = source.with_name(f"{name}.npz")
    with np.load(source) as archive:
        np.savez(copy, **{key: archive[key] for key in archive.files}, **{planted_key(name): np.zeros(1)})
    return copy.name


def planting(project: Any) -> dict[str, str]:
    """Return the environment of a command whose workers are faulty. Writes `site/` into the project's folder."""
    workers = sorted({one.worker for one in all_faults().values()})
    project.write("site/sitecustomize.py", SITE.format(tests=str(HERE), workers=workers))
    return {"PYTHONPATH": f"{project.folder / 'site'}{os.pathsep}{project.environment()['PYTHONPATH']}"}


def all_faults() -> dict[str, Fault]:
    """Return every fault by name."""
    # A worker process loads this module as `fault_planting`, a test as part of its own path: there is one registry.
    for module in MODULES:
        importlib.import_module(module)
    return sys.modules["fault_planting"].FAULTS


class Planter(importlib.abc.MetaPathFinder):
    """Finds the planted worker modules in place of the real ones."""

    def __init__(self, workers: list[str]) -> None:
        self.names = {WORKERS + worker: worker for worker in workers}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = FaultyLoader(spec.loader, self.names[name])
        return spec


class FaultyLoader(importlib.abc.Loader):
    """Loads the real module, and puts a `run` around its own that does what the request's fault says."""

    def __init__(self, loader: Any, worker: str) -> None:
        self.loader, self.worker = loader, worker

    def create_module(self, spec: Any) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self.loader.exec_module(module)
        run, worker = module.run, self.worker

        def run_faulty(request: Any) -> Any:
            return run_planted(run, request, chosen_faults(request, worker))

        module.run = run_faulty


def run_planted(run: Callable[[Any], Any], request: Any, faults: list[Fault]) -> Any:
    """Run a worker with faults; returns the worker's facts, with those that a fault returns in their place."""
    if not faults:
        return run(request)
    first, *others = faults
    with first.around(request):
        facts = run_planted(run, request, others)
    return {**facts, **(first.change(request) or {})}


def chosen_faults(request: Any, worker: str) -> list[Fault]:
    """Return the faults of a worker whose mark is in the step's parameters or in one of its input files."""
    texts = [json.dumps(request.params, default=str).encode()]
    texts += [path.read_bytes() for path in request.inputs.values() if path.is_file()]
    faults = [one for one in all_faults().values() if one.worker == worker]
    return [one for one in faults if any(planted_key(one.name).encode() in text for text in texts)]


@contextmanager
def edited(path: Path) -> Iterator[Any]:
    """Give a .tflite as the flatbuffer's object tree, and write it back. Files packed behind the model are kept."""
    from ai_edge_litert.tools import flatbuffer_utils

    raw = path.read_bytes()
    behind = b""
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            behind = raw[min(member.header_offset for member in archive.infolist()) :]
    root = flatbuffer_utils.read_model_from_bytearray(bytearray(raw[: len(raw) - len(behind)]))
    yield root
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(root)) + behind)
