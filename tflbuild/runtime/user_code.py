"""A recipe's references to Python code, imported: from the files that the recipe reaches, and nothing beside them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tflbuild.runtime.step_contract import StepRequest, WorkerError
from tflbuild.runtime.undeclared_reads import denied_read, guard_reads

CODE = "code"
TRACED = "in user code:"  # how TensorFlow begins what it tells of an exception while tracing


def load_reference(request: StepRequest, entry: str, key: str) -> Any:
    """What `file.py:name` (below the input `code`) or `module:name` refers to; `key` is its place in the recipe.

    Raises WorkerError when it cannot be imported or has no such name.
    """
    module, _, name = entry.rpartition(":")
    guard_reads(request, entry, files_key(key))
    with convert_user_error(request, f"'{module}' cannot be imported", key):
        found = import_file(request, module) if module.endswith(".py") else importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            known = ", ".join(sorted(n for n, v in vars(found).items() if callable(v) and not n.startswith("_")))
            raise WorkerError(f"'{module}' has no '{name}'", where=key, why=f"it has: {known or 'nothing to call'}")
        found = getattr(found, part)
    if not callable(found):
        raise WorkerError(f"'{entry}' cannot be called", where=key, why=f"it is a {type(found).__name__}")
    return found


def import_file(request: StepRequest, file: str) -> Any:
    """The module in a file of the input `code`, as a part of its package where it lies in one.

    Its folder, the one that its outermost package lies in, and the root are where imports are found.
    """
    root = request.inputs[CODE]
    path = root / file
    parts, top = [path.stem], path.parent
    while (top / "__init__.py").is_file() and top != root:
        parts.insert(0, top.name)
        top = top.parent
    for folder in (str(root), str(path.parent), str(top)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    os.chdir(root)  # files that the code names relative to the project are found, the declared ones alone
    if len(parts) > 1:
        return importlib.import_module(".".join(parts))
    namesake = sys.modules.get(path.stem)
    foreign = namesake is not None and getattr(namesake, "__file__", None) != str(path)
    name = f"own_{file}" if foreign else path.stem  # Python's own `signal` stays what it is
    if name in sys.modules:
        return sys.modules[name]  # two references to one file mean the same classes
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def convert_user_error(request: StepRequest, what: str, key: str) -> Iterator[None]:
    """An exception of the user's code, as an error that names their own line."""
    try:
        yield
    except WorkerError:
        raise
    except (Exception, SystemExit) as error:
        known = error.__cause__ or error.__context__
        while known is not None and not isinstance(known, WorkerError):
            known = known.__cause__ or known.__context__
        if known is not None:  # one of ours, raised while tracing, which TensorFlow wrapped
            raise known from error
        denied = denied_read(error)
        if denied is not None:
            raise denied from error
        raise WorkerError(
            what,
            where=key,
            why="\n".join([f"{type(error).__name__}: {core_of(error)}", *own_frames(error, request)]),
            next_step=advice(error, files_key(key)),
        ) from error


def own_frames(error: BaseException, request: StepRequest) -> list[str]:
    """`model.py:12 in make: x = tf.foo(y)`, the innermost line of the user's own files, when there is one."""
    root = str(request.inputs.get(CODE, Path("/nowhere")))
    traced = re.findall(rf'File "{re.escape(root)}/(.*?)", line (\d+), in (\w+).*\n\s*(.*)', str(error))
    if str(error).startswith(TRACED) and traced:
        file, line, name, text = traced[-1]
        return [f"{file}:{line} in {name}: {text}"]
    if isinstance(error, SyntaxError) and error.filename and error.filename.startswith(root):
        return [f"{os.path.relpath(error.filename, root)}:{error.lineno}: {(error.text or '').strip()}"]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(root)]
    return [f"{os.path.relpath(f.filename, root)}:{f.lineno} in {f.name}: {f.line}" for f in frames[-1:]]


def core_of(error: BaseException) -> str:
    """What an exception says; of one that TensorFlow met while tracing, what it was before it was wrapped."""
    text = str(error)
    if not text.startswith(TRACED):
        return first_line(error)
    said = re.search(rf"^\s*{type(error).__name__}: (.*)", text, re.M)
    return said[1][:300] if said else first_line(error)


def files_key(key: str) -> str:
    """Return the key that declares what the code of `key` reads: `source.files`, a dataset's, or `verify.files`."""
    if key.startswith("verify.metrics"):
        return "verify.files"
    return f"{key.removesuffix('.call')}.files" if key.endswith("dataset.call") else "source.files"


def advice(error: BaseException, files: str = "source.files") -> str:
    """What to do about it, where the exception's class says so."""
    if isinstance(error, ModuleNotFoundError):
        return f"install it, or list it in {files} when '{error.name}' is your own and its name is computed"
    if isinstance(error, FileNotFoundError):
        return f"the code sees the files that it imports and those in {files} alone: list what it reads"
    return ""


def first_line(error: BaseException) -> str:
    """The start of what an exception says."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]
